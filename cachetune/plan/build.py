"""Make the plan of guests on a host: ``plan_guests``, ``plan`` for one; or only what would be found: ``check``."""

from collections.abc import Collection, Iterable, Sequence
from itertools import product

import msgspec

from cachetune.domain.model import Domain
from cachetune.errors import GroupConflictError, MachineNameError, PlanRefusedError
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.idset import format_ids
from cachetune.plan.allocate.capacity import capacity_findings, control_of
from cachetune.plan.allocate.target import Target, Values, find_target
from cachetune.plan.counts import limit_findings, summarize
from cachetune.plan.diff import Removal, describe_groups, steps_between
from cachetune.plan.groups.names import belongs_to
from cachetune.plan.groups.translate import DesiredGroup, Membership, memberships, name_findings, translate
from cachetune.plan.model import Action, Plan, PlanGuest, PlannedGroup, Resource
from cachetune.plan.ownership import (
    foreign_findings,
    guest_findings,
    is_foreign,
    made_by_libvirt,
    nested_findings,
    touched,
)
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.rules import RULES
from cachetune.plan.steps import CreateGroup, Step, effect_of

_ALONE = "plan one of them separately, with another --machine-name"


class _Draft(msgspec.Struct, frozen=True):
    """One attempt: with the groups that are no longer needed removed last or first, the default group shrunk or not."""

    target: Target
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]

    @property
    def possible(self) -> bool:
        return not any(f.severity == "error" for f in self.findings)


def plan(domain: Domain, host: Host, guest: Guest | None = None, options: Options = Options()) -> Plan:  # noqa: B008
    """The plan that gives one guest what its domain asks for. Raises as plan_guests does."""
    return plan_guests([GuestRequest(domain, guest)], host, options)


def plan_guests(requests: Sequence[GuestRequest], host: Host, options: Options) -> Plan:
    """One plan that gives all these guests what their domains ask for on this host; all of it or none.

    Raises PlanRefusedError with all findings, MachineNameError, and GroupConflictError for guests that share a name.
    """
    machines = _machines(requests)
    guests = tuple(map(_plan_guest, requests))
    wanted: tuple[DesiredGroup, ...] = ()
    places: dict[int, Membership] = {}
    own: tuple[str, ...] = made_by_libvirt(host, guests)
    common: list[Finding] = [finding for request in requests for finding in request.findings]
    for request, machine in zip(requests, machines, strict=True):
        groups = translate(request.domain, machine)
        _check_apart(request, groups, wanted)
        wanted += groups
        places |= memberships(groups, request.guest) if request.guest else {}
        own += groups_of(host, machine, request.owned)
        common += name_findings(request.domain, machine)
        common += (f for group in request.domain.groups for f in capacity_findings(group, host))
        common += guest_findings(request.domain, request.guest)
    common += foreign_findings(wanted, places, host, own, take_tasks=options.take_tasks)
    obsolete = tuple(path for path in own if path not in {g.path for g in wanted})
    common += nested_findings(host, obsolete)
    removals = [Removal(obsolete)] + ([Removal(obsolete, first=True)] if obsolete else [])
    shrinks = [False, True] if options.shrink_default else [False]
    for shrink, removal in product(shrinks, removals):
        draft = _draft(wanted, places, own, host, removal, shrink=shrink)
        if draft.possible:
            break
    findings = (*common, *draft.findings, *_adoptions(draft.steps, host, guests))
    if any(f.severity == "error" for f in findings):
        raise PlanRefusedError(findings)
    return Plan(
        guests=guests,
        host_fingerprint=host.fingerprint,
        host_groups=describe_groups(host),
        resources=resources_of(host),
        bandwidth_unit=next((b.unit for b in host.bandwidths if b.name == "MB"), None),
        groups=tuple(_planned_groups(wanted, draft, host)),
        steps=draft.steps,
        warnings=findings,
        summary=summarize(draft.steps, host),
    )


def check(domain: Domain, host: Host) -> tuple[Finding, ...]:
    """What a plan of this domain would find on the host, without a guest in mind."""
    request = GuestRequest(domain)
    try:
        request.machine  # noqa: B018 - to see whether there is one
    except MachineNameError:
        request = GuestRequest(domain, machine_name="cachetune-guest")
    try:
        found = plan_guests([request], host, Options()).warnings
    except PlanRefusedError as refused:
        found = refused.findings
    return tuple(f for f in found if f.rule != "CT403")


