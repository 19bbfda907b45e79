"""The target of a plan: every mask and bandwidth of the groups that it may write to.

``Target.groups`` maps the path of each control group that gets, or may get, other values to its allocation. The default
group and our groups that share its ways are among them only if the default group shrinks or moves, other guests' groups
only if they move.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.domain.model import CacheRequest
from cachetune.findings import Finding, Source
from cachetune.host.bandwidth import kept
from cachetune.host.model import DEFAULT_GROUP, BandwidthControl, CacheControl, Host
from cachetune.host.usage import groups_without_mask
from cachetune.idset import numbered
from cachetune.plan.allocate.advice import Situation
from cachetune.plan.allocate.capacity import bandwidth_of, control_of, ways_of
from cachetune.plan.allocate.exclusive import NO_ROOMS, Rooms, find_rooms
from cachetune.plan.allocate.occupancy import (
    exclusive_bits,
    io_to_avoid,
    mask_of,
    occupancy_of,
)
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, fit, shrink_default
from cachetune.plan.allocate.relocate import Movable, Mover, Moves, Scene
from cachetune.plan.allocation import Allocation
from cachetune.plan.groups.translate import DesiredGroup
from cachetune.plan.policy import Policy, with_reserved
from cachetune.plan.rules import RULES
from cachetune.text import listed
from cachetune.units import about

_DIVIDED_LEVEL = 3  # Sub-NUMA clustering divides the L3


class Target(msgspec.Struct, frozen=True):
    """Allocations by group path, and why some requests do not fit.

    ``moves`` has the writes for each cache (resource, cache id) that is compacted, in order, as (path, mask).
    ``limits`` are for requests with a size that is not valid, by their place: what would fit, where the nearest valid
    sizes would not.
    """

    groups: dict[str, Allocation]
    findings: tuple[Finding, ...]
    moves: Moves
    limits: dict[Source, str] = {}


class Means(msgspec.Struct, frozen=True):
    """What may be done so that requests fit: take ways from the default group, and move the ``movable`` groups.

    Without ``compact``, the latter are only for findings to say whether moving them would help. No guest gets ways that
    the ``policy`` reserves.
    """

    shrink: bool = False
    compact: bool = False
    movable: Movable = Movable()
    policy: Policy | None = None


class _Settled(msgspec.Struct, frozen=True):
    """The masks of one cache by group path, and the writes that lead to them if groups have to move."""

    masks: dict[str, Cbm]
    findings: tuple[Finding, ...] = ()
    moves: tuple[tuple[str, Cbm], ...] = ()
    limits: dict[Source, str] = {}


def find_target(desired: Iterable[DesiredGroup], host: Host, removed: frozenset[str], means: Means) -> Target:
    """Settle every cache of the host for the desired control groups. ``removed`` groups are removed beforehand."""
    groups = [group for group in desired if group.request]
    host = with_reserved(host, means.policy)
    moves: dict[tuple[str, int], tuple[tuple[str, Cbm], ...]] = {}
    masks: dict[str, list[tuple[str, int, Cbm]]] = defaultdict(list)
    rooms = _rooms(groups, host, removed, shrink=means.shrink)
    findings: list[Finding] = [finding for each in rooms.values() for finding in each.findings]
    limits: dict[Source, str] = {}
    for control in host.caches:
        for cache_id in control.size_bytes:
            beside = rooms.get((control.level, cache_id), NO_ROOMS)
            if beside.findings:
                continue
            scene = Scene(host, control, cache_id, removed, means.movable)
            settled = _settle_cache(groups, scene, beside, means)
            findings += settled.findings
            if settled.moves:
                moves[control.name, cache_id] = settled.moves
            limits |= settled.limits
            for path, mask in settled.masks.items():
                masks[path].append((control.name, cache_id, mask))
    allocations = {
        group.path: Allocation(Masks.of(masks.pop(group.path, ())), _bandwidth(group, host)) for group in groups
    }
    allocations |= {path: Allocation(Masks.of(entries)) for path, entries in masks.items()}
    return Target(
        allocations,
        (
            *findings,
            *_exclusive_findings(allocations, host, groups),
            *_unread_findings(groups, host, removed),
            *_limit_findings(groups, host),
            *_snc_findings(groups, host),
        ),
        moves,
        limits,
    )


def _settle_cache(groups: Sequence[DesiredGroup], scene: Scene, rooms: Rooms, means: Means) -> _Settled:
    host, control, cache_id = scene.host, scene.control, scene.cache_id
    exclusive = rooms.masks.get(control.name, {})
    groups = [g for g in groups if not _is_libvirts_copy(g, host, control, cache_id)]
    if rooms is NO_ROOMS and all(_request_for(group, control, cache_id) is None for group in groups):
        # Most caches of most hosts: all groups copy the default group's ways, which stay.
        default = mask_of(host.default_group, control, cache_id)
        return _Settled({group.path: default for group in groups})
    occupancy = occupancy_of(host, control, cache_id, scene.removed | {g.path for g in groups})
    groups = [g for g in groups if g.path not in exclusive]
    default = rooms.kept_of(occupancy.default)
    cache = Cache(control, default, occupancy.taken | rooms.held, io_to_avoid(control, cache_id))
    requests = [_request_for(group, control, cache_id) for group in groups]
    now = [mask_of(each, control, cache_id) if (each := host.group(group.path)) else None for group in groups]
    ways = [
        WayRequest(_ways(request, host), default if mask == occupancy.default else mask)
        for mask, request in zip(now, requests, strict=True)
    ]
    # Exclusive groups are placed first; what they are given is not reconsidered.
    mover = None if exclusive else Mover(scene, tuple(group.path for group in groups))
    situation = Situation(host, cache, cache_id, requests, ways, mover)
    limits = situation.limits(shrink=means.shrink, compact=means.compact)
    moves: tuple[tuple[str, Cbm], ...] = ()
    try:
        kept, masks = shrink_default(cache, ways) if means.shrink else (default, fit(cache, ways, default))
    except DoesNotFitError as error:
        relocation = mover.relocated(ways, shrink=means.shrink) if mover and means.compact else None
        if relocation is None:
            return _Settled({}, (situation.no_room(error, shrink=means.shrink, compact=means.compact),), limits=limits)
        kept, masks, moves = relocation.default, list(relocation.requested), relocation.writes
    settled = dict(moves) | {group.path: mask for group, mask in zip(groups, masks, strict=True)} | exclusive
    if kept != occupancy.default:
        settled |= dict.fromkeys((DEFAULT_GROUP, *occupancy.followers), kept)
    return _Settled(settled, situation.shared_with_io(masks, shrink=means.shrink), moves, limits)


def _rooms(
    groups: Sequence[DesiredGroup], host: Host, removed: frozenset[str], *, shrink: bool
) -> dict[tuple[int, int], Rooms]:
    """The rooms of exclusive groups by level and cache id."""
    if not any(group.request and group.request.exclusive for group in groups):
        return {}
    places = dict.fromkeys((control.level, cache_id) for control in host.caches for cache_id in control.size_bytes)
    return {place: find_rooms(groups, host, removed, *place, shrink=shrink) for place in places}


def _is_libvirts_copy(group: DesiredGroup, host: Host, control: CacheControl, cache_id: int) -> bool:
    """Whether libvirt copied the mask from the default group when the guest started: such a mask is left alone."""
    existing = host.group(group.path)
    return existing is not None and existing.owner == "libvirt" and _request_for(group, control, cache_id) is None


def _request_for(group: DesiredGroup, control: CacheControl, cache_id: int) -> CacheRequest | None:
    caches = group.request.caches if group.request else ()
    key = (control.level, control.type, cache_id)
    return next((c for c in caches if (c.level, c.type, c.cache_id) == key), None)


def _ways(request: CacheRequest | None, host: Host) -> int | None:
    ways = None if request is None else ways_of(request, host)
    return None if isinstance(ways, Finding) else ways


def _bandwidth(group: DesiredGroup, host: Host) -> Bandwidth:
    """The requested nodes; nodes of an existing group that are no longer requested get the maximum again.

    These are the values that the host will show, which on MPAM are not always those requested.
    """
    rows = {control.name: _limits(group, host, control) for control in host.bandwidths}
    return Bandwidth({name: rows[name] for name in sorted(rows) if rows[name]})


def _limits(group: DesiredGroup, host: Host, control: BandwidthControl) -> dict[int, int]:
    """The values of one resource."""
    if group.request is None:
        return {}
    existing = host.group(group.path)
    current = existing.bandwidth.row(control.name) if existing else {}
    found = {n.node_id: bandwidth_of(n, control) for n in group.request.nodes if n.resource == control.name}
    wanted = {i: value for i, value in found.items() if not isinstance(value, Finding)}
    values = {i: value if current.get(i) == value else kept(control, value) for i, value in wanted.items()}
    if (most := control.max_bandwidth) is not None:
        values |= dict.fromkeys(_released(group, host, control), most)
    return dict(sorted(values.items()))


def _released(group: DesiredGroup, host: Host, control: BandwidthControl) -> list[int]:
    """The nodes on which an existing group has a limit that is no longer requested."""
    existing = host.group(group.path)
    if existing is None or existing.owner == "libvirt":
        return []
    requested = {n.node_id for n in group.request.nodes if n.resource == control.name} if group.request else set()
    current = existing.bandwidth.row(control.name)
    return [i for i in current if i not in requested and current[i] != control.max_bandwidth]


def _limit_findings(groups: Iterable[DesiredGroup], host: Host) -> list[Finding]:
    """Limits that are no longer requested and that cannot be lifted, since AMD's maximum is in no file."""
    controls = [b for b in host.bandwidths if b.max_bandwidth is None]
    return [
        RULES["CT227"].at(group.at, path=group.path, nodes=numbered(f"{control.name} node", released))
        for control in controls
        for group in groups
        if (released := _released(group, host, control))
    ]


