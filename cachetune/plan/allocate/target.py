"""The state that a plan leads to: every mask and bandwidth of the groups that the plan may write.

``Target.groups`` maps the path of each control group that will have other values, or may, to those values; the default
group and the groups of ours that share its ways are among them only when the default group shrinks.
"""

from collections.abc import Iterable, Mapping

import msgspec

from cachetune.cbm import Cbm
from cachetune.domain.model import CacheRequest
from cachetune.findings import Finding
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.plan.allocate.capacity import ways_of
from cachetune.plan.allocate.occupancy import exclusive_bits, mask_of, occupancy_of
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, settle, shrink_default
from cachetune.plan.groups.translate import DesiredGroup
from cachetune.plan.rules import RULES
from cachetune.units import format_size

Masks = dict[str, dict[int, Cbm]]


class Values(msgspec.Struct):
    """Masks and bandwidth of one control group, resource name to id to value."""

    masks: Masks
    bandwidth: dict[str, dict[int, int]]


class Target(msgspec.Struct, frozen=True):
    """Values by group path, and why some could not be found."""

    groups: dict[str, Values]
    findings: tuple[Finding, ...]


def find_target(wanted: Iterable[DesiredGroup], host: Host, gone: frozenset[str], *, shrink: bool) -> Target:
    """Settle every cache of the host for the control groups wanted. ``gone`` are groups that are removed beforehand."""
    asking = [g for g in wanted if g.request]
    groups = {g.path: Values({}, _bandwidth(g, host)) for g in asking}
    findings: list[Finding] = []
    for control in host.caches:
        for cache_id in control.size_bytes:
            findings += _settle_cache(asking, host, gone, control, cache_id, groups, shrink=shrink)
    return Target(groups, (*findings, *_exclusive_findings(groups, host, asking)))


def _settle_cache(
    asking: list[DesiredGroup],
    host: Host,
    gone: frozenset[str],
    control: CacheControl,
    cache_id: int,
    groups: dict[str, Values],
    *,
    shrink: bool,
) -> list[Finding]:
    asking = [g for g in asking if not _is_libvirts_copy(g, host, control, cache_id)]
    occupancy = occupancy_of(host, control, cache_id, gone | {g.path for g in asking})
    default = occupancy.default
    cache = Cache(control, default, occupancy.taken)
    requests = [_request_for(g, control, cache_id) for g in asking]
    asks = [
        WayRequest(_ways(r, host), mask_of(now, control, cache_id) if (now := host.group(g.path)) else None)
        for g, r in zip(asking, requests, strict=True)
    ]
    try:
        kept, masks = shrink_default(cache, asks) if shrink else (default, settle(cache, asks, default))
    except DoesNotFitError as error:
        request = requests[error.index]
        assert request is not None  # noqa: S101 - only a request can fail to fit
        return [_no_room(request, error, cache, cache_id, host, shrink=shrink, asks=asks)]
    for asked, mask in zip(asking, masks, strict=True):
        groups[asked.path].masks.setdefault(control.name, {})[cache_id] = mask
    if kept != default:
        for path in (DEFAULT_GROUP, *occupancy.followers):
            groups.setdefault(path, Values({}, {})).masks.setdefault(control.name, {})[cache_id] = kept
    placed = [(r, mask) for r, ask, mask in zip(requests, asks, masks, strict=True) if r and ask.ways is not None]
    return _shared_findings(placed, control, cache_id)


def _is_libvirts_copy(group: DesiredGroup, host: Host, control: CacheControl, cache_id: int) -> bool:
    """Whether the mask is one that libvirt copied from the default group at the guest's start: it is left alone."""
    there = host.group(group.path)
    return there is not None and there.owner == "libvirt" and _request_for(group, control, cache_id) is None


def _request_for(group: DesiredGroup, control: CacheControl, cache_id: int) -> CacheRequest | None:
    caches = group.request.caches if group.request else ()
    wanted = (control.level, control.type, cache_id)
    return next((c for c in caches if (c.level, c.type, c.cache_id) == wanted), None)


def _ways(request: CacheRequest | None, host: Host) -> int | None:
    ways = None if request is None else ways_of(request, host)
    return None if isinstance(ways, Finding) else ways


def _bandwidth(group: DesiredGroup, host: Host) -> dict[str, dict[int, int]]:
    """MB for the nodes asked for; a group that exists gets the maximum back where nothing is asked for any more."""
    control = next((b for b in host.bandwidths if b.name == "MB"), None)
    if control is None or group.request is None:
        return {}
    asked = {n.node_id: n.bandwidth for n in group.request.nodes}
    now = host.group(group.path)
    if now and now.owner != "libvirt":
        current = now.bandwidth.get("MB", {})
        asked |= {i: control.max_bandwidth for i in current if i not in asked and current[i] != control.max_bandwidth}
    return {"MB": dict(sorted(asked.items()))} if asked else {}


def _no_room(
    request: CacheRequest,
    error: DoesNotFitError,
    cache: Cache,
    cache_id: int,
    host: Host,
    *,
    shrink: bool,
    asks: list[WayRequest],
) -> Finding:
    control = cache.control
    free, hole = error.free.bit_count(), error.largest_hole
    advice = "ask for less, or remove groups that are no longer needed"
    if free >= error.wanted:
        advice = f"the free ways are in pieces; the largest hole takes {format_size(_bytes(control, cache_id, hole))}"
    if not shrink:
        try:
            kept, _ = shrink_default(cache, asks)
            advice = f"plan with --shrink-default: the default group would keep {kept:x} of {cache.default:x}"
        except DoesNotFitError:
            pass
    return RULES["CT207"].at(
        request.at,
        ways="1 way" if error.wanted == 1 else f"{error.wanted} ways",
        size=format_size(request.size_bytes),
        resource=control.name,
        id=cache_id,
        free=free,
        hole=hole,
        owners=_owners(control, cache_id, host),
        advice=advice,
    )


def _bytes(control: CacheControl, cache_id: int, ways: int) -> int:
    return ways * (control.way_bytes(cache_id) or 0)


def _owners(control: CacheControl, cache_id: int, host: Host) -> str:
    """Who has which bits of a cache, in one line."""
    held = [
        f"{'the default group' if g.path == DEFAULT_GROUP else f'{g.path} ({g.owner})'} has {mask:x}"
        for g in host.control_groups()
        if (mask := mask_of(g, control, cache_id))
    ]
    return ", ".join(held)


def _shared_findings(placed: list[tuple[CacheRequest, Cbm]], control: CacheControl, cache_id: int) -> list[Finding]:
    return [
        RULES["CT217"].at(
            request.at, mask=f"{mask:x}", resource=control.name, id=cache_id, shared=f"{control.shareable_bits:x}"
        )
        for request, mask in placed
        if mask & control.shareable_bits and control.shareable_bits != control.cbm_mask
    ]


def _exclusive_findings(groups: Mapping[str, Values], host: Host, asking: list[DesiredGroup]) -> list[Finding]:
    """A copy of the default group's mask is refused by the kernel when that group is exclusive."""
    findings = []
    for group in asking:
        masks = groups[group.path].masks
        shared = [
            f"{control.name} cache {i}"
            for control in host.caches
            for i, mask in masks.get(control.name, {}).items()
            if mask & exclusive_bits(host, control, i)
        ]
        if shared and group.request:
            findings.append(RULES["CT219"].at(group.request.at, caches=", ".join(shared)))
    return findings
