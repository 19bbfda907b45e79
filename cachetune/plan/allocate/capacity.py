"""Check a domain's requests against the host: convert bytes to ways, and report what the host cannot do."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from cachetune.domain.model import BandwidthRequest, CacheRequest, GroupRequest, MonitorRequest
from cachetune.findings import Finding
from cachetune.host.diagnosis import missing_l3_control
from cachetune.host.model import BandwidthControl, CacheControl, Host
from cachetune.idset import numbered
from cachetune.plan.bandwidth import (
    LOOKS_LIKE_PERCENT,
    NOUNS,
    UNITS,
    are_numa_nodes,
    in_words,
    l3_ids,
    step_of,
    with_unit,
)
from cachetune.plan.rounding import (
    exact_bandwidth,
    exact_ways,
    in_unit_of,
    is_valid_bandwidth,
    steps_around,
    valid_ways,
    whole_bandwidth,
    whole_ways,
)
from cachetune.plan.rules import RULES
from cachetune.text import count, listed
from cachetune.units import HUNDRED, Size, format_size

_EVENTS = {"cache": ("llc_",), "memory": ("mbm_",), "energy": ("core_energy", "activity")}
_WITHOUT_SLOW_MEMORY = "remove the <node>; AMD's processors have it from EPYC 9004 (Genoa) on, with Linux 6.3 or later"
_CONTROLLED = (2, 3)  # the levels for which resctrl has allocation at all


def capacity_findings(request: GroupRequest, host: Host) -> list[Finding]:
    """Everything in the request that this host cannot do, regardless of other groups."""
    findings: list[Finding] = []
    for cache in request.caches:
        requested = ways_of(cache, host)
        if isinstance(requested, Finding):
            findings.append(requested)
    findings += _findings_of_nodes(request.nodes, host)
    for monitor in request.monitors:
        findings += _monitor_findings(monitor, host)
    return findings


def control_of(request: CacheRequest, host: Host) -> CacheControl | None:
    """The cache resource of a request; None if the host has no such resource."""
    return next((c for c in host.caches if c.level == request.level and c.type == request.type), None)


def ways_of(request: CacheRequest, host: Host) -> int | Finding:
    """The requested number of ways, or the reason why the host cannot provide it.

    The checks, their order and the limits are libvirt's: the whole cache is refused, and bytes are rounded only with
    --round.
    """
    control = control_of(request, host)
    if control is None:
        return _no_control(request, host)
    about: dict[str, Any] = {"resource": control.name, "id": request.cache_id}
    if request.cache_id not in control.size_bytes:
        return RULES["CT203"].at(request.id_at or request.at, hint=_caches_of(control), **about)
    size, total, way = request.size, control.size_bytes[request.cache_id], control.way_bytes(request.cache_id) or 0
    if size.unit == "B" and not way:
        return RULES["CT218"].at(request.at, **about)
    exact = exact_ways(size, control, way)
    nearest = partial(_nearest, exact, size, control, way)
    if size.number == total if size.unit == "B" else exact == control.ways:
        return RULES["CT204"].at(request.at, size=size, hint=nearest(), **about)
    ways = whole_ways(size, exact, control, request.rounding)
    if ways is None:
        hint = f"{nearest()}; or plan with --round"
        return RULES["CT205"].at(request.at, size=size, way=format_size(way), hint=hint, **about)
    if ways == control.ways != exact:
        return RULES["CT204"].at(request.at, size=f"{size}, rounded up,", hint=nearest(), **about)
    least = max(control.min_cbm_bits, 0 if ways == exact else 1)
    if ways < least:
        shown = format_size(least * way) if size.unit == "B" else count(least, "way")
        return RULES["CT206"].at(request.at, size=size, least=shown, hint=nearest(), **about)
    return ways


class Amount(NamedTuple):
    """What a valid request amounts to: bytes of a cache, or a bandwidth in the host's unit.

    ``rounded_from`` is the request as it was written if it had to be rounded, else "".
    """

    resource: str
    id: int
    amount: int
    rounded_from: str


def amount_of(request: CacheRequest | BandwidthRequest, host: Host) -> Amount | None:
    """What a request amounts to on the host; None if it is not valid there."""
    if isinstance(request, CacheRequest):
        control, ways = control_of(request, host), ways_of(request, host)
        if control is None or isinstance(ways, Finding):
            return None
        way = control.way_bytes(request.cache_id) or 0
        written = "" if ways == exact_ways(request.size, control, way) else str(request.size)
        return Amount(control.name, request.cache_id, ways * way, written)
    bandwidth = host.bandwidth(request.resource)
    value = bandwidth_of(request, bandwidth) if bandwidth else None
    if bandwidth is None or not isinstance(value, int):
        return None
    written = "" if value == exact_bandwidth(request.bandwidth, bandwidth.unit) else str(request.bandwidth)
    return Amount(bandwidth.name, request.node_id, value, written)


def _no_control(request: CacheRequest, host: Host) -> Finding:
    types = [c.type for c in host.caches if c.level == request.level]
    if not types:
        at = request.level_at or request.at
        return RULES["CT201"].at(at, level=request.level, hint=_other_levels(request.level, host))
    return RULES["CT202"].at(
        request.type_at or request.at,
        type=request.type,
        level=request.level,
        hint=_other_types(types, request.level, host),
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


def _nearest(exact: Fraction, size: Size, control: CacheControl, way: int) -> str:
    """The valid sizes around a size, in its unit; a cache of one way, or whose minimum is all ways, has none."""
    valid = valid_ways(control)
    if not valid:
        return "no size is valid: every group on this host has the whole cache"
    around = [_in_unit_of(size, ways, control, way) for ways in ways_around(exact, control)]
    return "nearest valid: " + listed(around, joint="or")


def ways_around(exact: Fraction, control: CacheControl) -> list[int]:
    """The valid numbers of ways next to one that is not, if there is any valid one."""
    valid = valid_ways(control)
    around = [ways for ways in (int(exact), int(exact) + 1) if ways in valid]
    return around or [valid[0] if exact < valid[0] else valid[-1]]


def _in_unit_of(size: Size, ways: int, control: CacheControl, way: int) -> str:
    """A number of ways in the unit of a size; a percentage close enough to mean that number again."""
    if size.unit == "B":
        return format_size(ways * way)
    return str(Size(round(Fraction(HUNDRED * ways, control.ways)), "%") if size.unit == "%" else Size(ways, "ways"))


def _findings_of_nodes(requests: Iterable[BandwidthRequest], host: Host) -> Iterator[Finding]:
    """What this host cannot do; once for all nodes that an option has given the same bandwidth."""
    nodes: dict[Finding, list[int]] = {}
    for request in requests:
        for finding in _node_findings(request, host):
            nodes.setdefault(finding, []).append(request.node_id)
    for finding, ids in nodes.items():
        of = f"{numbered('node', ids)}: " if len(ids) > 1 else ""
        yield replace(finding, message=of + finding.message)


def _node_findings(request: BandwidthRequest, host: Host) -> Iterator[Finding]:
    control, what = host.bandwidth(request.resource), NOUNS[request.resource]
    if control is None:
        hint = _without_bandwidth(host) if request.resource == "MB" else _WITHOUT_SLOW_MEMORY
        yield RULES["CT208"].at(request.at, what=what, hint=hint)
        return
    if request.node_id not in control.ids:
        hint = _nodes_of(request.node_id, control, host)
        yield RULES["CT209"].at(request.id_at or request.at, what=what, id=request.node_id, hint=hint)
    yield from _bandwidth_findings(request, control)


def _without_bandwidth(host: Host) -> str:
    if host.is_mpam and any(c.type == "code" for c in host.caches):
        return "remove <memorytune>, or mount resctrl without cdp: MPAM has no MB with it"
    if host.bandwidth("SMBA"):
        return "the host controls the bandwidth of slow memory only: remove the <node>, or request resource='SMBA'"
    return "remove <memorytune>, or choose a host with memory bandwidth control"


def _nodes_of(node_id: int, control: BandwidthControl, host: Host) -> str:
    """What the nodes are on this host, and which there are."""
    caches = l3_ids(host)
    if not control.ids:
        return f"the default group's schemata lists no {control.name} node"
    nodes = numbered(f"{NOUNS[control.name]} node", control.ids)
    if are_numa_nodes(control, host):
        return f"the host has {nodes}; on this host they are NUMA nodes, not {numbered('L3 cache', caches)}"
    if node_id in caches:
        return f"only {numbered('L3 cache', control.ids)} of {numbered('L3 cache', caches)} has bandwidth control"
    if set(control.ids) == caches:
        return f"the host has {nodes}; node ids are the ids of the L3 caches"
    return f"the host has {nodes}"


def bandwidth_of(request: BandwidthRequest, control: BandwidthControl) -> int | Finding:
    """The requested bandwidth in the host's unit, or the reason why the host cannot provide it."""
    rate = request.bandwidth
    exact = exact_bandwidth(rate, control.unit)
    if exact is None:
        return RULES["CT232"].at(request.at, value=rate, unit=UNITS[control.unit], hint=_own_unit(control))
    value = whole_bandwidth(rate, exact, control, request.rounding)
    if value is not None:
        return value
    least, step = control.min_bandwidth, control.bandwidth_gran
    most = control.max_bandwidth
    if most is None:  # the kernel decides
        most = max(int(exact) + 1, least)
    nearest = listed([str(in_unit_of(rate, v, control.unit)) for v in _valid_around(exact, control)], joint="or")
    shown = rate if rate.unit else with_unit(int(exact), control.unit)
    if not least <= exact <= most:
        hint = f"nearest valid: {nearest}"
        if control.unit == "percent" and exact > most:
            hint += "; this host counts percent, and MiB/s only if resctrl is mounted with mba_MBps"
        bounds = f"{with_unit(least, control.unit)} to {with_unit(most, control.unit)}"
        return RULES["CT211"].at(request.at, value=shown, range=bounds, hint=hint)
    hint = f"nearest valid: {nearest}" + ("" if rate.unit else "; or plan with --round")
    return RULES["CT210"].at(request.at, value=rate, step=step_of(control) if rate.unit else step, hint=hint)


