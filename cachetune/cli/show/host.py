"""A host as text: pictures of its caches, its groups and its limits."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cachetune.cli.show.console import table
from cachetune.cli.show.ways import IO_MARK, SEVERAL, io_picture, letter_of, owners_picture, scale
from cachetune.host.model import BandwidthControl, CacheControl, Group, Host
from cachetune.host.usage import CacheUsage, HostUsage, Limit
from cachetune.idset import format_ids
from cachetune.text import count, printable
from cachetune.units import about

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    "default": "",
    "cachetune": "bold green",
    "libvirt": "bold cyan",
    "pqos": "yellow",
    "containers": "magenta",
    "cadvisor": "magenta",
    "dra": "magenta",
    "unknown": "red",
}


def host_page(usage: HostUsage) -> Iterator["RenderableType"]:
    """A host on one page: the ways of each cache and their owners, free space, groups, and limits."""
    host = usage.host
    letters = {group.path: letter_of(i) for i, group in enumerate(host.control_groups())}
    yield _title(host)
    for cache in host.caches:
        yield from _cache_section(cache, host, [u for u in usage.caches if u.resource == cache.name], letters)
    for bandwidth in host.bandwidths:
        yield ""
        yield _heading(bandwidth.name, _bandwidth(bandwidth))
    yield ""
    yield _groups(host, letters)
    yield ""
    yield _limits(usage)
    if advice := _advice(usage):
        yield ""
        yield advice


def _title(host: Host) -> "RenderableType":
    from rich.console import Group

    title = _text((f"Host {printable(host.source)}", "bold"))
    if host.mount_options:
        title.append(f", mounted with {printable(', '.join(host.mount_options))}")
    title.no_wrap, title.overflow = True, "ignore"  # a long path stays in one piece
    return Group(title)  # a Text that is printed directly loses these settings


def _heading(name: str, words: str) -> "Text":
    return _text((f"{name:<6} ", "bold"), (words, ""))


def _cache_section(
    cache: CacheControl, host: Host, usages: list[CacheUsage], letters: Mapping[str, str]
) -> Iterator["RenderableType"]:
    """The pictures of one resource; identical caches share a line."""
    yield ""
    yield _heading(cache.name, _cache_words(cache, usages))
    if not usages:
        yield "  no caches: the default group's schemata does not list them"
        return
    ways = cache.cbm_mask.bit_length()
    masks = {u.id: [(letters[g.path], _mask(g, cache, u.id)) for g in host.control_groups()] for u in usages}
    alike = _alike((u.id, (tuple(masks[u.id]), u.way_bytes)) for u in usages)
    names = {ids: f"  {'cache' if len(ids) == 1 else 'caches'} {format_ids(ids)}" for ids in alike.values()}
    margin = max(map(len, names.values())) + 2
    styles = {letters[g.path]: _STYLES[g.owner] for g in host.control_groups()}
    yield _text((" " * margin + scale(ways), "dim"))
    for ids, name in names.items():
        usage = next(u for u in usages if u.id == ids[0])
        line = _text((name.ljust(margin), ""))
        for letter in owners_picture(masks[usage.id], ways):
            line.append(letter, styles.get(letter, "bold" if letter == SEVERAL else "dim"))
        line.append("  " + _free(usage, several=len(alike) > 1 and len({u.way_bytes for u in usages}) > 1))
        yield line
    if cache.shareable_bits:
        marks = " " * margin + io_picture(cache.shareable_bits, ways)
        yield _text((f"{marks}  {IO_MARK} shared with I/O", "dim"))


def _mask(group: Group, cache: CacheControl, cache_id: int) -> int:
    return group.masks.at(cache.name, cache_id) or 0


def _alike(pairs: Iterable[tuple[int, Hashable]]) -> dict[Hashable, tuple[int, ...]]:
    """Ids by their common value, in the order of the first id of each."""
    alike: dict[Hashable, tuple[int, ...]] = {}
    for cache_id, thing in pairs:
        alike[thing] = (*alike.get(thing, ()), cache_id)
    return alike


def _cache_words(cache: CacheControl, usages: list[CacheUsage]) -> str:
    sizes = {u.way_bytes for u in usages}
    size = sizes.pop() if len(sizes) == 1 else None
    words = [count(cache.ways, "way") + (f" of {about(size)}" if size else "")]
    if cache.min_cbm_bits > 1:
        words.append(f"at least {cache.min_cbm_bits} per group")
    if cache.sparse_masks:
        words.append("masks can have holes")
    if cache.io_alloc:
        words.append("io_alloc is on")
    return ", ".join(words)


def _free(usage: CacheUsage, *, several: bool) -> str:
    size = f" of {about(usage.way_bytes)}" if several and usage.way_bytes else ""
    if not usage.free_ways:
        return "nothing free" + (f" ({count(usage.ways, 'way')}{size})" if size else "")
    free = f"{count(usage.free_ways, 'way')}{size} free{_in_bytes(usage.free_bytes)}"
    if usage.largest_hole_ways == usage.free_ways:
        return free + (", contiguous" if usage.free_ways > 1 else "")
    return f"{free}, largest hole {usage.largest_hole_ways}{_in_bytes(usage.largest_hole_bytes)}"


def _in_bytes(size: int | None) -> str:
    return "" if size is None else f" ({about(size)})"


def _bandwidth(control: BandwidthControl) -> str:
    nodes = count(len(control.ids), "node")
    if control.unit == "percent":
        steps = f" in steps of {control.bandwidth_gran}" if control.bandwidth_gran > 1 else ""
        return f"{nodes}, percent from {control.min_bandwidth} to {control.max_bandwidth}{steps}"
    unit = "MiB/s (mba_MBps)" if control.unit == "MiB/s" else "eighths of a GB/s"
    if control.max_bandwidth is None:
        return f"{nodes}, {unit}, the maximum is not known: every group has a limit"
    return f"{nodes}, {unit}, {control.max_bandwidth} means no limit"


def _groups(host: Host, letters: Mapping[str, str]) -> "Table":
    rows = table("", "group", "owner", "tasks", "has", right=["tasks"])
    ids = {cache.name: frozenset(cache.size_bytes) for cache in host.caches}
    ids |= {bandwidth.name: frozenset(bandwidth.ids) for bandwidth in host.bandwidths}
    for group in host.groups:
        style = _STYLES[group.owner]
        letter = _text((letters.get(group.path, ""), style))
        rows.add_row(letter, _name(group), _text((group.owner, style)), str(len(group.tids)), _values(group, ids))
    return rows


def _name(group: Group) -> str:
    if group.kind == "monitor":
        return f"  mon {printable(group.path.rpartition('/')[2])}"
    return ". (default group)" if group.owner == "default" else printable(group.path)


def _values(group: Group, ids: Mapping[str, frozenset[int]]) -> str:
    words = [group.mode] if group.mode != "shareable" else []
    for name, masks in group.masks.items():
        words.append(_compact(name, {i: f"{mask:x}" for i, mask in masks.items()}, ids.get(name, frozenset())))
    for name, values in group.bandwidth.items():
        words.append(_compact(name, {i: str(value) for i, value in values.items()}, ids.get(name, frozenset())))
    words += [printable(line) for line in group.other_lines]
    if group.cpus and group.owner != "default":
        words.append(f"CPUs {group.cpus}")
    return "  ".join(words)


def _compact(name: str, values: Mapping[int, str], every: frozenset[int]) -> str:
    """L3:0-1=7ff: ids grouped by value; "all" for every id of the host."""
    alike = _alike(values.items())
    if len(alike) == 1 and len(values) > 1 and set(values) == every:
        return f"{name}:all={next(iter(alike))}"
    return f"{name}:" + ";".join(f"{format_ids(ids)}={value}" for value, ids in alike.items())


def _limits(usage: HostUsage) -> "Table":
    from rich.table import Table

    rows = Table.grid(padding=(0, 2, 0, 0))
    host = usage.host
    rows.add_row("Control groups", _limit(usage.closids, "CLOSID"))
    if host.monitors:
        rows.add_row("Groups monitored", _limit(usage.rmids, "RMID"))
    for monitor in host.monitors:
        rows.add_row("Events", f"{monitor.name}: {', '.join(monitor.features) or 'none'}")
    if not host.monitors:
        rows.add_row("Events", "none: this host has no monitoring")
    if not host.caches and not host.bandwidths:
        rows.add_row("Allocation", "none: this host can only monitor")
    if host.unknown_resources:
        rows.add_row("Unsupported", printable(", ".join(host.unknown_resources)))
    return rows


def _advice(usage: HostUsage) -> str:
    """A hint for a host whose default group has all ways, so that no group can get any."""
    caches = [f"{u.resource} {u.id}" for u in usage.caches if _is_default_groups_alone(u, usage.host)]
    if not caches:
        return ""
    what = "all caches" if len(caches) == len(usage.caches) > 1 else ", ".join(caches)
    return f"The default group has {what} alone; 'cachetune plan --shrink-default' makes room."


def _is_default_groups_alone(cache: CacheUsage, host: Host) -> bool:
    """Whether the default group has the whole cache, shared only with groups of cachetune that follow its mask."""
    whole = host.default_group.masks.at(cache.resource, cache.id)
    if whole is None or whole.bit_count() != cache.ways:
        return False
    others = [g for g in host.control_groups() if g is not host.default_group]
    masks = [(g.owner, g.masks.at(cache.resource, cache.id)) for g in others]
    return all(mask is None or (owner, mask) == ("cachetune", whole) for owner, mask in masks)


def _limit(limit: Limit, noun: str) -> str:
    if limit.total is None:
        return f"{limit.used}, the host does not report a maximum"
    if limit.used > limit.total:
        return f"{limit.used}, more than the {count(limit.total, noun)} that the host reports"
    return f"{limit.used} of {count(limit.total, noun)} used, {limit.left} left"


def _text(*parts: tuple[str, str]) -> "Text":
    from rich.text import Text

    return Text.assemble(*parts)
