"""Ways for exclusive groups, chosen before those of all others: no other group and no device may have them.

An exclusive group gets a room in each cache. With CDP the code and the data ways of a group may be the same, but must
not be those of any other group, so both are in one room and the room is as large as the larger of the two.
"""

from collections.abc import Collection, Sequence

import msgspec

from cachetune.cbm import Cbm
from cachetune.domain.model import CacheRequest
from cachetune.findings import Finding
from cachetune.host.model import CacheControl, Host
from cachetune.plan.allocate.advice import Situation
from cachetune.plan.allocate.capacity import ways_of
from cachetune.plan.allocate.occupancy import mask_of, occupancy_of
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, fit, is_legal, shrink_default
from cachetune.plan.groups.translate import DesiredGroup


class Rooms(msgspec.Struct, frozen=True):
    """The rooms in the caches of one level with one id: code and data, or both.

    ``masks`` are those of the exclusive groups by resource and path, ``ways`` are all rooms together. ``held`` are the
    ways that no other group may get in this plan: the rooms, and what the groups leave only when others have grown.
    ``default`` are the ways that the default group can keep; None if it keeps all.
    """

    masks: dict[str, dict[str, Cbm]]
    ways: Cbm = Cbm(0)
    held: Cbm = Cbm(0)
    default: Cbm | None = None
    findings: tuple[Finding, ...] = ()

    def kept_of(self, default: Cbm) -> Cbm:
        """What the default group keeps beside the rooms of its mask of one of the caches."""
        return default if self.default is None or not default & self.ways else default & self.default


NO_ROOMS = Rooms({})


def find_rooms(
    groups: Sequence[DesiredGroup],
    host: Host,
    removed: Collection[str],
    level: int,
    cache_id: int,
    *,
    shrink: bool,
) -> Rooms:
    """Place the exclusive groups that request ways of each of these caches; ``groups`` are all groups of the plan."""
    controls = [c for c in host.caches if c.level == level and cache_id in c.size_bytes]
    sought = [each for group in groups if (each := _Sought.of(group, host, controls, cache_id))]
    if not sought or controls[0].io_ways(cache_id) == controls[0].cbm_mask:
        return NO_ROOMS
    joined = _joined(groups, [each.group.path for each in sought], host, removed, controls, cache_id)
    cache = msgspec.structs.replace(joined, taken=joined.taken | joined.io)
    requests = [each.room for each in sought]
    try:
        kept, rooms = shrink_default(cache, requests) if shrink else (None, fit(cache, requests, cache.default))
        found = _rooms_of(sought, rooms, kept, controls)
        _check_default(found, host, controls, cache_id)
    except DoesNotFitError as error:
        largest = [each.largest for each in sought]
        named = next(control for control in controls if control.type == largest[error.index].type)
        cache = msgspec.structs.replace(cache, control=named)
        situation = Situation(host, cache, cache_id, largest, requests)
        finding = situation.no_room(error, shrink=shrink, compact=False)
        io = joined.io & ~(joined.taken | joined.default)
        beside = f"; an exclusive group cannot have the ways of devices ({io:x})" if io else ""
        return Rooms({}, findings=(msgspec.structs.replace(finding, hint=finding.hint + beside),))
    return found


class _Sought(msgspec.Struct, frozen=True):
    """An exclusive group, with its request, its number of ways and its mask now of each of the caches."""

    group: DesiredGroup
    requests: tuple[CacheRequest, ...]
    ways: tuple[int, ...]
    now: tuple[Cbm, ...] | None

    @classmethod
    def of(cls, group: DesiredGroup, host: Host, controls: Sequence[CacheControl], cache_id: int) -> "_Sought | None":
        """None for a group that is not exclusive, or that lacks a valid request for one of the caches."""
        if group.request is None or not group.request.exclusive:
            return None
        by_place = {(each.level, each.type, each.cache_id): each for each in group.request.caches}
        found = [by_place.get((control.level, control.type, cache_id)) for control in controls]
        requests = tuple(each for each in found if each is not None)
        ways = [ways_of(each, host) for each in requests]
        numbers = tuple(each for each in ways if isinstance(each, int))
        if len(numbers) < len(controls):
            return None
        existing = host.group(group.path)
        now = tuple(mask_of(existing, control, cache_id) for control in controls) if existing else None
        return cls(group, requests, numbers, now)

    @property
    def largest(self) -> CacheRequest:
        """The request for most ways: what needs the room."""
        return self.requests[self.ways.index(max(self.ways))]

    @property
    def room(self) -> WayRequest:
        """The room that the group needs: the one that it has, if its masks are already as requested."""
        if self.now is None:
            return WayRequest(max(self.ways))
        together = Cbm(0)
        for mask in self.now:
            together |= mask
        as_requested = tuple(mask.bit_count() for mask in self.now) == self.ways
        return WayRequest(together.bit_count() if as_requested else max(self.ways), together)

    def masks(self, room: Cbm, controls: Sequence[CacheControl]) -> list[Cbm]:
        """The mask of each cache within the room: that of now, or else the lowest ways."""
        bits = [bit for bit in range(room.bit_length()) if room >> bit & 1]
        masks = [Cbm(sum(1 << bit for bit in bits[:ways])) for ways in self.ways]
        if self.now is None:
            return masks
        return [
            now if now & ~room == 0 and now.bit_count() == ways and is_legal(now, control) else mask
            for now, ways, mask, control in zip(self.now, self.ways, masks, controls, strict=True)
        ]


def _rooms_of(
    sought: Sequence[_Sought], rooms: Sequence[Cbm], kept: Cbm | None, controls: Sequence[CacheControl]
) -> Rooms:
    masks: dict[str, dict[str, Cbm]] = {control.name: {} for control in controls}
    ways = held = Cbm(0)
    for each, room in zip(sought, rooms, strict=True):
        ways |= room
        for n, mask in enumerate(each.masks(room, controls)):
            masks[controls[n].name][each.group.path] = mask
            if each.now is not None and mask & ~each.now[n]:
                held |= each.now[n]
    return Rooms(masks, ways, ways | held, kept)


def _check_default(rooms: Rooms, host: Host, controls: Sequence[CacheControl], cache_id: int) -> None:
    """Raise DoesNotFitError if the default group is left without ways of one of the caches."""
    for control in controls:
        kept = rooms.kept_of(mask_of(host.default_group, control, cache_id))
        if kept.bit_count() < max(control.min_cbm_bits, 1):
            raise DoesNotFitError(rooms.ways.bit_count(), 0)


def _joined(
    groups: Sequence[DesiredGroup],
    exclusive: Collection[str],
    host: Host,
    removed: Collection[str],
    controls: Sequence[CacheControl],
    cache_id: int,
) -> Cache:
    """The caches as one: a way is the default group's, or taken, where it is in any of them.

    The other groups of the plan keep what they have until the masks are written, except for copies of the default
    group's mask, which shrink with it.
    """
    paths = {group.path for group in groups}
    default = taken = io = Cbm(0)
    for control in controls:
        occupancy = occupancy_of(host, control, cache_id, paths.union(removed))
        default |= occupancy.default
        taken |= occupancy.taken
        io |= control.io_ways(cache_id)
        others = (existing for path in paths.difference(exclusive) if (existing := host.group(path)))
        for mask in (mask_of(existing, control, cache_id) for existing in others):
            taken |= Cbm(0) if mask == occupancy.default else mask
    return Cache(controls[0], default, taken, io)