def _snc_findings(groups: Iterable[DesiredGroup], host: Host) -> list[Finding]:
    """Once: what a size in bytes means on a host with Sub-NUMA clustering. Each node has its part of every way."""
    if host.snc_nodes == 1:
        return []
    for group in groups:
        for request in group.request.caches if group.request else ():
            if request.level == _DIVIDED_LEVEL and request.size.unit == "B":
                size, nodes = int(request.size.number), host.snc_nodes
                return [RULES["CT226"].at(request.at, nodes=nodes, size=about(size), each=about(size // nodes))]
    return []


def _exclusive_findings(
    allocations: Mapping[str, Allocation], host: Host, groups: Iterable[DesiredGroup]
) -> list[Finding]:
    """The kernel refuses a mask that overlaps with an exclusive default group."""
    findings = []
    for group in groups:
        masks = allocations[group.path].masks
        shared = [
            numbered(f"{control.name} cache", ids)
            for control in host.caches
            if (ids := [i for i, mask in masks.row(control.name).items() if mask & exclusive_bits(host, control, i)])
        ]
        if shared and group.request:
            findings.append(RULES["CT219"].at(group.request.at, caches=listed(shared)))
    return findings


def _unread_findings(groups: Sequence[DesiredGroup], host: Host, removed: frozenset[str]) -> list[Finding]:
    """Groups whose ways are not known, on caches where ways are allocated and bit_usage is missing."""
    if not host.problems:
        return []
    ignored = removed | {group.path for group in groups}
    unread: dict[str, list[str]] = {}
    for group in groups:
        for request in group.request.caches if group.request else ():
            control = control_of(request, host)
            if control and request.cache_id in control.size_bytes and request.cache_id not in control.bit_usage:
                for other in groups_without_mask(host, control, request.cache_id, ignored):
                    unread.setdefault(other.path, []).append(f"{control.name} cache {request.cache_id}")
    at = groups[0].at if groups else Source()
    return [
        RULES["CT228"].at(at, path=path, caches=listed(list(dict.fromkeys(caches)), 4))
        for path, caches in unread.items()
    ]
