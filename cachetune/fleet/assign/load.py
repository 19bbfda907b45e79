"""What guests take of a host as they are added to it, and whether one more has room, in the numbers of ``problem``."""

from collections import Counter
from collections.abc import Iterable
from math import inf

import msgspec

from cachetune.fleet.assign.problem import Kind, Need, Place, Problem, Room, most_ways, packs, units_left

Places = tuple[int | None, ...]
"""The host of each guest, None for a guest without one."""


class Cut(msgspec.Struct, frozen=True):
    """Guests that the planner does not accept together on any of ``hosts``: that many of each kind, or more."""

    hosts: frozenset[int]
    kinds: tuple[tuple[int, int], ...]

    def excludes(self, host: int, counts: "Counter[int]") -> bool:
        """Whether a host cannot have that many guests of each kind."""
        return host in self.hosts and all(counts[kind] >= number for kind, number in self.kinds)


class Load:
    """The guests that one host has been given so far."""

    def __init__(self, problem: Problem, host: int, cuts: Iterable[Cut] = ()) -> None:
        self.guests: list[int] = []
        self.units = 0
        self._kinds, self._host, self._room = problem.kinds, host, problem.rooms[host]
        self._cuts = [cut for cut in cuts if host in cut.hosts]
        self._counts: Counter[int] = Counter()
        self._twins: set[str] = set()
        self._ways: dict[Place, tuple[int, ...]] = {}
        self._closids = self._rmids = 0
        self._bandwidth: Counter[Place] = Counter()

    @property
    def units_left(self) -> int:
        """The ways and CLOSIDs that are left, with the default group as small as it can be."""
        room = self._room
        return units_left(room) - self.units

    @property
    def share(self) -> float:
        """The part of the host's ways and CLOSIDs that is in use."""
        return (self._room.units_taken + self.units) / max(self._room.units, 1)

    def admits(self, number: int) -> bool:
        """Whether one more guest of this kind has room."""
        return not self.lacks(number) and not self._is_cut(number)

    def lacks(self, number: int) -> str:
        """What the host lacks for one more guest of this kind; "" for nothing."""
        kind, room = self._kinds[number], self._room
        need = kind.needs[self._host]
        if need is None or (kind.twin and kind.twin in self._twins):
            return "kind"
        if room.closids is not None and need.closids > max(room.closids - self._closids, 0):
            return "CLOSIDs"
        if room.rmids is not None and need.rmids > max(room.rmids - self._rmids, 0):
            return "RMIDs"
        for node, value in need.bandwidth:
            if self._bandwidth[node] + value > room.bandwidth.get(node, inf):
                return "bandwidth"
        for place, widths in need.ways:
            together = (*self._ways.get(place, ()), *widths)
            if not packs(together, room.layouts[place], sparse=place in room.sparse):
                return "ways"
        return ""

    def add(self, number: int, guest: int) -> None:
        """Give the host a guest of this kind."""
        kind = self._kinds[number]
        need = kind.needs[self._host] or Need()
        self.guests.append(guest)
        self.units += need.units
        self._counts[number] += 1
        self._twins |= {kind.twin} - {""}
        self._closids += need.closids
        self._rmids += need.rmids
        self._bandwidth.update(dict(need.bandwidth))
        for place, widths in need.ways:
            self._ways[place] = (*self._ways.get(place, ()), *widths)

    def _is_cut(self, number: int) -> bool:
        if not self._cuts:
            return False
        counts = self._counts + Counter({number: 1})
        return any(cut.excludes(self._host, counts) for cut in self._cuts)


def hardness(kind: Kind, problem: Problem) -> tuple[float, int]:
    """How hard guests of a kind are to place: what part they take of the hosts that can have them, and how few can."""
    shares = [_share(need, room) for need, room in zip(kind.needs, problem.rooms, strict=True) if need is not None]
    return (sum(shares) / len(shares) if shares else 0.0), -len(shares)


def _share(need: Need, room: Room) -> float:
    """The largest part that a guest takes of a cache, or of the CLOSIDs."""
    parts = [sum(widths) / max(most_ways(room, place), 1) for place, widths in need.ways]
    return max([*parts, need.closids / max(room.closids or room.units, 1)])
