"""Check a domain's requests against the host: convert bytes to ways, and report what the host cannot do."""

from collections.abc import Iterator, Sequence
from typing import Any

from cachetune.domain.model import BandwidthRequest, CacheRequest, GroupRequest, MonitorRequest
from cachetune.findings import Finding
from cachetune.host.diagnosis import missing_l3_control
from cachetune.host.model import BandwidthControl, CacheControl, Host
from cachetune.idset import numbered
from cachetune.plan.bandwidth import LOOKS_LIKE_PERCENT, are_numa_nodes, in_words, l3_ids, with_unit
from cachetune.plan.rules import RULES
from cachetune.text import listed
from cachetune.units import format_size

_EVENTS = {"cache": ("llc_",), "memory": ("mbm_",), "energy": ("core_energy", "activity")}
_CONTROLLED = (2, 3)  # the levels for which resctrl has allocation at all


def capacity_findings(request: GroupRequest, host: Host) -> list[Finding]:
    """Everything in the request that this host cannot do, regardless of other groups."""
    findings: list[Finding] = []
    for cache in request.caches:
        requested = ways_of(cache, host)
        if isinstance(requested, Finding):
            findings.append(requested)
    for node in request.nodes:
        findings += _node_findings(node, host)
    for monitor in request.monitors:
        findings += _monitor_findings(monitor, host)
    return findings


def control_of(request: CacheRequest, host: Host) -> CacheControl | None:
    """The cache resource of a request; None if the host has no such resource."""
    return next((c for c in host.caches if c.level == request.level and c.type == request.type), None)


def ways_of(request: CacheRequest, host: Host) -> int | Finding:
    """The requested number of ways, or the reason why the host cannot provide it.

    The checks, their order and the limits are libvirt's: the whole cache is refused, and nothing is rounded.
    """
    control = control_of(request, host)
    if control is None:
        return _no_control(request, host)
    about: dict[str, Any] = {"resource": control.name, "id": request.cache_id}
    if request.cache_id not in control.size_bytes:
        return RULES["CT203"].at(request.at, hint=_caches_of(control), **about)
    size, way = control.size_bytes[request.cache_id], control.way_bytes(request.cache_id)
    if not size or not way:
        return RULES["CT218"].at(request.at, **about)
    requested = format_size(request.size_bytes)
    least, most = max(control.min_cbm_bits, 0) * way, (control.ways - 1) * way
    nearest = _nearest(request.size_bytes, way, max(least, way), most)
    if request.size_bytes == size:
        return RULES["CT204"].at(request.at, size=requested, hint=nearest, **about)
    if request.size_bytes % way:
        return RULES["CT205"].at(request.at, size=requested, way=format_size(way), hint=nearest, **about)
    if request.size_bytes < least:
        return RULES["CT206"].at(request.at, size=requested, least=format_size(least), hint=nearest, **about)
    return request.size_bytes // way


def _no_control(request: CacheRequest, host: Host) -> Finding:
    types = [c.type for c in host.caches if c.level == request.level]
    if not types:
        return RULES["CT201"].at(request.at, level=request.level, hint=_other_levels(request.level, host))
    return RULES["CT202"].at(
        request.at, type=request.type, level=request.level, hint=_other_types(types, request.level, host)
    )


def _other_levels(level: int, host: Host) -> str:
    """What to do about a level that the host does not control."""
    levels = sorted({c.level for c in host.caches})
    controlled = f"the host controls {listed([f'L{n}' for n in levels])} only" if levels else ""
    if level == 3 and (missing := missing_l3_control(host)):
        return f"{controlled or missing.what}; {missing.remedy}"
    if level in _CONTROLLED:
        return controlled or "the host controls no caches; remove the <cache> or choose a host with CAT"
    return controlled or "resctrl can control L2 and L3 only, and the host controls neither"


def _other_types(types: Sequence[str], level: int, host: Host) -> str:
    """What to do about code and data without CDP, or the reverse."""
    option = "cdpl2" if level == 2 else "cdp"
    if "code" in types:
        mount = f"mount resctrl without the option {option}"
    elif host.is_mpam:
        mount = f"mount resctrl with the option {option}, which most MPAM kernels refuse"
    else:
        mount = f"mount resctrl with the option {option} if the processor has CDP"
    return f"use type {listed(types, joint='or')}, or {mount}"


def _caches_of(control: CacheControl) -> str:
    if not control.size_bytes:
        return f"the default group's schemata lists no {control.name} cache: no CPU of one may be online"
    return f"the host has {numbered(f'{control.name} cache', control.size_bytes)}"


