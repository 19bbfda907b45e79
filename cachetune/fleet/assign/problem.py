"""What each guest needs on each host and what each host has, in numbers that a solver can add up.

The numbers never exclude what the planner accepts: ways, CLOSIDs and RMIDs are counted as it counts them, and what it
checks beyond these numbers, such as exclusive groups or a path of writes for a compaction, is left to it (``confirm``).
Groups that exist are the exception. A guest with groups on a host stays on that host, and there it counts only for the
groups that it lacks.

Ways are contiguous and a new group never moves afterwards, so groups are packed into holes: runs of ways that no group
has. With --shrink-default the default group keeps the least that it can, and where in its mask it keeps that is a
choice: each choice is a ``Layout``. With --compact the groups that may move are packed again, with the guests'.

The sum of the guests' bandwidths is a rule of this module alone. The planner limits each group and does not add up.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

import msgspec

from cachetune.cbm import Cbm, runs
from cachetune.domain.model import Domain, GroupRequest
from cachetune.fleet.model import Candidate
from cachetune.host.model import DEFAULT_GROUP, BandwidthControl, CacheControl, Host, is_monitor
from cachetune.plan.allocate.capacity import bandwidth_of, capacity_findings, control_of, ways_of
from cachetune.plan.allocate.occupancy import io_to_avoid, occupancy_of
from cachetune.plan.allocate.place import Cache, remainders
from cachetune.plan.allocate.relocate import Scene, movable_groups, smallest_crowd
from cachetune.plan.allocate.search import arrange
from cachetune.plan.build import groups_of
from cachetune.plan.counts import left_of
from cachetune.plan.exclusive import all_exclusive
from cachetune.plan.groups.translate import DesiredGroup, translate
from cachetune.plan.policy import with_reserved
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.rounding import exact_bandwidth, for_host
from cachetune.units import Rate

Place = tuple[str, int]
"""A resource and a cache id, or a node of memory."""


class Limits(msgspec.Struct, frozen=True):
    """How far the bandwidths of all groups on a node may add up.

    ``node`` is what a node can deliver, for hosts that count a rate; without it their sums have no limit, because no
    host says what it can deliver. Hosts that count percent have 100. ``overcommit`` means no limit anywhere.
    """

    node: Rate | None = None
    overcommit: bool = False


class Layout(msgspec.Struct, frozen=True):
    """Ways of a cache that groups can have, and the sizes of groups that need some of them in any case."""

    free: Cbm
    fixed: tuple[int, ...] = ()

    @property
    def ways(self) -> int:
        """The ways that are left for guests."""
        return self.free.bit_count() - sum(self.fixed)

    @property
    def holes(self) -> tuple[int, ...]:
        """The lengths of the runs of ways."""
        return tuple(length for _, length in runs(self.free))


class Room(msgspec.Struct, frozen=True):
    """What a host has left: the layouts of each cache, CLOSIDs and RMIDs (None: no limit), bandwidth by node.

    Masks of the ``sparse`` caches may have holes. ``units`` are all ways and CLOSIDs of the host, ``units_taken`` those
    that groups other than the default group have: together the share of the host that is in use.
    """

    layouts: dict[Place, tuple[Layout, ...]]
    sparse: frozenset[Place]
    closids: int | None
    rmids: int | None
    bandwidth: dict[Place, int]
    units: int
    units_taken: int


class Need(msgspec.Struct, frozen=True):
    """What a guest takes of a host: the ways of its new groups in each cache, new groups, bandwidth by node."""

    ways: tuple[tuple[Place, tuple[int, ...]], ...] = ()
    closids: int = 0
    rmids: int = 0
    bandwidth: tuple[tuple[Place, int], ...] = ()

    @property
    def units(self) -> int:
        """The ways and CLOSIDs that it takes."""
        return sum(sum(ways) for _, ways in self.ways) + self.closids


class Kind(msgspec.Struct, frozen=True):
    """Guests that differ in their names only. ``needs`` are by host; None where they cannot be.

    ``twin`` is the machine name of guests that cannot be on one host because they share it, else "".
    """

    guests: tuple[int, ...]
    needs: tuple[Need | None, ...]
    twin: str = ""


class Problem(msgspec.Struct, frozen=True):
    """The guests, the hosts, and what they need and have. Guests and hosts are known by their positions.

    ``homes`` are the hosts on which guests have groups already, by guest.
    """

    guests: tuple[GuestRequest, ...]
    candidates: tuple[Candidate, ...]
    options: Options
    limits: Limits
    kinds: tuple[Kind, ...]
    rooms: tuple[Room, ...]
    alike: tuple[int, ...]
    homes: dict[int, tuple[int, ...]]

    @property
    def kind_of(self) -> dict[int, int]:
        """The kind of each guest."""
        return {guest: number for number, kind in enumerate(self.kinds) for guest in kind.guests}


def problem_of(
    guests: Sequence[GuestRequest], candidates: Sequence[Candidate], options: Options, limits: Limits
) -> Problem:
    """The problem of placing these guests on these hosts. Raises MachineNameError for a name that no group can have."""
    hosts = [candidate.host for candidate in candidates]
    machines = [request.machine for request in guests]
    homes = {
        i: found
        for i, (request, machine) in enumerate(zip(guests, machines, strict=True))
        if (found := tuple(n for n, host in enumerate(hosts) if groups_of(host, machine, request.owned)))
    }
    twins = {machine for machine, times in Counter(machines).items() if times > 1}
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, (request, machine) in enumerate(zip(guests, machines, strict=True)):
        unique = i in homes or machine in twins
        groups[i if unique else _alike(request.domain)].append(i)
    known: dict[tuple[int, int], Need | None] = {}
    shapes = _numbered(_shape(host) for host in hosts)
    kinds = []
    for members in groups.values():
        first = members[0]
        needs = tuple(
            _need(guests[first], host, options, known, (first, shape)) if n in homes.get(first, (n,)) else None
            for n, (host, shape) in enumerate(zip(hosts, shapes, strict=True))
        )
        kinds.append(Kind(tuple(members), needs, machines[first] if machines[first] in twins else ""))
    return Problem(
        guests=tuple(guests),
        candidates=tuple(candidates),
        options=options,
        limits=limits,
        kinds=tuple(kinds),
        rooms=tuple(room_of(host, options, limits) for host in hosts),
        alike=tuple(_numbered(_content(host) for host in hosts)),
        homes=homes,
    )


def need_of(request: GuestRequest, host: Host, options: Options) -> Need | None:
    """What a guest takes of a host; None if the host cannot do what it requests, whatever its groups are."""
    domain = for_host(all_exclusive(request.domain) if options.exclusive else request.domain, host, options.rounding)
    if any(f.severity == "error" for group in domain.groups for f in capacity_findings(group, host)):
        return None
    machine = request.machine
    desired = translate(domain, machine)
    kept = {group.path for group in desired}
    own = groups_of(host, machine, request.owned)
    new = [group for group in desired if host.group(group.path) is None]
    obsolete = [path for path in own if path not in kept]
    closids = sum(group.is_control for group in new) - sum(not is_monitor(path) for path in obsolete)
    rmids = len(new) - len(obsolete) if host.monitors else 0
    ways: dict[Place, tuple[int, ...]] = {}
    for group in new if not obsolete else ():  # it may get the ways that it gives up
        for place, number in _ways(group.request, host):
            ways[place] = (*ways.get(place, ()), number)
    return Need(
        ways=tuple(sorted((place, tuple(sorted(each, reverse=True))) for place, each in ways.items())),
        closids=max(closids, 0),
        rmids=max(rmids, 0),
        bandwidth=tuple(sorted(_bandwidths(new, host).items())),
    )


def room_of(host: Host, options: Options, limits: Limits) -> Room:
    """What a host has for guests with these options."""
    host = with_reserved(host, options.policy)
    layouts: dict[Place, tuple[Layout, ...]] = {}
    units = taken = 0
    for control in host.caches:
        for cache_id in control.size_bytes:
            layouts[control.name, cache_id] = tuple(_best(_layouts(host, control, cache_id, options), control))
            units += control.ways
            taken += occupancy_of(host, control, cache_id, ()).taken.bit_count()
    return Room(
        layouts=layouts,
        sparse=frozenset((c.name, i) for c in host.caches if c.sparse_masks for i in c.size_bytes),
        closids=left_of(host.closids_used, host.closids_total),
        rmids=None if host.is_mpam else left_of(host.rmids_used, host.rmids_total),
        bandwidth={} if limits.overcommit else _bandwidth_left(host, limits),
        units=units + (host.closids_total or host.closids_used),
        units_taken=taken + host.closids_used - 1,
    )


def most_ways(room: Room, place: Place) -> int:
    """The ways of a cache that guests can have together."""
    return max(layout.ways for layout in room.layouts[place])


def units_left(room: Room) -> int:
    """The ways and CLOSIDs that guests can have."""
    return sum(most_ways(room, place) for place in room.layouts) + (room.closids or 0)


def packs(widths: Iterable[int], layouts: Iterable[Layout], *, sparse: bool) -> bool:
    """Whether groups of these widths fit into a cache."""
    widths = tuple(widths)
    if sparse:
        return any(sum(widths) <= layout.ways for layout in layouts)
    return any(arrange(layout.free, (), (*layout.fixed, *widths)) is not None for layout in layouts)


def _need(
    request: GuestRequest, host: Host, options: Options, known: dict[tuple[int, int], Need | None], key: tuple[int, int]
) -> Need | None:
    """``need_of``, once for all hosts of a shape on which the guest has no groups."""
    if groups_of(host, request.machine, request.owned):
        return need_of(request, host, options)
    if key not in known:
        known[key] = need_of(request, host, options)
    return known[key]


def _ways(request: GroupRequest | None, host: Host) -> Iterator[tuple[Place, int]]:
    for cache in request.caches if request else ():
        control, ways = control_of(cache, host), ways_of(cache, host)
        if control and isinstance(ways, int) and ways:
            yield (control.name, cache.cache_id), ways


def _bandwidths(groups: Iterable[DesiredGroup], host: Host) -> dict[Place, int]:
    """The sums of a guest's limits, at most the maximum: it cannot take more of a node than all."""
    sums: Counter[Place] = Counter()
    for group in groups:
        for node in group.request.nodes if group.request else ():
            control = host.bandwidth(node.resource)
            value = bandwidth_of(node, control) if control else None
            if control and isinstance(value, int) and value != control.max_bandwidth:
                sums[node.resource, node.node_id] += value
    most = {control.name: control.max_bandwidth for control in host.bandwidths}
    return {place: min(value, most[place[0]] or value) for place, value in sums.items()}


