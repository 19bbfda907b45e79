"""Check a domain's requests against the host: convert bytes to ways, and report what the host cannot do."""

from typing import Any

from cachetune.domain.model import BandwidthRequest, CacheRequest, GroupRequest, MonitorRequest
from cachetune.findings import Finding
from cachetune.host.model import BandwidthControl, CacheControl, Host
from cachetune.idset import numbered
from cachetune.plan.rules import RULES
from cachetune.text import listed
from cachetune.units import format_size

_EVENTS = {"cache": ("llc_",), "memory": ("mbm_",), "energy": ("core_energy", "activity")}


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
        return RULES["CT203"].at(request.at, available=numbered(f"{control.name} cache", control.size_bytes), **about)
    size, way = control.size_bytes[request.cache_id], control.way_bytes(request.cache_id)
    if not size or not way:
        return RULES["CT218"].at(request.at, **about)
    least, most = max(control.min_cbm_bits, 0) * way, (control.ways - 1) * way
    requested = format_size(request.size_bytes)
    if request.size_bytes == size:
        return RULES["CT204"].at(request.at, size=requested, most=format_size(most), **about)
    if request.size_bytes % way:
        return RULES["CT205"].at(
            request.at,
            size=requested,
            way=format_size(way),
            nearest=_nearest(request.size_bytes, way, max(least, way), most),
            **about,
        )
    if request.size_bytes < least:
        return RULES["CT206"].at(request.at, size=requested, least=format_size(least), **about)
    return request.size_bytes // way


def _no_control(request: CacheRequest, host: Host) -> Finding:
    types = [c.type for c in host.caches if c.level == request.level]
    if not types:
        levels = sorted({f"L{c.level}" for c in host.caches})
        return RULES["CT201"].at(request.at, level=request.level, available=listed(levels) or "no caches")
    cdp = "code" in types
    return RULES["CT202"].at(
        request.at,
        type=request.type,
        level=request.level,
        available=" or ".join(types),
        mount="without" if cdp else "with",
        option="cdpl2" if request.level == 2 else "cdp",
    )


def _nearest(size: int, step: int, least: int, most: int) -> str:
    below, above = size // step * step, (size // step + 1) * step
    legal = [value for value in (below, above) if least <= value <= most]
    return listed([format_size(v) for v in legal or [least if size < least else most]], joint="or")


def _node_findings(request: BandwidthRequest, host: Host) -> list[Finding]:
    control = next((b for b in host.bandwidths if b.name == "MB"), None)
    if control is None:
        return [RULES["CT208"].at(request.at)]
    findings = []
    if request.node_id not in control.ids:
        findings.append(
            RULES["CT209"].at(request.at, id=request.node_id, available=numbered("memory bandwidth node", control.ids))
        )
    return findings + _bandwidth_findings(request, control)


def _bandwidth_findings(request: BandwidthRequest, control: BandwidthControl) -> list[Finding]:
    value, step = request.bandwidth, control.bandwidth_gran
    least, most = control.min_bandwidth, control.max_bandwidth
    if most is None:  # the kernel decides
        most = max(value, least)
    if not least <= value <= most:
        nearest = most if value > most else least
        return [RULES["CT211"].at(request.at, value=value, least=least, most=most, unit=control.unit, nearest=nearest)]
    if step and value % step and value != most:
        legal = [v for v in (value // step * step, (value // step + 1) * step) if least <= v <= most]
        either = listed([str(v) for v in legal], joint="or")
        return [RULES["CT210"].at(request.at, value=value, step=step, nearest=either)]
    if control.unit == "MiB/s" and value % 10:
        return [RULES["CT221"].at(request.at, value=value)]
    return []


def _monitor_findings(request: MonitorRequest, host: Host) -> list[Finding]:
    if not host.monitors:
        return [RULES["CT214"].at(request.at, resource=request.resource)]
    features = [f for m in host.monitors for f in m.features]
    if not any(f.startswith(_EVENTS[request.resource]) for f in features):
        events = " or ".join(f"{e}*" if e.endswith("_") else e for e in _EVENTS[request.resource])
        return [RULES["CT220"].at(request.at, resource=request.resource, events=events)]
    return []