def _bandwidth_findings(request: BandwidthRequest, control: BandwidthControl) -> Iterator[Finding]:
    value = bandwidth_of(request, control)
    if isinstance(value, Finding):
        yield value
    elif request.bandwidth.unit or control.unit == "percent":
        return
    elif value <= LOOKS_LIKE_PERCENT:
        yield RULES["CT225"].at(request.at, value=value, meaning=in_words(value, control.unit), hint=_units(control))
    elif control.unit == "MiB/s" and value % 10:
        yield RULES["CT221"].at(request.at, value=value)


def _valid_around(exact: Fraction, control: BandwidthControl) -> list[int]:
    """The values next to one that is not valid: below and above it, or the end of the range that it is outside of."""
    most = control.max_bandwidth
    if most is not None and exact > most:
        return [most]
    around = [value for value in steps_around(exact, control) if value > 0 and is_valid_bandwidth(value, control)]
    return around or [max(control.min_bandwidth, control.bandwidth_gran)]


def _own_unit(control: BandwidthControl) -> str:
    """Which units a request may have on this host."""
    if control.unit == "percent":
        return "request percent (unit='%') as well, or instead; the host does not say how many MiB/s they are"
    return (
        "request GB/s or MiB/s (unit='GB/s' or 'MiB/s') as well, or instead; "
        "the host does not say how much all of its bandwidth is"
    )


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