def _bandwidth_left(host: Host, limits: Limits) -> dict[Place, int]:
    found = {}
    for control in host.bandwidths:
        total = _capacity(control, limits)
        for node in control.ids if total is not None else ():
            groups = (group for group in host.control_groups() if group.path != DEFAULT_GROUP)
            values = (group.bandwidth.at(control.name, node) or 0 for group in groups)
            used = sum(value for value in values if value != control.max_bandwidth)
            found[control.name, node] = max((total or 0) - used, 0)
    return found


def _capacity(control: BandwidthControl, limits: Limits) -> int | None:
    """What all groups may have of a node together, in the host's unit; None if that is unknown."""
    if control.unit == "percent":
        return control.max_bandwidth
    exact = exact_bandwidth(limits.node, control.unit) if limits.node and limits.node.unit != "%" else None
    return None if exact is None else int(exact)


def _layouts(host: Host, control: CacheControl, cache_id: int, options: Options) -> Iterator[Layout]:
    occupancy = occupancy_of(host, control, cache_id, ())
    cache = Cache(control, occupancy.default, occupancy.taken, io_to_avoid(control, cache_id))
    kept = list(remainders(cache)) if options.shrink_default else []
    least = min((mask.bit_count() for mask in kept), default=0)
    for mask in [each for each in kept if each.bit_count() == least] or [occupancy.default]:
        yield Layout(control.cbm_mask & ~(occupancy.taken | mask))
    if options.compact:
        movable = movable_groups(host, adopt=options.adopt, default=options.shrink_default)
        crowd = smallest_crowd(Scene(host, control, cache_id, frozenset(), movable), shrink=options.shrink_default)
        yield Layout(crowd.usable, tuple(sorted((block.ways for block in crowd.blocks), reverse=True)))


