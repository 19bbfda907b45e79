"""What is applied to guests: their groups on a host, read back as the requests that would make them.

resctrl does not record requests, only values, so a value counts as requested if a plan would otherwise set another. A
mask that a group copied from the default group is not a request, and neither is the maximum of a bandwidth. What no
tuning file can express is left out, and a note says so.

The contract: a plan for the result, on the same host and for the same machine name, has no steps, unless a note says
what differs.
"""

from collections.abc import Iterable, Iterator

import msgspec

from cachetune.apply.state.ledger import Ledger
from cachetune.cbm import Cbm
from cachetune.domain.model import (
    BandwidthRequest,
    CacheRequest,
    Domain,
    GroupRequest,
    MonitorRequest,
    ResourceType,
)
from cachetune.errors import CachetuneError, InputError
from cachetune.findings import Source
from cachetune.guests.find import look
from cachetune.guests.model import RunningGuest
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.host.bandwidth import to_write
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host, Owner
from cachetune.plan.groups.names import guest_in, machine_names, scope_of
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.service.members import Members
from cachetune.service.select import Selection
from cachetune.text import listed, printable
from cachetune.units import BANDWIDTH_RESOURCES, Rate, Size

_OURS: tuple[Owner, ...] = ("cachetune", "libvirt")
_EVENTS: tuple[tuple[ResourceType, str], ...] = (("cache", "llc_"), ("memory", "mbm_"), ("energy", ""))
_HERE = Source()


class AppliedGuest(msgspec.Struct, frozen=True):
    """The groups of one guest by path, and the ``domain`` that requests them.

    ``owner`` is the program that made the groups. The domain has no id, and its name is the guest's as far as it is
    known: without a ledger and a running guest it is what the machine name has kept of it. ``notes`` are sentences
    about what the domain lacks.
    """

    machine_name: str
    owner: Owner
    domain: Domain
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The guest's name."""
        return self.domain.name


def applied_guests(host: Host, ledger: Ledger, running: Iterable[RunningGuest] = ()) -> tuple[AppliedGuest, ...]:
    """What each guest has that cachetune or libvirt has made groups for, running or not, in the host's order.

    ``running`` has the full names of guests that are not in the ledger. A guest with groups by both programs is
    listed twice, under its two machine names.
    """
    known = {name: guest.name for guest in running for name in machine_names(guest.name, guest.libvirt_id)}
    names = {**known, **{machine: entry.name for machine, entry in ledger.guests.items() if entry.name}}
    machine_of = {path: machine for machine, entry in ledger.guests.items() for path in entry.groups}
    found: dict[str, list[Group]] = {}
    for group in host.groups:
        if group.owner in _OURS:
            found.setdefault(machine_of.get(group.path) or scope_of(group.path).machine, []).append(group)
    return tuple(
        _applied(machine, names.get(machine) or guest_in(machine), groups, host, ledger)
        for machine, groups in found.items()
    )


class AppliedOnHost(msgspec.Struct, frozen=True):
    """What is applied to the selected guests of a host, and ``notes``: warnings."""

    host: Host
    ledger: Ledger
    guests: tuple[AppliedGuest, ...]
    notes: tuple[str, ...] = ()


def read_applied(location: Location, selection: Selection) -> AppliedOnHost:
    """Read what is applied to the guest of a selection, or to all guests without one. They need not be running.

    Raises InputError if the guest has no groups, and what ``read_location`` does.
    """
    reading = read_location(location)
    running, notes = _running(location, selection)
    guests = applied_guests(reading.host, reading.ledger, running)
    if (key := selection.guest) is not None:
        uuid = canonical_uuid(key)
        called = {key, *(guest.name for guest in running if uuid and guest.uuid == uuid)}
        found = tuple(g for g in guests if called & {g.name, g.machine_name} or (uuid and g.domain.uuid == uuid))
        if not found:
            raise InputError(f"{_named(location, reading.host)} has no groups of guest {key!r}", hint=_known(guests))
        guests = found
    return AppliedOnHost(reading.host, reading.ledger, guests, (*reading.notes, *notes))


def _named(location: Location, host: Host) -> str:
    """What the user calls the host: a snapshot has the path of resctrl on its own machine."""
    if location.host is None:
        return host.source
    return "<stdin>" if location.host == "-" else location.host


def _running(location: Location, selection: Selection) -> tuple[tuple[RunningGuest, ...], tuple[str, ...]]:
    """The running guests, for their names: not those of another host, and none if they cannot be listed.

    Raises what ``look`` does if the selection names the source.
    """
    if location.host is not None:
        return (), ()
    try:
        return look(selection.sources, selection.source).guests, ()
    except CachetuneError as error:
        if selection.source or selection.sources.requested:
            raise
        return (), (str(error),)


def _known(guests: Iterable[AppliedGuest]) -> str:
    names = sorted({guest.name for guest in guests})
    return f"groups exist for {listed(names, 8)}" if names else "run 'cachetune show' to list the groups"


def _applied(machine: str, name: str, groups: list[Group], host: Host, ledger: Ledger) -> AppliedGuest:
    entry = ledger.guests.get(machine)
    reader = _Reader(machine, host)
    for group in sorted(groups, key=lambda group: group.kind):  # "control" sorts before "monitor"
        reader.read(group)
    requests = tuple(sorted(reader.requests(), key=_lowest))
    vcpus = max((vcpu for request in requests for vcpu in request.vcpus or ()), default=0) + 1
    domain = Domain(name, entry.uuid if entry else None, None, "", vcpus, requests)
    return AppliedGuest(machine, groups[0].owner, domain, tuple(g.path for g in groups), tuple(reader.notes))


