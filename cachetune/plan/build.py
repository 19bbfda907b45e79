"""Make the plan for guests on a host: ``plan_guests``, or ``plan`` for one; ``check`` only reports the findings."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from cachetune.cbm import Amounts, Masks
from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest
from cachetune.errors import GroupConflictError, MachineNameError, PlanRefusedError
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.idset import format_ids
from cachetune.plan.after import masks_after
from cachetune.plan.allocate.capacity import amount_of, capacity_findings
from cachetune.plan.allocate.relocate import movable_groups
from cachetune.plan.allocate.target import Means, Target, find_target
from cachetune.plan.allocation import Allocation
from cachetune.plan.assignment import assigning_steps
from cachetune.plan.bandwidth import unit_of
from cachetune.plan.counts import limit_findings, summarize
from cachetune.plan.default_findings import default_findings
from cachetune.plan.diff import Removal, steps_between
from cachetune.plan.exclusive import all_exclusive, creation_findings, exclusive_findings, mode_of
from cachetune.plan.giveback import returning_steps
from cachetune.plan.group_state import group_states
from cachetune.plan.groups.names import belongs_to, machine_of
from cachetune.plan.groups.translate import DesiredGroup, Membership, memberships, name_findings, translate
from cachetune.plan.model import Action, DefaultShrink, Plan, PlanGuest, PlannedGroup, Resource
from cachetune.plan.moved import moved_groups
from cachetune.plan.ownership import (
    foreign_findings,
    guest_findings,
    is_foreign,
    made_by_libvirt,
    nested_findings,
    touched,
)
from cachetune.plan.pinning import pinning_findings
from cachetune.plan.policy import Policy
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.rounding import for_host
from cachetune.plan.rules import RULES
from cachetune.plan.steps import CreateGroup, Step, effect_of
from cachetune.plan.unassigned import unassigned_findings

_ALONE = "plan one of them separately, with another --machine-name"


class _Draft(msgspec.Struct, frozen=True):
    """One attempt: obsolete groups removed first or last, the default group shrunk or not, groups moved or not."""

    target: Target
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]

    @property
    def possible(self) -> bool:
        return not any(f.severity == "error" for f in self.findings)


def plan(domain: Domain, host: Host, guest: Guest | None = None, options: Options = Options()) -> Plan:  # noqa: B008
    """The plan that gives one guest what its domain requests. Raises as plan_guests does."""
    return plan_guests([GuestRequest(domain, guest)], host, options)


def plan_guests(
    requests: Sequence[GuestRequest],
    host: Host,
    options: Options,
    shrunk: DefaultShrink | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """One plan that gives all these guests what their domains request on this host; all of it or nothing.

    ``shrunk`` is what the default group gave up for guests; what no group has after the plan goes back to it.
    ``names`` are the guests of groups that may move, by path.

    Raises PlanRefusedError with all findings, MachineNameError, and GroupConflictError for guests that share a name.
    """
    if options.exclusive:
        requests = [replace(each, domain=all_exclusive(each.domain)) for each in requests]
    requests = [replace(r, domain=for_host(r.domain, host, options.rounding)) for r in requests]
    machines = _machines(requests)
    guests = tuple(map(_plan_guest, requests, machines))
    desired: tuple[DesiredGroup, ...] = ()
    places: dict[int, Membership] = {}
    own: tuple[str, ...] = made_by_libvirt(host, guests)
    common: list[Finding] = [finding for request in requests for finding in request.findings]
    for request, machine in zip(requests, machines, strict=True):
        groups = translate(request.domain, machine)
        _check_apart(request, groups, desired)
        desired += groups
        places |= memberships(groups, request.guest) if request.guest else {}
        own += groups_of(host, machine, request.owned)
        common += name_findings(request.domain, machine)
        common += (f for group in request.domain.groups for f in capacity_findings(group, host))
        common += guest_findings(request.domain, request.guest)
        common += pinning_findings(request.domain, request.guest, host)
    common += exclusive_findings(host, (g for g in desired if g.request and not is_foreign(host.group(g.path), own)))
    common += foreign_findings(desired, places, host, own, take_tasks=options.take_tasks)
    obsolete = tuple(path for path in own if path not in {g.path for g in desired})
    common += nested_findings(host, obsolete)
    removals = [Removal(obsolete)] + ([Removal(obsolete, first=True)] if obsolete else [])
    for means, removal in product(_means(host, options), removals):
        draft = _draft(desired, places, own, host, removal, means, assign=options.assign_counters)
        draft = _completed(draft, host, shrunk, options.policy)
        if draft.possible:
            break
    common = [_limited(finding, draft.target.limits) for finding in common]
    findings = (*common, *draft.findings, *_adoptions(draft.steps, host, guests, adopt=options.adopt))
    if any(f.severity == "error" for f in findings):
        raise PlanRefusedError(findings)
    return Plan(
        guests=guests,
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        bandwidth_unit=unit_of(host),
        groups=tuple(_planned_groups(desired, draft, host)),
        moved=tuple(moved_groups(host, draft.target.moves, dict(names) | _names(desired, requests, machines))),
        steps=draft.steps,
        warnings=findings,
        summary=summarize(draft.steps, host),
    )


def _means(host: Host, options: Options) -> Iterator[Means]:
    """What to try, in this order: no group moves if there is another way."""
    movable = movable_groups(host, adopt=options.adopt, default=options.shrink_default)
    for compact in (False, True) if options.compact else (False,):
        for shrink in (False, True) if options.shrink_default else (False,):
            yield Means(shrink, compact, movable, options.policy)


def check(domain: Domain, host: Host, options: Options = Options()) -> tuple[Finding, ...]:  # noqa: B008
    """The findings of a plan for this domain on the host, whether or not its guest is running."""
    request = GuestRequest(domain)
    try:
        request.machine  # noqa: B018 - raises if the name is unusable
    except MachineNameError:
        request = GuestRequest(domain, machine_name="cachetune-guest")
    try:
        found = plan_guests([request], host, options).warnings
    except PlanRefusedError as refused:
        found = refused.findings
    return tuple(f for f in found if f.rule != "CT403")


def groups_of(host: Host, machine: str, owned: Collection[str]) -> tuple[str, ...]:
    """Our groups of this guest: those in the ledger (``owned``), and those with its name."""
    ours = (g.path for g in host.groups if g.owner == "cachetune")
    return tuple(path for path in ours if path in owned or belongs_to(path, machine))


def _machines(requests: Sequence[GuestRequest]) -> list[str]:
    machines = [request.machine for request in requests]
    for machine in machines:
        if machines.count(machine) > 1:
            raise GroupConflictError([w.domain.name for w in requests if w.machine == machine], hint=_ALONE)
    return machines


def _check_apart(request: GuestRequest, groups: Iterable[DesiredGroup], others: Iterable[DesiredGroup]) -> None:
    """Ids in live XML can be any text, so different machine names do not guarantee different groups."""
    taken = {group.path for group in others}
    if same := next((group.path for group in groups if group.path in taken), None):
        raise GroupConflictError([request.domain.name], same, hint=_ALONE)


def _names(
    desired: Iterable[DesiredGroup], requests: Sequence[GuestRequest], machines: Sequence[str]
) -> dict[str, str]:
    """The name of the guest of each requested group, by path."""
    names = {machine: request.domain.name for request, machine in zip(requests, machines, strict=True)}
    return {group.path: names.get(machine_of(group.path, machines), "") for group in desired}


def _limited(finding: Finding, limits: Mapping[Source, str]) -> Finding:
    """The finding of a size that is not valid with what would fit, if the nearest valid sizes would not."""
    limit = limits.get(Source(finding.line, finding.column, finding.path, finding.document))
    return finding if limit is None else replace(finding, hint=f"{finding.hint}; but {limit}")


def _plan_guest(request: GuestRequest, machine: str) -> PlanGuest:
    domain, guest = request.domain, request.guest
    pid, threads = (guest.pid, guest.threads) if guest else (None, ())
    return PlanGuest(domain.name, machine, domain.uuid, pid, threads)


def _adoptions(steps: Iterable[Step], host: Host, guests: Iterable[PlanGuest], *, adopt: bool) -> list[Finding]:
    paths = touched(steps, made_by_libvirt(host, guests))
    hint = "restart the guest instead if libvirt should set them again" if adopt else None
    return [RULES["CT222"].at(Source(), groups=", ".join(paths), hint=hint)] if paths else []


def _draft(
    desired: tuple[DesiredGroup, ...],
    places: dict[int, Membership],
    own: Collection[str],
    host: Host,
    removal: Removal,
    means: Means,
    *,
    assign: bool,
) -> _Draft:
    ours = [g for g in desired if g.request and not is_foreign(host.group(g.path), own)]
    removed = frozenset(removal.paths if removal.first else ())
    at = {group.path: group.at for group in desired}
    target = find_target(ours, host, removed, means)
    if any(f.severity == "error" for f in target.findings):
        creates = [CreateGroup(group.path) for group in desired if host.group(group.path) is None]
        return _Draft(target, (), (*target.findings, *limit_findings(creates, host, at)))
    steps = steps_between(host, desired, target.groups, places, removal, target.moves)
    if assign:
        steps += assigning_steps(host, desired, own, steps)
    unassigned = unassigned_findings(host, desired, own, steps, assign=assign)
    limits = (*limit_findings(steps, host, at), *creation_findings(host, steps, at))
    return _Draft(target, steps, (*target.findings, *limits, *unassigned))


def _completed(draft: _Draft, host: Host, shrunk: DefaultShrink | None, policy: Policy | None) -> _Draft:
    """The draft with what goes back to the default group, and the findings about what that keeps."""
    if not draft.possible:
        return draft
    steps = (*draft.steps, *returning_steps(host, draft.steps, shrunk))
    return replace(draft, steps=steps, findings=(*draft.findings, *default_findings(host, steps, policy)))


def resources_of(host: Host) -> tuple[Resource, ...]:
    """What is needed to draw masks."""
    return tuple(
        Resource(
            name=cache.name,
            ways=cache.ways,
            way_bytes={i: cache.way_bytes(i) for i in cache.size_bytes},
            io_ways={i: cache.io_ways(i) for i in cache.size_bytes},
            snc_nodes=host.snc_nodes if cache.level == 3 else 1,
        )
        for cache in host.caches
    )


def _planned_groups(desired: tuple[DesiredGroup, ...], draft: _Draft, host: Host) -> Iterable[PlannedGroup]:
    """The guests' groups with their values after the plan."""
    written = {effect_of(step).written for step in draft.steps}
    for group in desired:
        vcpus = None if group.vcpus is None else format_ids(group.vcpus)
        threads = str(group.threads) if group.threads else None
        existing = host.group(group.path)
        action: Action = "create" if existing is None else "change" if group.path in written else "keep"
        if group.request is None:
            yield PlannedGroup(group.path, "monitor", vcpus, action, threads=threads)
            continue
        allocation = draft.target.groups.get(group.path)
        if allocation is None:
            allocation = Allocation(existing.masks, existing.bandwidth) if existing else Allocation()
        # A copy of the default group's mask gets back what that gets back.
        later = masks_after(host, group.path, draft.steps)
        masks = Masks.of((name, i, later.at(name, i) or mask) for name, i, mask in allocation.masks.entries())
        values = Allocation(masks, allocation.bandwidth)
        requested, rounded = _requested(group.request, host)
        mode = mode_of(group, host)
        yield PlannedGroup(group.path, "control", vcpus, action, values, requested, mode, rounded, threads)


def _requested(request: GroupRequest, host: Host) -> tuple[Amounts, dict[str, dict[int, str]]]:
    """What the group's requests amount to on this host, and those that were rounded, as they were written."""
    amounts: dict[str, dict[int, int]] = {}
    rounded: dict[str, dict[int, str]] = {}
    requests: tuple[CacheRequest | BandwidthRequest, ...] = (*request.caches, *request.nodes)
    for each in requests:
        if found := amount_of(each, host):
            amounts.setdefault(found.resource, {})[found.id] = found.amount
            if found.rounded_from:
                rounded.setdefault(found.resource, {})[found.id] = found.rounded_from
    return Amounts(amounts), rounded
