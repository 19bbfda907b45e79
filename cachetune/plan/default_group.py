"""Plan what the default group has: the values of ``cachetune default``, or again those that it had at first.

The default group keeps as many of its ways as it can, gets only ways that no group has, and gives up the lowest first,
as when it shrinks for a guest. Our groups with its mask follow it.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.cbm import Bandwidth, Cbm, Masks, is_contiguous, run, runs
from cachetune.errors import PlanRefusedError
from cachetune.findings import Finding, Source
from cachetune.host.bandwidth import kept
from cachetune.host.model import DEFAULT_GROUP, BandwidthControl, BandwidthUnit, CacheControl, Host
from cachetune.plan.allocate.occupancy import Occupancy, io_to_avoid, mask_of, occupancy_of, of_all_types
from cachetune.plan.allocation import Allocation
from cachetune.plan.bandwidth import unit_of, with_unit
from cachetune.plan.build import resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.default_findings import default_findings
from cachetune.plan.diff import writes_to
from cachetune.plan.exclusive import DEVICES
from cachetune.plan.group_state import group_states
from cachetune.plan.model import NO_GUEST, DefaultGoal, Plan
from cachetune.plan.policy import Policy, holder_of, with_reserved
from cachetune.plan.rounding import exact_bandwidth, exact_ways, steps_around, whole_bandwidth, whole_ways
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step
from cachetune.text import count, listed
from cachetune.units import Rate, Rounding, Size

_OWNERS = 4


class CacheAmount(NamedTuple):
    """The requested size of one cache for the default group."""

    resource: str
    cache_id: int
    size: Size


class BandwidthAmount(NamedTuple):
    """The requested bandwidth of the default group on one node."""

    resource: str
    node: int
    rate: Rate


class DefaultRequest(NamedTuple):
    """The values requested for the default group; everything else stays."""

    caches: tuple[CacheAmount, ...] = ()
    bandwidths: tuple[BandwidthAmount, ...] = ()


def plan_default(
    host: Host, request: DefaultRequest, rounding: Rounding | None = None, policy: Policy | None = None
) -> Plan:
    """The plan that gives the default group these values. Raises PlanRefusedError with all findings."""
    room = with_reserved(host, policy)
    findings: list[Finding] = []
    masks: list[tuple[str, int, Cbm]] = []
    limits: list[tuple[str, int, int]] = []
    for cache in request.caches:
        found = _mask_for(cache, room, rounding)
        if isinstance(found, Finding):
            findings.append(found)
        else:
            masks.append((cache.resource, cache.cache_id, found))
    for bandwidth in request.bandwidths:
        value = _limit_for(bandwidth, host, rounding, policy)
        if isinstance(value, Finding):
            findings.append(value)
        else:
            limits.append((bandwidth.resource, bandwidth.node, value))
    if findings:
        raise PlanRefusedError(findings)
    goal = DefaultGoal(Allocation(Masks.of(masks), Bandwidth.of(limits)))
    return _plan(host, goal, policy)


def plan_policy(host: Host, policy: Policy) -> Plan:
    """The plan that gives the default group what the policy says, as far as no group has the ways.

    It gets ways only where it has less than the least; bandwidth where the policy has a value, or it has less than the
    least.
    """
    room = with_reserved(host, policy)
    masks = []
    for control in host.caches:
        for cache_id in control.size_bytes:
            occupancy = _occupancy(room, control, cache_id)
            least, has = policy.least_ways(control, cache_id) or 0, occupancy.default.bit_count()
            io = io_to_avoid(control, cache_id)
            grown = (_choose(ways, control, occupancy, io) for ways in range(least, has, -1))
            if mask := next((mask for mask in grown if mask and not occupancy.default & ~mask), None):
                masks.append((control.name, cache_id, mask))
    limits = []
    for bandwidth in host.bandwidths:
        value, least_value = policy.bandwidth_value(bandwidth), policy.least_bandwidth(bandwidth) or 0
        for node, now in host.default_group.bandwidth.row(bandwidth.name).items():
            wanted = value if value is not None else max(least_value, now)
            if wanted != now and (shown := kept(bandwidth, wanted)) != now:
                limits.append((bandwidth.name, node, shown))
    return _plan(host, DefaultGoal(Allocation(Masks.of(masks), Bandwidth.of(limits))), policy)


def plan_reset(host: Host, initial: Allocation, unit: BandwidthUnit | None, policy: Policy | None = None) -> Plan:
    """The plan that gives the default group its ``initial`` values again, as far as no group has the ways now.

    MB stays as it is if that was in another ``unit``, as before resctrl was mounted again with another option.
    """
    room = with_reserved(host, policy)
    masks: list[tuple[str, int, Cbm]] = []
    findings: list[Finding] = []
    for name, cache_id, first in initial.masks.entries():
        control = next((cache for cache in host.caches if cache.name == name), None)
        if control is None or cache_id not in control.size_bytes:
            continue
        occupancy = _occupancy(room, control, cache_id)
        mask = _as_before(first & control.cbm_mask, occupancy, control)
        masks.append((name, cache_id, mask))
        if missing := first & ~mask:
            owners = _owners(room, control, cache_id, missing)
            findings.append(
                RULES["CT241"].at(
                    Source(), resource=name, id=cache_id, mask=f"{mask:x}", first=f"{first:x}", owners=owners
                )
            )
    bandwidth = initial.bandwidth
    if initial.bandwidth.row("MB") and unit != (now := _unit_of_mb(host)):
        bandwidth = Bandwidth({name: row for name, row in initial.bandwidth.items() if name != "MB"})
        findings.append(RULES["CT242"].at(Source(), first=unit or "an unknown unit", now=now or "no bandwidth"))
    goal = DefaultGoal(Allocation(initial.masks, bandwidth), reset=True)
    return _plan(host, goal, policy, Allocation(Masks.of(masks), bandwidth), findings)


def _plan(
    host: Host,
    goal: DefaultGoal,
    policy: Policy | None,
    values: Allocation | None = None,
    findings: Iterable[Finding] = (),
) -> Plan:
    """The plan for the values of the goal, or for as much of them as is possible."""
    steps = _steps(host, values or goal.values)
    findings = (*findings, *default_findings(host, steps, policy))
    if any(finding.severity == "error" for finding in findings):
        raise PlanRefusedError(findings)
    return Plan(
        guests=(NO_GUEST,),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        bandwidth_unit=unit_of(host),
        groups=(),
        default_group=goal,
        steps=steps,
        warnings=findings,
        summary=summarize(steps, host),
    )


def _unit_of_mb(host: Host) -> BandwidthUnit | None:
    control = host.bandwidth("MB")
    return None if control is None else control.unit


def _steps(host: Host, values: Allocation) -> tuple[Step, ...]:
    """The writes to the default group, and to our groups that share its ways."""
    followers: dict[str, list[tuple[str, int, Cbm]]] = {}
    for name, cache_id, mask in values.masks.entries():
        control = next(cache for cache in host.caches if cache.name == name)
        for path in occupancy_of(host, control, cache_id, ()).followers:
            followers.setdefault(path, []).append((name, cache_id, mask))
    groups = {path: Allocation(Masks.of(entries)) for path, entries in followers.items()}
    return writes_to(host, {DEFAULT_GROUP: values, **groups})


# -- ways -----------------------------------------------------------------------------------------------------------


def _mask_for(request: CacheAmount, host: Host, rounding: Rounding | None) -> Cbm | Finding:
    """The mask of the requested size, or why the default group cannot have it."""
    refuse = _refusal(request.resource, request.cache_id, str(request.size))
    control = next((cache for cache in host.caches if cache.name == request.resource), None)
    if control is None:
        names = listed([cache.name for cache in host.caches], joint="and")
        return refuse(f"the host has no {request.resource} control", f"it controls {names or 'no caches'}")
    if request.cache_id not in control.size_bytes:
        ids = listed([str(i) for i in control.size_bytes], joint="and")
        return refuse("the host has no such cache", f"its {control.name} caches are {ids}")
    way_bytes = control.way_bytes(request.cache_id) or 0
    if request.size.unit == "B" and not way_bytes:
        return refuse("the size of the cache is unknown", "pass a number of ways or a percentage")
    exact = exact_ways(request.size, control, way_bytes)
    ways = whole_ways(request.size, exact, control, rounding)
    least = max(control.min_cbm_bits, 1)
    if ways is None:
        return refuse(f"that is {float(exact):.2f} ways", _nearest_ways(exact, control))
    if not least <= ways <= control.ways:
        return refuse(f"it can have {least} to {count(control.ways, 'way')}", _nearest_ways(exact, control))
    occupancy = _occupancy(host, control, request.cache_id)
    io = io_to_avoid(control, request.cache_id)
    if mask := _choose(ways, control, occupancy, io):
        return mask
    most = next((n for n in range(ways, 0, -1) if n >= least and _choose(n, control, occupancy, io)), 0)
    owners = _owners(host, control, request.cache_id, control.cbm_mask & ~occupancy.default)
    return RULES["CT239"].at(
        Source(),
        resource=control.name,
        id=request.cache_id,
        ways=count(ways, "way"),
        owners=owners,
        hint=f"at most {count(most, 'way')} can be given" if most else "remove groups that are no longer needed",
    )


def _occupancy(host: Host, control: CacheControl, cache_id: int) -> Occupancy:
    """Who holds the ways of a cache. In mode exclusive the default group can have no way of any other kind, either.

    Those are the ways of devices, and with CDP others' code beside its data, and the reverse.
    """
    found = occupancy_of(host, control, cache_id, ())
    if host.default_group.mode != "exclusive":
        return found
    theirs = found.taken | control.io_ways(cache_id)
    for group in host.control_groups():
        if group.path != DEFAULT_GROUP:
            theirs |= of_all_types(group, control, cache_id, host)
    return replace(found, taken=Cbm(theirs))


def _choose(ways: int, control: CacheControl, occupancy: Occupancy, io: Cbm) -> Cbm | None:
    """The mask with this many ways that keeps the most of the default group's, then of those of devices; the highest.

    None if the ways that it has and those that are free do not suffice.
    """
    default = occupancy.default
    room = default | (control.cbm_mask & ~occupancy.taken)
    windows = (run(start, ways) for start in range(control.ways - ways + 1))
    fitting = [mask for mask in windows if mask & ~room == 0]
    if fitting:
        return max(fitting, key=lambda mask: ((mask & default).bit_count(), (mask & io).bit_count(), mask))
    if not control.sparse_masks or room.bit_count() < ways:
        return None
    bits = [Cbm(1 << bit) for bit in range(control.ways) if room >> bit & 1]
    best = sorted(bits, key=lambda bit: (bool(bit & default), bool(bit & io), bit), reverse=True)
    return Cbm(sum(best[:ways]))


def _as_before(first: Cbm, occupancy: Occupancy, control: CacheControl) -> Cbm:
    """What the default group gets of the mask that it had at first: of several parts the one nearest to its mask now.

    It keeps its mask where that leaves too little.
    """
    default = occupancy.default
    free = first & ~(occupancy.taken & ~default)
    if control.sparse_masks:
        return free if free.bit_count() >= max(control.min_cbm_bits, 1) else default
    parts = [run(start, length) for start, length in runs(free) if length >= max(control.min_cbm_bits, 1)]
    best = max(parts, key=lambda mask: ((mask & default).bit_count(), mask.bit_count(), mask), default=default)
    return best if is_contiguous(best) else default


def _owners(host: Host, control: CacheControl, cache_id: int, ways: int) -> str:
    """Which groups have some of the ways: "web (cachetune) has 00f"."""
    exclusive = host.default_group.mode == "exclusive"
    held = []
    for group in host.control_groups():
        mask = of_all_types(group, control, cache_id, host) if exclusive else mask_of(group, control, cache_id)
        if group.path != DEFAULT_GROUP and mask & ways:
            held.append(f"{holder_of(group)} has {mask:x}")
    if exclusive and (io := control.io_ways(cache_id)) & ways:
        held.append(f"{DEVICES} have {io:x}, which an exclusive group cannot share")
    return listed(held, _OWNERS) or "no group has the others, but masks must be contiguous"


def _nearest_ways(exact: Fraction, control: CacheControl) -> str:
    least, below = max(control.min_cbm_bits, 1), int(exact)
    near = [ways for ways in (below, below + 1) if least <= ways <= control.ways]
    ways = near or [least if exact < least else control.ways]
    return f"nearest valid: {listed([count(n, 'way') for n in ways], joint='or')}"


# -- bandwidth ------------------------------------------------------------------------------------------------------


def _limit_for(request: BandwidthAmount, host: Host, rounding: Rounding | None, policy: Policy | None) -> int | Finding:
    """The value that the host will show, or why the default group cannot have it."""
    refuse = _refusal(request.resource, request.node, str(request.rate))
    control = next((each for each in host.bandwidths if each.name == request.resource), None)
    if control is None:
        names = listed([each.name for each in host.bandwidths], joint="and")
        return refuse(f"the host has no {request.resource} control", f"it controls {names or 'no bandwidth'}")
    if request.node not in control.ids:
        ids = listed([str(i) for i in control.ids], joint="and")
        return refuse("the host has no such node", f"its nodes are {ids or 'none'}")
    exact = exact_bandwidth(request.rate, control.unit)
    if exact is None:
        return refuse(f"the host counts {control.unit}", f"pass a number of {control.unit}")
    value = whole_bandwidth(request.rate, exact, control, rounding)
    if value is None:
        return refuse("the host has no such value", _nearest_limits(exact, control))
    if policy and (finding := _against(policy, control, request, value)):
        return finding
    now = host.default_group.bandwidth.at(control.name, request.node)
    return value if value == now else kept(control, value)


def _against(policy: Policy, control: BandwidthControl, request: BandwidthAmount, value: int) -> Finding | None:
    """Why the policy does not allow this bandwidth."""
    fixed, least = policy.bandwidth_value(control), policy.least_bandwidth(control)
    if fixed is not None and value != fixed:
        key = f"default.{control.name}.value"
        refuse = _refusal(control.name, request.node, str(request.rate))
        return refuse(f"{policy.file} sets {with_unit(fixed, control.unit)}", f"change {key} there")
    if least is None or value >= least:
        return None
    return RULES["CT237"].at(
        Source(),
        what=f"{control.name} {request.node}",
        left=with_unit(value, control.unit),
        least=with_unit(least, control.unit),
        file=policy.file,
        key=f"default.{control.name}.least",
    )


def _nearest_limits(exact: Fraction, control: BandwidthControl) -> str:
    least, most = control.min_bandwidth, control.max_bandwidth
    near = [n for n in steps_around(exact, control) if n >= least and (most is None or n <= most)]
    values = near or [least if exact < least or most is None else most]
    return f"nearest valid: {listed([with_unit(value, control.unit) for value in values], joint='or')}"


def _refusal(resource: str, number: int, amount: str) -> Callable[[str, str], Finding]:
    def refuse(why: str, hint: str) -> Finding:
        return RULES["CT240"].at(Source(), resource=resource, id=number, amount=amount, why=why, hint=hint)

    return refuse