def watched(host: Host) -> ResourceType:
    """What a monitor reads on this host: a directory has all events, so the first of them stands for it."""
    features = [feature for monitor in host.monitors for feature in monitor.features]
    return next((kind for kind, event in _EVENTS if any(f.startswith(event) for f in features)), "cache")


class _Reader:
    """The groups of one guest, control groups before their monitor groups, as requests."""

    def __init__(self, machine: str, host: Host) -> None:
        self._machine, self._host = machine, host
        self._requests: dict[str, GroupRequest] = {}
        self.notes: list[str] = []

    def read(self, group: Group) -> None:
        """Add one group, or a note on why it is left out."""
        try:
            members = Members.of_name(group.path, self._machine)
        except ValueError as error:
            self._leave_out(group.path, str(error))
            return
        if group.kind == "control":
            self._control(group, members)
        else:
            self._monitor(group, members)

    def requests(self) -> Iterator[GroupRequest]:
        """The requests, without groups that request nothing."""
        return (each for each in self._requests.values() if each.has_allocation or each.monitors)

    def _control(self, group: Group, members: Members) -> None:
        caches: list[CacheRequest] = []
        strange: list[str] = []
        for control in self._host.caches:
            for cache_id in control.size_bytes:
                mask = group.masks.at(control.name, cache_id)
                copied = self._host.default_group.masks.at(control.name, cache_id)
                if mask is None or mask == copied:
                    continue
                if cache := _cache_request(control, cache_id, mask, copied or Cbm(0)):
                    caches.append(cache)
                else:
                    strange.append(f"{control.name} cache {cache_id}")
        if strange:
            self._leave_out(f"{group.path}: {listed(strange, 4)}", "no size describes its mask")
        request = _group_request(members, tuple(caches), _nodes(group, self._host, only_limits=True))
        if group.mode == "exclusive" and caches:
            request = msgspec.structs.replace(request, exclusive=True)
        if not request.has_allocation:  # without a limit, the maximum is what keeps the group
            request = _group_request(members, (), _nodes(group, self._host, only_limits=False))
        if not request.has_allocation:
            self._leave_out(group.path, "it has only what the default group has")
        elif other := self._overlap(members):
            self._leave_out(group.path, f"it shares threads with {printable(other)}")
        else:
            self._requests[group.path] = request

    def _monitor(self, group: Group, members: Members) -> None:
        monitor = MonitorRequest(watched(self._host), members.vcpus, members.id, _HERE, members.threads)
        if group.parent == DEFAULT_GROUP:
            if other := self._overlap(members):
                self._leave_out(group.path, f"it shares threads with {printable(other)}")
            else:
                self._requests[group.path] = _group_request(members, (), (), (monitor,))
            return
        around = self._requests.get(group.parent)
        if around is None:
            self._leave_out(group.path, "the group around it is left out or is not the guest's")
        elif not _is_inside(members, around):
            self._leave_out(group.path, "its threads are not within those of the group around it, or in two monitors")
        else:
            monitors = (*around.monitors, monitor)
            self._requests[group.parent] = msgspec.structs.replace(around, monitors=monitors)

    def _overlap(self, members: Members) -> str | None:
        """A group read earlier that keeps one document from having another group for these members."""
        return next((path for path, other in self._requests.items() if members.overlap(Members.of(other))), None)

    def _leave_out(self, what: str, why: str) -> None:
        self.notes.append(f"{printable(what)} is left out: {why}")


def _lowest(request: GroupRequest) -> int:
    """The lowest member of a group."""
    mask = Members.of(request).mask
    return (mask & -mask).bit_length()


def _cache_request(control: CacheControl, cache_id: int, mask: Cbm, copied: Cbm) -> CacheRequest | None:
    """The request that a plan keeps this mask for, in ways if their size is not known. None for the default group's."""
    if mask & copied or mask == control.cbm_mask:
        return None
    ways, way = mask.bit_count(), control.way_bytes(cache_id)
    size = Size(ways * way) if way else Size(ways, "ways")
    return CacheRequest(control.level, cache_id, control.type, size, _HERE)


def _nodes(group: Group, host: Host, *, only_limits: bool) -> tuple[BandwidthRequest, ...]:
    """The bandwidths of the nodes that have a limit, or of all nodes; as numbers that make the host show its own.

    All nodes are those of one resource: they are only there to keep the group.
    """
    controls = [(resource, control) for resource in BANDWIDTH_RESOURCES if (control := host.bandwidth(resource))]
    return tuple(
        BandwidthRequest(node, Rate(to_write(control, value)), _HERE, resource=resource)
        for resource, control in (controls if only_limits else controls[:1])
        for node, value in sorted(group.bandwidth.row(resource).items())
        if not only_limits or value != control.max_bandwidth
    )


def _group_request(
    members: Members,
    caches: tuple[CacheRequest, ...],
    nodes: tuple[BandwidthRequest, ...],
    monitors: tuple[MonitorRequest, ...] = (),
) -> GroupRequest:
    return GroupRequest(members.vcpus, members.id, caches, nodes, monitors, _HERE, threads=members.threads)


def _is_inside(members: Members, around: GroupRequest) -> bool:
    """Whether a monitor can be one more of the group. That of all its members has no directory."""
    apart = not any(members.overlap(Members.of(monitor)) for monitor in around.monitors)
    return apart and members.are_part_of(Members.of(around))
