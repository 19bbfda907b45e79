"""Change one group of what a guest has: merge options into its request, and plan the result.

What a guest has now is, in this order, its tuning file in guests.d, what is applied to it, and its live XML. The result
is a whole request again, so it is planned, applied, saved and printed like any other. It goes through its text, so what
is invalid in a tuning file is invalid here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import Loaded, format_cputune, load
from cachetune.domain.model import (
    BandwidthRequest,
    CacheRequest,
    CacheType,
    Domain,
    GroupRequest,
    MonitorRequest,
)
from cachetune.errors import InputError, InvalidDomainError
from cachetune.findings import Finding, Source
from cachetune.guests.model import RunningGuest
from cachetune.host.model import Host
from cachetune.idset import MAX_VCPUS, numbered
from cachetune.plan.model import Plan
from cachetune.plan.request import Options
from cachetune.plan.rules import RULES
from cachetune.service.applied import applied_guests, watched
from cachetune.service.members import Members
from cachetune.service.plans import plan_requests
from cachetune.service.requests import request_of
from cachetune.service.wanted import conflict_of, uuid_problem
from cachetune.text import listed
from cachetune.units import BandwidthResource, Rate, Size

Origin = Literal["file", "applied", "libvirt", "nothing"]
_HERE = Source()
_TYPES: tuple[CacheType, ...] = ("both", "code", "data")


class CacheEdit(msgspec.Struct, frozen=True):
    """A size for caches of one level and type: ``ids`` None are all, ``size`` None drops the request.

    ``at`` names the option, for messages.
    """

    level: int
    type: CacheType
    ids: frozenset[int] | None
    size: Size | None
    at: Source


class NodeEdit(msgspec.Struct, frozen=True):
    """A bandwidth for nodes: ``ids`` None are all, ``bandwidth`` None drops the limit."""

    resource: BandwidthResource
    ids: frozenset[int] | None
    bandwidth: Rate | None
    at: Source


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What to change in the group of ``members``. None is the guest's only group.

    ``clear`` drops what the group requests, before everything else is set. ``monitors`` are added, unless
    ``no_monitors`` removes all. ``exclusive`` None leaves the group's mode.
    """

    members: Members | None = None
    caches: tuple[CacheEdit, ...] = ()
    nodes: tuple[NodeEdit, ...] = ()
    monitors: tuple[Members, ...] = ()
    no_monitors: bool = False
    exclusive: bool | None = None
    clear: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        values = self.caches or self.nodes or self.monitors or self.no_monitors
        return not (values or self.clear or self.exclusive is not None)


class Base(msgspec.Struct, frozen=True):
    """What a guest has now, and where that is from; ``machine_name`` "" stands for the domain's."""

    domain: Domain
    origin: Origin
    machine_name: str = ""
    findings: tuple[Finding, ...] = ()


def edit_planner(
    running: RunningGuest,
    file: Loaded | None,
    edit: Edit,
    options: Options,
    on_domain: Callable[[Domain], None] = lambda _: None,
) -> Planner:
    """A planner for the change of a running guest, which has the tuning file ``file`` or none.

    It is called with the host once the lock is held, so the change is merged into what is applied then. ``on_domain``
    is called with the new request before it is planned. Raises what ``base_of``, ``edited`` and ``plan_requests`` do.
    """

    def planner(host: Host, ledger: Ledger) -> Plan:
        base = base_of(running, file, host, ledger)
        check_present(edit, base.domain, running)
        domain, findings = edited(base.domain, edit, host)
        on_domain(domain)
        request = request_of(running, domain)
        findings = (*base.findings, *findings)
        request = msgspec.structs.replace(request, machine_name=base.machine_name, findings=findings)
        return plan_requests([request], host, ledger, options)

    return planner


def base_of(running: RunningGuest, file: Loaded | None, host: Host, ledger: Ledger) -> Base:
    """What a running guest has now. Raises InvalidDomainError for an invalid file, and InputError."""
    live = running.live_domain
    if file is not None:
        if file.domain is None:
            raise InvalidDomainError(file.findings)
        if conflict := conflict_of(file.domain, live):
            raise InputError(
                f"guest {running.name!r}: {conflict}",
                hint=f"remove one of them: {file.name}, or <cachetune>, <memorytune> and <energytune> of the guest",
            )
        if stranger := uuid_problem(file.domain, running.uuid):
            raise InputError(f"{file.name}: {stranger}", hint="remove the file, or correct its <uuid>")
        return Base(_completed(file.domain, running, live), "file")
    applied = [guest for guest in applied_guests(host, ledger, [running]) if guest.name == running.name]
    if applied:
        found = min(applied, key=lambda guest: guest.owner)  # "cachetune" sorts before "libvirt"
        ours = found.owner == "cachetune"
        number = None if ours else running.libvirt_id
        domain = msgspec.structs.replace(_completed(found.domain, running, live), id=number)
        findings = tuple(RULES["CT254"].at(_HERE, note=note) for note in found.notes)
        return Base(domain, "applied", found.machine_name if ours else "", findings)
    if live and live.groups:
        return Base(live, "libvirt")
    return Base(_completed(Domain(running.name, running.uuid, None, "", MAX_VCPUS, ()), running, live), "nothing")