def groups_of(host: Host, machine: str, owned: Collection[str]) -> tuple[str, ...]:
    """The groups that are ours and this guest's: by the ledger (``owned``) or by their names."""
    ours = (g.path for g in host.groups if g.owner == "cachetune")
    return tuple(path for path in ours if path in owned or belongs_to(path, machine))


def _machines(requests: Sequence[GuestRequest]) -> list[str]:
    machines = [request.machine for request in requests]
    for machine in machines:
        if machines.count(machine) > 1:
            raise GroupConflictError([w.domain.name for w in requests if w.machine == machine], hint=_ALONE)
    return machines


def _check_apart(request: GuestRequest, groups: Iterable[DesiredGroup], others: Iterable[DesiredGroup]) -> None:
    """Ids of live XML can be any text, so that different machine names do not keep the groups apart."""
    taken = {group.path for group in others}
    if same := next((group.path for group in groups if group.path in taken), None):
        raise GroupConflictError([request.domain.name], same, hint=_ALONE)


def _plan_guest(request: GuestRequest) -> PlanGuest:
    domain, guest = request.domain, request.guest
    pid, threads = (guest.pid, guest.threads) if guest else (None, ())
    return PlanGuest(domain.name, request.machine, domain.uuid, pid, threads)


def _adoptions(steps: Iterable[Step], host: Host, guests: Iterable[PlanGuest]) -> list[Finding]:
    paths = touched(steps, made_by_libvirt(host, guests))
    return [RULES["CT222"].at(Source(), groups=", ".join(paths))] if paths else []


def _draft(
    wanted: tuple[DesiredGroup, ...],
    places: dict[int, Membership],
    own: Collection[str],
    host: Host,
    removal: Removal,
    *,
    shrink: bool,
) -> _Draft:
    ours = [g for g in wanted if g.request and not is_foreign(host.group(g.path), own)]
    gone = frozenset(removal.paths if removal.first else ())
    at = wanted[0].request.at if wanted and wanted[0].request else Source()
    target = find_target(ours, host, gone, shrink=shrink)
    if any(f.severity == "error" for f in target.findings):
        creates = [CreateGroup(group.path) for group in wanted if host.group(group.path) is None]
        return _Draft(target, (), (*target.findings, *limit_findings(creates, host, at)))
    steps = steps_between(host, wanted, target.groups, places, removal)
    return _Draft(target, steps, (*target.findings, *limit_findings(steps, host, at)))


def resources_of(host: Host) -> tuple[Resource, ...]:
    """What a reader of the plan needs to draw masks."""
    return tuple(
        Resource(c.name, c.ways, {i: c.way_bytes(i) for i in c.size_bytes}, f"{c.shareable_bits:x}")
        for c in host.caches
    )


def _planned_groups(wanted: tuple[DesiredGroup, ...], draft: _Draft, host: Host) -> Iterable[PlannedGroup]:
    """The guest's groups with the values that they will have."""
    written = {effect_of(step).written for step in draft.steps}
    for group in wanted:
        vcpus = None if group.vcpus is None else format_ids(group.vcpus)
        there = host.group(group.path)
        action: Action = "create" if there is None else "change" if group.path in written else "keep"
        if group.request is None:
            yield PlannedGroup(group.path, "monitor", vcpus, action)
            continue
        found = draft.target.groups.get(group.path)
        values = found or (Values(dict(there.masks), dict(there.bandwidth)) if there else Values({}, {}))
        yield PlannedGroup(group.path, "control", vcpus, action, _schemata(values), _requested(group, host))


def _schemata(values: Values) -> dict[str, dict[int, str | int]]:
    masks: dict[str, dict[int, str | int]] = {
        name: {i: f"{mask:x}" for i, mask in of.items()} for name, of in values.masks.items()
    }
    return masks | {name: dict(of) for name, of in values.bandwidth.items() if of}


def _requested(group: DesiredGroup, host: Host) -> dict[str, dict[int, int]]:
    asked: dict[str, dict[int, int]] = {}
    for cache in group.request.caches if group.request else ():
        if control := control_of(cache, host):
            asked.setdefault(control.name, {})[cache.cache_id] = cache.size_bytes
    if group.request and group.request.nodes:
        asked["MB"] = {n.node_id: n.bandwidth for n in group.request.nodes}
    return asked