def _nearest(size: int, step: int, least: int, most: int) -> str:
    """The valid sizes around a size. A cache of one way, or whose minimum is all ways, has no valid size."""
    if most < least:
        return "no size is valid: every group on this host has the whole cache"
    below, above = size // step * step, (size // step + 1) * step
    legal = [value for value in (below, above) if least <= value <= most]
    return "nearest valid: " + listed([format_size(v) for v in legal or [least if size < least else most]], joint="or")


def _node_findings(request: BandwidthRequest, host: Host) -> Iterator[Finding]:
    control = next((b for b in host.bandwidths if b.name == "MB"), None)
    if control is None:
        yield RULES["CT208"].at(request.at, hint=_without_bandwidth(host))
        return
    if request.node_id not in control.ids:
        yield RULES["CT209"].at(request.at, id=request.node_id, hint=_nodes_of(request.node_id, control, host))
    yield from _bandwidth_findings(request, control)


def _without_bandwidth(host: Host) -> str:
    if host.is_mpam and any(c.type == "code" for c in host.caches):
        return "remove <memorytune>, or mount resctrl without cdp: MPAM has no MB with it"
    if any(b.name == "SMBA" for b in host.bandwidths):
        return (
            "remove <memorytune>: the host controls the bandwidth of slow memory (SMBA) only, which libvirt cannot set"
        )
    return "remove <memorytune>, or choose a host with memory bandwidth control"


def _nodes_of(node_id: int, control: BandwidthControl, host: Host) -> str:
    """What the nodes are on this host, and which there are."""
    caches = l3_ids(host)
    if not control.ids:
        return "the default group's schemata lists no MB node"
    nodes = numbered("memory bandwidth node", control.ids)
    if are_numa_nodes(control, host):
        return f"the host has {nodes}; on this host they are NUMA nodes, not {numbered('L3 cache', caches)}"
    if node_id in caches:
        return f"only {numbered('L3 cache', control.ids)} of {numbered('L3 cache', caches)} has bandwidth control"
    if set(control.ids) == caches:
        return f"the host has {nodes}; node ids are the ids of the L3 caches"
    return f"the host has {nodes}"


def _bandwidth_findings(request: BandwidthRequest, control: BandwidthControl) -> Iterator[Finding]:
    value, step = request.bandwidth, control.bandwidth_gran
    least, most = control.min_bandwidth, control.max_bandwidth
    if most is None:  # the kernel decides
        most = max(value, least)
    if not least <= value <= most:
        yield RULES["CT211"].at(
            request.at,
            value=with_unit(value, control.unit),
            range=f"{with_unit(least, control.unit)} to {with_unit(most, control.unit)}",
            hint=_nearest_bandwidth(value, least, most, control),
        )
    elif value % step and value != most:
        legal = [v for v in (value // step * step, min((value // step + 1) * step, most)) if least <= v]
        either = listed([str(v) for v in legal], joint="or")
        yield RULES["CT210"].at(request.at, value=value, step=step, nearest=either)
    elif control.unit != "percent" and value <= LOOKS_LIKE_PERCENT:
        yield RULES["CT225"].at(request.at, value=value, meaning=in_words(value, control.unit), hint=_units(control))
    elif control.unit == "MiB/s" and value % 10:
        yield RULES["CT221"].at(request.at, value=value)


def _nearest_bandwidth(value: int, least: int, most: int, control: BandwidthControl) -> str:
    nearest = f"nearest valid: {most if value > most else least}"
    if control.unit == "percent" and value > most:
        return f"{nearest}; this host counts percent, and MiB/s only if resctrl is mounted with mba_MBps"
    return nearest


def _units(control: BandwidthControl) -> str:
    if control.unit == "MiB/s":
        return "request MiB/s, or mount resctrl without mba_MBps if the number is meant as percent"
    most = f": {with_unit(control.max_bandwidth, control.unit)} is no limit" if control.max_bandwidth else ""
    return f"request eighths of a GB/s; AMD has no percent{most}"


def _monitor_findings(request: MonitorRequest, host: Host) -> list[Finding]:
    if not host.monitors:
        return [RULES["CT214"].at(request.at, resource=request.resource)]
    features = [f for m in host.monitors for f in m.features]
    if not any(f.startswith(_EVENTS[request.resource]) for f in features):
        events = " or ".join(f"{e}*" if e.endswith("_") else e for e in _EVENTS[request.resource])
        return [RULES["CT220"].at(request.at, resource=request.resource, events=events)]
    return []
