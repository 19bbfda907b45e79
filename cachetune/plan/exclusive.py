"""Exclusive groups: what keeps a group from being one, the writes that change modes, and what an overlap is.

The kernel refuses mode "exclusive" for a group that shares a way of any cache with another group or with devices, even
of a cache that its threads never use; with CDP also if its code ways are another group's data ways, or the reverse. As
long as the mode lasts, it gives those ways to no other group. Source: rdtgroup_mode_test_exclusive and
rdtgroup_cbm_overlaps in Linux 6.1 to 7.3.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from cachetune.cbm import Cbm, Masks, run, runs
from cachetune.domain.model import Domain
from cachetune.findings import Finding, Source
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host, file_of, is_monitor
from cachetune.idset import numbered
from cachetune.plan.after import host_after
from cachetune.plan.groups.translate import DesiredGroup
from cachetune.plan.model import Mode
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step, WriteFile, effect_of
from cachetune.text import count, listed
from cachetune.units import about

DEVICES = "devices"


class ModeWrites(msgspec.Struct, frozen=True):
    """Writes to mode: ``opening`` ones come before all writes of masks, ``closing`` ones after them."""

    opening: tuple[WriteFile, ...] = ()
    closing: tuple[WriteFile, ...] = ()


class Overlap(msgspec.Struct, frozen=True):
    """Ways that a group shares with ``other``, which is a group's path or DEVICES."""

    resource: str
    cache_id: int
    ways: Cbm
    other: str

    def __str__(self) -> str:
        other = "the default group" if self.other == DEFAULT_GROUP else self.other
        return f"it shares ways {self.ways:x} of {self.resource} cache {self.cache_id} with {other}"


def all_exclusive(domain: Domain) -> Domain:
    """The domain with every control group exclusive, as --exclusive requests."""
    groups = (msgspec.structs.replace(g, exclusive=g.exclusive or g.has_allocation) for g in domain.groups)
    return msgspec.structs.replace(domain, groups=tuple(groups))


def mode_of(group: DesiredGroup, host: Host) -> Mode:
    """The mode of a desired control group after the plan. That of a libvirt group stays unless exclusive is requested.

    libvirt never sets a mode, so another program or a person did, on purpose.
    """
    existing = host.group(group.path)
    kept = existing is not None and existing.owner == "libvirt" and existing.mode == "exclusive"
    return "exclusive" if kept or (group.request and group.request.exclusive) else "shareable"


def mode_writes(host: Host, desired: Iterable[DesiredGroup], ours: Collection[str]) -> ModeWrites:
    """The writes that give each of the desired groups in ``ours`` its mode."""
    opening: list[WriteFile] = []
    closing: list[WriteFile] = []
    for group in desired:
        existing, wanted = host.group(group.path), mode_of(group, host)
        before = existing.mode if existing else "shareable"
        if group.path in ours and group.request and wanted != before:
            step = WriteFile(file_of(group.path, "mode"), before, wanted)
            (closing if wanted == "exclusive" else opening).append(step)
    return ModeWrites(tuple(opening), tuple(closing))


def exclusive_findings(host: Host, groups: Iterable[DesiredGroup]) -> Iterator[Finding]:
    """What keeps the groups from having their mode, regardless of which ways are free."""
    for group in groups:
        existing = host.group(group.path)
        if existing is not None and existing.mode.startswith("pseudo"):
            yield RULES["CT249"].at(group.at, path=group.path, mode=existing.mode)
        if group.request and group.request.exclusive:
            if why := _impossible(host):
                yield RULES["CT248"].at(group.at, path=group.path, why=why)
            elif lacking := _without_request(group, host):
                caches = listed([numbered(f"{control.name} cache", ids) for control, ids in lacking])
                yield RULES["CT247"].at(group.at, path=group.path, caches=caches, hint=_needed(lacking))


