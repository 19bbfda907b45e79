"""A host as text: pictures of its caches, which CPUs have them, its groups and its limits."""

import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cachetune.cli.show.groups import STYLES, groups_table
from cachetune.cli.show.limits import limits_table
from cachetune.cli.show.table import Table, numbers, unbroken, words
from cachetune.cli.show.topology import topology_table
from cachetune.host.diagnosis import missing_l3_control
from cachetune.host.model import BandwidthControl, CacheControl, Group, Host, Identity
from cachetune.host.usage import CacheUsage, HostUsage
from cachetune.idset import format_ids
from cachetune.picture import IO_MARK, SEVERAL, io_picture, legend, letter_of, owners_picture, scale
from cachetune.text import count, listed, printable
from cachetune.units import about

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_DAY, _HOUR, _MINUTE = 86400, 3600, 60


def host_page(usage: HostUsage) -> Iterator["RenderableType"]:
    """A host on one page: the ways of each cache and their owners, free space, CPUs, groups, and limits."""
    host = usage.host
    letters = {group.path: letter_of(i) for i, group in enumerate(host.control_groups())}
    yield _title(host)
    for cache in host.caches:
        yield ""
        yield from _cache_section(cache, host, [u for u in usage.caches if u.resource == cache.name], letters)
    if usage.caches:
        yield ""
        yield _text((legend(_all_pictures(usage, letters), "group below"), "dim"))
    for bandwidth in host.bandwidths:
        yield ""
        yield _heading(bandwidth.name, _bandwidth(bandwidth, host))
    for table in (topology_table(host), groups_table(host, letters), limits_table(usage)):
        if table:
            yield ""
            yield table
    for advice in (_room_advice(usage), _idle_advice(usage), _l3_advice(host)):
        if advice:
            yield ""
            yield advice


def _title(host: Host) -> "Text":
    if host.identity:
        return _title_of_snapshot(host.identity, host.mount_options)
    title = unbroken(f"Host {printable(host.source)}", "bold")  # a long path stays in one piece
    if host.mount_options:
        title.append(f", mounted with {printable(', '.join(host.mount_options))}", "not bold")
    return title


def _title_of_snapshot(identity: Identity, mount_options: Iterable[str]) -> "Text":
    """Whose snapshot it is, of when, and of which machine: "Host node7, snapshot of 2026-11-30 14:02 UTC (…)"."""
    who = f"Host {printable(identity.hostname)}" if identity.hostname else "Host"
    kernel = f"Linux {printable(identity.kernel)}" if identity.kernel else ""
    mounted = f"mounted with {printable(', '.join(mount_options))}" if mount_options else ""
    parts = (
        snapshot_of(identity.taken),
        kernel,
        printable(identity.cpu_model),
        mounted,
    )
    return _text((who, "bold"), (", " + ", ".join(filter(None, parts)), ""))


def snapshot_of(taken: float) -> str:
    """When a snapshot was taken: "snapshot of 2026-11-30 14:02 UTC (3 hours old)"."""
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(taken))
    seconds = time.time() - taken
    return f"snapshot of {moment}" + (f" ({age(seconds)} old)" if seconds >= 0 else "")  # else its clock is ahead