def _best(layouts: Iterable[Layout], control: CacheControl) -> Iterator[Layout]:
    """The layouts without those whose holes fit into the holes of another."""
    kept: list[Layout] = []
    for layout in sorted(set(layouts), key=lambda each: (len(each.fixed), -each.ways, len(each.holes))):
        if layout.fixed or not any(packs(layout.holes, [each], sparse=control.sparse_masks) for each in kept):
            kept.append(layout)
            yield layout


def _alike(domain: Domain) -> Hashable:
    """Everything about a domain that a plan depends on but its name."""
    groups = tuple(
        (
            group.vcpus,
            group.id,
            group.exclusive,
            group.threads,
            tuple((c.level, c.type, c.cache_id, c.size) for c in group.caches),
            tuple((n.resource, n.node_id, n.bandwidth) for n in group.nodes),
            tuple((m.resource, m.vcpus, m.id, m.threads) for m in group.monitors),
        )
        for group in domain.groups
    )
    return domain.vcpus, domain.cpuset, tuple(sorted(domain.vcpupins.items())), groups


def _shape(host: Host) -> Hashable:
    """What needs depend on but the groups: the same for hosts of a model."""
    caches = tuple(
        (c.name, c.cbm_mask, c.min_cbm_bits, c.io_alloc, tuple(sorted(c.size_bytes.items()))) for c in host.caches
    )
    return caches, host.bandwidths, tuple((m.name, m.features) for m in host.monitors), host.is_mpam


def _content(host: Host) -> Hashable:
    """The same for hosts on which every plan is the same."""
    return host.fingerprint, tuple((group.path, group.owner) for group in host.groups), host.problems, host.snc_nodes


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """A number for each key, the same for equal ones: the position of the first of them."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, number) for number, key in enumerate(keys)]