def creation_findings(host: Host, steps: Sequence[Step], places: Mapping[str, Source]) -> Iterator[Finding]:
    """New groups that the kernel would refuse, since exclusive groups leave too little to start them with.

    It starts a group with the lowest run of ways that are free or shareable, even if higher runs are longer, and
    refuses it (ENOSPC) if that is shorter than min_cbm_bits. ``places`` are the places in the XML that request the
    groups. Source: rdtgroup_init_cat in Linux 6.1 to 7.3.
    """
    controls = [control for control in host.caches if control.min_cbm_bits > 1]
    if not controls or not any(group.mode == "exclusive" for group in host.groups):
        return
    for n, step in enumerate(steps):
        path = effect_of(step).created
        if path is None or is_monitor(path):
            continue
        now = host_after(host, steps[:n])
        for control in controls:
            for cache_id in control.size_bytes:
                first = _first_ways(now, control, cache_id)
                if first.bit_count() < control.min_cbm_bits:
                    yield RULES["CT250"].at(
                        places.get(path, Source()),
                        path=path,
                        resource=control.name,
                        id=cache_id,
                        ways=f"{first:x}",
                        least=control.min_cbm_bits,
                    )


def _first_ways(host: Host, control: CacheControl, cache_id: int) -> Cbm:
    """The ways with which a new group starts on a processor that accepts no holes."""
    used = shareable = control.shareable_bits
    of_level = [each.name for each in host.caches if each.level == control.level]
    for group in host.control_groups():
        for name in of_level:
            mask = group.masks.at(name, cache_id) or Cbm(0)
            used |= mask
            shareable |= mask if group.mode == "shareable" else Cbm(0)
    start, length = next(runs(shareable | (control.cbm_mask & ~used)), (0, 0))
    return run(start, length)


def overlap_of(path: str, masks: Mapping[str, Masks], caches: Sequence[CacheControl]) -> Overlap | None:
    """What a group shares with devices or with other groups, of which ``masks`` has those of each; None for nothing."""
    own = masks.get(path, Masks())
    for name, cache_id, mask in own.entries():
        control = next((each for each in caches if each.name == name), None)
        if control is None:
            continue
        if shared := mask & control.io_ways(cache_id):
            return Overlap(name, cache_id, shared, DEVICES)
        of_level = [each.name for each in caches if each.level == control.level]
        for other, theirs in masks.items():
            for each in of_level:
                if other != path and (shared := mask & (theirs.at(each, cache_id) or 0)):
                    return Overlap(name, cache_id, shared, other)
    return None


def _impossible(host: Host) -> str:
    """Why no group of this host can be exclusive; "" if one can."""
    if not host.caches:
        return "this host does not control caches"
    full = [
        numbered(f"{control.name} cache", ids)
        for control in host.caches
        if (ids := [i for i in control.size_bytes if control.io_ways(i) == control.cbm_mask])
    ]
    mpam = ", as on all MPAM hosts" if host.is_mpam else ""
    return f"every way of {listed(full)} counts as shared with devices{mpam}" if full else ""


def _without_request(group: DesiredGroup, host: Host) -> list[tuple[CacheControl, list[int]]]:
    """The caches of which the group requests no ways, so that it would have the default group's."""
    caches = group.request.caches if group.request else ()
    requested = {(each.level, each.type, each.cache_id) for each in caches}
    lacking = [
        (control, [i for i in control.size_bytes if (control.level, control.type, i) not in requested])
        for control in host.caches
    ]
    return [(control, ids) for control, ids in lacking if ids]


def _needed(lacking: Iterable[tuple[CacheControl, list[int]]]) -> str:
    """The least to request of these caches."""
    least = []
    for control, ids in lacking:
        ways, way = max(control.min_cbm_bits, 1), control.way_bytes(ids[0])
        size = f" ({about(ways * way)})" if way else ""
        least.append(f"{count(ways, 'way')}{size} of {numbered(f'{control.name} cache', ids)}")
    return f"request ways of them as well, at least {listed(least)}"