def check_present(edit: Edit, domain: Domain, running: RunningGuest) -> None:
    """Raise InputError for a new group none of whose vCPUs runs; where some do, planning warns of the others."""
    there = {thread.vcpu for thread in running.guest.threads if thread.vcpu is not None}
    vcpus = edit.members.vcpus if edit.members else None
    if there and vcpus and not vcpus & there and vcpus not in {group.vcpus for group in domain.groups}:
        raise InputError(
            f"guest {running.name!r} has no {numbered('vCPU', vcpus)}", hint=f"it runs {numbered('vCPU', there)}"
        )


def edited(domain: Domain, edit: Edit, host: Host) -> tuple[Domain, tuple[Finding, ...]]:
    """The domain with the change, and the warnings about it.

    Raises InputError if the group is not clear or overlaps with others, and for a monitor that it cannot have;
    InvalidDomainError for anything else that a tuning file cannot have.
    """
    old = _group_of(domain, edit.members)
    for monitor in edit.monitors:
        _check_vcpus(monitor, domain)
    group = msgspec.structs.replace(old, caches=(), nodes=(), monitors=(), exclusive=False) if edit.clear else old
    group = msgspec.structs.replace(
        group,
        caches=_with_caches(group.caches, edit.caches, host),
        nodes=_with_nodes(group.nodes, edit.nodes, host),
        monitors=_with_monitors(group, edit, host),
        exclusive=group.exclusive if edit.exclusive is None else edit.exclusive,
    )
    if group.exclusive and not group.caches:
        raise InputError(
            f"the group of {group.who} requests no cache, so it cannot be exclusive",
            hint="pass a size for each cache of the host, such as --l3 2ways",
        )
    groups = [group if each is old else each for each in domain.groups]
    groups += [] if old in domain.groups else [group]
    kept = tuple(each for each in groups if each.has_allocation or each.monitors)
    return _as_if_loaded(msgspec.structs.replace(domain, groups=kept))


def _completed(domain: Domain, running: RunningGuest, live: Domain | None) -> Domain:
    """The domain with what is known of the running guest: its name and UUID, how many vCPUs, where they are pinned."""
    domain = msgspec.structs.replace(domain, name=running.name, uuid=running.uuid or domain.uuid, id=None)
    if live is None:
        return msgspec.structs.replace(domain, vcpus=MAX_VCPUS)
    return msgspec.structs.replace(domain, vcpus=live.vcpus, cpuset=live.cpuset, vcpupins=live.vcpupins)


def _group_of(domain: Domain, members: Members | None) -> GroupRequest:
    """The group to change, or a new one. Raises InputError."""
    groups, name = domain.groups, repr(domain.name)
    shown = listed([group.who for group in groups], 8)
    if members is None:
        if len(groups) == 1:
            return groups[0]
        if not groups:
            hint = "pass --vcpus LIST for a group of some vCPUs, or --all for the whole process"
            raise InputError(f"guest {name} has no group that could be changed", hint=hint)
        raise InputError(f"guest {name} has several groups: {shown}", hint="choose one with --vcpus or --threads")
    if found := next((group for group in groups if Members.of(group) == members), None):
        return found
    _check_vcpus(members, domain)
    if any(members.overlap(Members.of(group)) for group in groups):
        hint = "a thread is in one group only: change one of these, or --clear it first"
        raise InputError(f"{members} cannot be a group of guest {name}, which has groups of {shown}", hint=hint)
    return GroupRequest(members.vcpus, members.id, (), (), (), _HERE, threads=members.threads)


def _check_vcpus(members: Members, domain: Domain) -> None:
    """Raise InputError for vCPUs that the guest does not have."""
    if beyond := [vcpu for vcpu in members.vcpus or () if vcpu >= domain.vcpus]:
        hint = f"it has {numbered('vCPU', range(domain.vcpus))}"
        raise InputError(f"guest {domain.name!r} has no {numbered('vCPU', beyond)}", hint=hint)