def age(seconds: float) -> str:
    """How old a snapshot is, in whole units: "45 minutes", "36 hours", "2 days"."""
    for size, noun in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= 2 * size or (seconds >= size and noun == "minute"):
            return count(int(seconds // size), noun)
    return count(int(seconds), "second")


def _heading(name: str, sentence: str) -> Table:
    table = Table(numbers("", right=False), words(""))
    table.add_row(_text((f"{name:<5}", "bold")), sentence)
    return table


def _cache_section(
    cache: CacheControl, host: Host, usages: list[CacheUsage], letters: Mapping[str, str]
) -> Iterator["RenderableType"]:
    """The pictures of one resource."""
    yield _heading(cache.name, _cache_words(cache, usages, host.snc_nodes))
    if not usages:
        yield "  no caches: the default group's schemata does not list them"
        return
    yield _pictures(cache, host, usages, letters)
    if cache.level == 3 and host.snc_nodes > 1:
        yield f"  A size counts all Sub-NUMA nodes of a cache; a guest on one node has 1/{host.snc_nodes}."


def _pictures(cache: CacheControl, host: Host, usages: list[CacheUsage], letters: Mapping[str, str]) -> Table:
    """One line for each cache; identical caches share one. Ways that are shared with I/O are marked below."""
    ways = cache.cbm_mask.bit_length()
    styles = {letters[g.path]: STYLES[g.owner] for g in host.control_groups()}
    masks = {u.id: [(letters[g.path], _mask(g, cache, u.id)) for g in host.control_groups()] for u in usages}
    alike = _alike((u.id, (tuple(masks[u.id]), u.way_bytes, cache.io_ways(u.id))) for u in usages)
    several = len(alike) > 1 and len({u.way_bytes for u in usages}) > 1
    marks = [] if cache.shares_all else [io_picture(cache.io_ways(ids[0]), ways) for ids in alike.values()]
    table = Table(words(""), numbers("", right=False), words(""))
    table.add_row("", _text((scale(ways), "dim")), "")
    for i, ids in enumerate(alike.values()):
        usage = next(u for u in usages if u.id == ids[0])
        picture = _text()
        for letter in owners_picture(masks[usage.id], ways):
            picture.append(letter, styles.get(letter, "bold" if letter == SEVERAL else "dim"))
        table.add_row(f"  {'cache' if len(ids) == 1 else 'caches'} {format_ids(ids)}", picture, _free(usage, several))
        is_last_of_its_kind = i == len(alike) - 1 or marks[i : i + 1] != marks[i + 1 : i + 2]
        if marks and IO_MARK in marks[i] and is_last_of_its_kind:
            table.add_row("", _text((marks[i], "dim")), "")
    return table


def _all_pictures(usage: HostUsage, letters: Mapping[str, str]) -> Iterator[str]:
    """The pictures of all caches."""
    groups, controls = usage.host.control_groups(), {cache.name: cache for cache in usage.host.caches}
    for each in usage.caches:
        cache = controls[each.resource]
        yield owners_picture([(letters[g.path], _mask(g, cache, each.id)) for g in groups], cache.ways)
        if not cache.shares_all:
            yield io_picture(cache.io_ways(each.id), cache.ways)


def _mask(group: Group, cache: CacheControl, cache_id: int) -> int:
    return group.masks.at(cache.name, cache_id) or 0


def _alike(pairs: Iterable[tuple[int, Hashable]]) -> dict[Hashable, tuple[int, ...]]:
    """Ids by their common value, in the order of the first id of each."""
    alike: dict[Hashable, tuple[int, ...]] = {}
    for cache_id, thing in pairs:
        alike[thing] = (*alike.get(thing, ()), cache_id)
    return alike


def _cache_words(cache: CacheControl, usages: list[CacheUsage], snc_nodes: int) -> str:
    sizes = {u.way_bytes for u in usages}
    size = sizes.pop() if len(sizes) == 1 else None
    sentence = [count(cache.ways, "way") + (f" of {about(size)}" if size else "")]
    if cache.level == 3 and snc_nodes > 1:
        share = about(size // snc_nodes) if size else f"1/{snc_nodes} of a way"
        sentence.append(f"{share} for each of {snc_nodes} Sub-NUMA nodes")
    if cache.min_cbm_bits > 1:
        sentence.append(f"at least {cache.min_cbm_bits} per group")
    if cache.sparse_masks:
        sentence.append("masks can have holes")
    if cache.shares_all:
        sentence.append("all may be shared with I/O")
    if cache.io_alloc:
        sentence.append("io_alloc is on and takes a CLOSID")
    return ", ".join(sentence)


def _free(usage: CacheUsage, several: bool) -> str:
    """What is free, with the size of a way if there are ``several``."""
    size = f" of {about(usage.way_bytes)}" if several and usage.way_bytes else ""
    if not usage.free_ways:
        return "nothing free" + (f" ({count(usage.ways, 'way')}{size})" if size else "")
    free = f"{count(usage.free_ways, 'way')}{size} free{_in_bytes(usage.free_bytes)}"
    if usage.largest_hole_ways == usage.free_ways:
        return free + (", contiguous" if usage.free_ways > 1 else "")
    return f"{free}, largest hole {usage.largest_hole_ways}{_in_bytes(usage.largest_hole_bytes)}"


def _in_bytes(size: int | None) -> str:
    return "" if size is None else f" ({about(size)})"


def _bandwidth(control: BandwidthControl, host: Host) -> str:
    nodes = _bandwidth_ids(control, host)
    if control.unit == "percent":
        steps = f" in steps of {control.bandwidth_gran}" if control.bandwidth_gran > 1 else ""
        if bits := control.fraction_bits:
            steps += f", rounded to 1/{1 << bits}"
        return f"{nodes}, percent from {control.min_bandwidth} to {control.max_bandwidth}{steps}"
    unit = "MiB/s (mba_MBps)" if control.unit == "MiB/s" else "eighths of a GB/s"
    if control.max_bandwidth is None:
        return f"{nodes}, {unit}, the maximum is not known: every group has a limit"
    return f"{nodes}, {unit}, {control.max_bandwidth} means no limit"


def _bandwidth_ids(control: BandwidthControl, host: Host) -> str:
    """How many ids it has. They are those of the L3 caches; some can be missing, and on Arm they are NUMA nodes."""
    l3 = {*host.topology.caches.get(3, ()), *(i for c in host.caches if c.level == 3 for i in c.size_bytes)}
    if l3 and not l3.issuperset(control.ids):
        return f"NUMA {'node' if len(control.ids) == 1 else 'nodes'} {format_ids(control.ids)}"
    nodes = count(len(control.ids), "node")
    missing = l3.difference(control.ids)
    return f"{nodes}, none for L3 cache {format_ids(missing)}" if missing else nodes


def _room_advice(usage: HostUsage) -> str:
    """A hint for a host whose default group has all ways, so that no group can get any."""
    ids: dict[str, list[int]] = {}
    for cache in usage.caches:
        if _is_default_groups_alone(cache, usage.host):
            ids.setdefault(cache.resource, []).append(cache.id)
    if not ids:
        return ""
    is_all = sum(map(len, ids.values())) == len(usage.caches) > 1
    what = "all caches" if is_all else listed([f"{name} {format_ids(each)}" for name, each in ids.items()])
    return f"The default group has {what} alone; 'cachetune plan --shrink-default' makes room."


def _idle_advice(usage: HostUsage) -> str:
    """Which ways no group has, the commands that give them back to the default group, and what they wait for."""
    if not usage.idle:
        return ""
    idle = listed([f"{count(each.ways.bit_count(), 'way')} of {each.resource} {each.id}" for each in usage.idle])
    back: dict[str, list[str]] = {}
    waiting: dict[tuple[str, ...], list[str]] = {}
    for each in usage.idle:
        if each.command:
            back.setdefault(each.command, []).append(f"{each.back.bit_count()} of {each.resource} {each.id}")
        if each.between:
            groups = tuple(map(printable, each.between))
            waiting.setdefault(groups, []).append(f"{each.resource} {each.id}")
    given = (f"'{command}' gives the default group {listed(ways)}." for command, ways in back.items())
    held = (
        f"Idle ways of {listed(caches)} wait for {listed(groups, 3)}: masks must be contiguous."
        for groups, caches in waiting.items()
    )
    return "\n".join((f"Idle, because no group has them: {idle}.", *given, *held))


def _is_default_groups_alone(cache: CacheUsage, host: Host) -> bool:
    """Whether the default group has the whole cache, shared only with groups of cachetune that follow its mask."""
    whole = host.default_group.masks.at(cache.resource, cache.id)
    if whole is None or whole.bit_count() != cache.ways:
        return False
    others = [g for g in host.control_groups() if g is not host.default_group]
    masks = [(g.owner, g.masks.at(cache.resource, cache.id)) for g in others]
    return all(mask is None or (owner, mask) == ("cachetune", whole) for owner, mask in masks)


def _l3_advice(host: Host) -> str:
    """Why a host that monitors L3 caches, or limits bandwidth, cannot allocate L3 ways, and what to do."""
    missing = missing_l3_control(host)
    has_more = any(monitor.name == "L3_MON" for monitor in host.monitors) or host.bandwidths
    return f"{_sentence(missing.what)}\n{_sentence(missing.remedy)}" if missing and has_more else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _text(*parts: tuple[str, str]) -> "Text":
    from rich.text import Text

    return Text.assemble(*parts)