def _with_caches(requests: Sequence[CacheRequest], edits: Iterable[CacheEdit], host: Host) -> tuple[CacheRequest, ...]:
    """The requests with the changes. A size for both replaces those for code and data, and the reverse."""
    found = {(each.level, each.cache_id, each.type): each for each in requests}
    for edit in edits:
        control = next((c for c in host.caches if (c.level, c.type) == (edit.level, edit.type)), None)
        known = {i for level, i, kind in found if (level, kind) == (edit.level, edit.type)}
        every = known if edit.size is None else set(control.size_bytes if control else ()) or {0}
        for cache_id in sorted(every if edit.ids is None else edit.ids):
            for kind in _TYPES:
                if kind == edit.type or (edit.size is not None and "both" in (kind, edit.type)):
                    found.pop((edit.level, cache_id, kind), None)
            if edit.size is not None:
                request = CacheRequest(edit.level, cache_id, edit.type, edit.size, edit.at)
                found[edit.level, cache_id, edit.type] = request
    return tuple(sorted(found.values(), key=lambda each: (each.level, _TYPES.index(each.type), each.cache_id)))


def _with_nodes(
    requests: Sequence[BandwidthRequest], edits: Iterable[NodeEdit], host: Host
) -> tuple[BandwidthRequest, ...]:
    """The requests with those edited replaced; both alternatives of a node, if it has a percentage and a rate."""
    found: dict[tuple[str, int], tuple[BandwidthRequest, ...]] = {}
    for each in requests:
        place = each.resource, each.node_id
        found[place] = (*found.get(place, ()), each)
    for edit in edits:
        control = host.bandwidth(edit.resource)
        known = {node for resource, node in found if resource == edit.resource}
        every = known if edit.bandwidth is None else set(control.ids if control else ()) or {0}
        for node in sorted(every if edit.ids is None else edit.ids):
            found.pop((edit.resource, node), None)
            if edit.bandwidth is not None:
                request = BandwidthRequest(node, edit.bandwidth, edit.at, resource=edit.resource)
                found[edit.resource, node] = (request,)
    return tuple(request for place in sorted(found) for request in found[place])


def _with_monitors(group: GroupRequest, edit: Edit, host: Host) -> tuple[MonitorRequest, ...]:
    """The group's monitors and those added; one that exists is not added again. Raises InputError."""
    monitors = () if edit.no_monitors else group.monitors
    there = [Members.of(monitor) for monitor in monitors]
    for new in edit.monitors:
        if new not in there:
            _check_monitor(new, group, there)
            there.append(new)
    resource = watched(host)
    added = there[len(monitors) :]
    return (*monitors, *(MonitorRequest(resource, new.vcpus, new.id, _HERE, new.threads) for new in added))


def _check_monitor(new: Members, group: GroupRequest, there: Iterable[Members]) -> None:
    """Raise InputError for a monitor outside of the group, or one that overlaps another, unless either is of all."""
    whole = Members.of(group)
    if new.mask & ~whole.mask:
        hint = "choose the group with --vcpus or --threads"
        raise InputError(f"{new} cannot be monitored in the group of {group.who}", hint=hint)
    for other in there:
        if new.overlap(other) and whole.mask not in (new.mask, other.mask):
            hint = "monitor vCPUs that are in no other monitor, or pass --monitor none as well to remove these"
            raise InputError(f"a monitor of {new} would overlap that of {other}", hint=hint)


def _as_if_loaded(domain: Domain) -> tuple[Domain, tuple[Finding, ...]]:
    """The domain as it would be read from a tuning file, and the warnings. Raises InvalidDomainError."""
    text = format_cputune(msgspec.structs.replace(domain, id=None)) or "<cputune/>"
    loaded = load(text.encode(), domain.name, vcpus=domain.vcpus)
    findings = tuple(msgspec.structs.replace(found, line=0, column=0) for found in loaded.findings)
    if loaded.domain is None:
        raise InvalidDomainError(findings)
    groups = tuple(map(_placed, loaded.domain.groups, _in_order(loaded.domain.groups, domain.groups)))
    return msgspec.structs.replace(domain, groups=groups), findings


def _in_order(groups: Iterable[GroupRequest], of: Iterable[GroupRequest]) -> Iterator[GroupRequest]:
    by_members = {Members.of(group): group for group in of}
    return (by_members[Members.of(group)] for group in groups)


def _placed(group: GroupRequest, original: GroupRequest) -> GroupRequest:
    """The group with the places of its original: in the user's file, or an option."""
    replace = msgspec.structs.replace
    return replace(
        group,
        at=original.at,
        caches=tuple(
            replace(new, at=old.at, level_at=old.level_at, type_at=old.type_at, id_at=old.id_at)
            for new, old in zip(group.caches, original.caches, strict=True)
        ),
        nodes=tuple(
            replace(new, at=old.at, id_at=old.id_at) for new, old in zip(group.nodes, original.nodes, strict=True)
        ),
        monitors=tuple(replace(new, at=_HERE) for new in group.monitors),
    )
