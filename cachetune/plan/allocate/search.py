"""Search for a layout of one cache where libvirt's order of placing finds none.

Only the requested groups get other masks. A layout is found if there is one, unless the search takes more than
``_TRIES`` tries; eight groups that grow at once on a cache of 20 ways stay far below that.
"""

from collections.abc import Iterator, Sequence

import msgspec

from cachetune.cbm import Cbm, run, runs

_TRIES = 20_000


class Existing(msgspec.Struct, frozen=True):
    """A request of a group that exists: the number of ``ways`` and its mask ``now``."""

    ways: int
    now: Cbm


class Arrangement(msgspec.Struct, frozen=True):
    """Contiguous masks that do not overlap: of groups that exist, and of new ones, in the order of the requests."""

    existing: tuple[Cbm, ...]
    new: tuple[Cbm, ...]


def arrange(free: Cbm, existing: Sequence[Existing], new: Sequence[int]) -> Arrangement | None:
    """Place all requests within ``free``; None if that is impossible. ``new`` are the ways of groups to be created.

    ``free`` includes what the existing groups have now. What such a group has now is free for others only if its new
    mask is a part of it: masks that only give up ways are written first.
    """
    if sum(each.ways for each in existing) + sum(new) > free.bit_count():
        return None
    search = _Search(free, existing, new)
    try:
        return next(search.arrangements((), Cbm(0), Cbm(0)), None)
    except _TooLongError:
        return None


class _TooLongError(Exception):
    """The search takes more tries than it may."""


class _Search:
    def __init__(self, free: Cbm, existing: Sequence[Existing], new: Sequence[int]) -> None:
        self._free, self._existing, self._new = free, existing, new
        self._largest_first = sorted(range(len(new)), key=lambda i: -new[i])
        self._tries = 0
        self._dead_ends: set[tuple[int, int, int]] = set()

    def arrangements(self, chosen: tuple[Cbm, ...], taken: Cbm, held: Cbm) -> Iterator[Arrangement]:
        """All arrangements in which the first groups have the masks ``chosen``.

        ``taken`` are these masks, ``held`` in addition what the groups have until they get them.
        """
        index = len(chosen)
        if index == len(self._existing):
            if (placed := self._pack(self._free & ~held)) is not None:
                yield Arrangement(chosen, placed)
            return
        key = (index, int(taken), int(held))
        if key in self._dead_ends:
            return
        for mask in self._candidates(self._existing[index], held):
            self._count()
            kept = _held(self._existing[index].now, mask)
            if not kept & taken:
                yield from self.arrangements((*chosen, mask), taken | mask, held | kept)
        self._dead_ends.add(key)

    def _candidates(self, request: Existing, held: Cbm) -> list[Cbm]:
        """The masks that the group could get: first those that overlap most with what it has, then the lowest."""
        reach = self._free & ~held
        masks = [
            run(start, request.ways)
            for first, length in runs(reach)
            for start in range(first, first + length - request.ways + 1)
        ]
        return sorted(masks, key=lambda mask: (-(mask & request.now).bit_count(), mask))

    def _pack(self, free: Cbm) -> tuple[Cbm, ...] | None:
        """Place the new groups in holes, the largest first, each at the low end of what is left of a hole."""
        holes = tuple(runs(free))
        placed = self._fill(0, holes, set())
        return None if placed is None else tuple(mask for _, mask in sorted(placed.items()))

    def _fill(
        self, number: int, holes: tuple[tuple[int, int], ...], dead_ends: set[tuple[int, ...]]
    ) -> dict[int, Cbm] | None:
        """The masks of the new groups but the first ``number``, by index; holes of the same length are all alike."""
        if number == len(self._largest_first):
            return {}
        lengths = (number, *sorted(length for _, length in holes))
        if lengths in dead_ends:
            return None
        index = self._largest_first[number]
        ways = self._new[index]
        tried: set[int] = set()
        for length, start in sorted((length, start) for start, length in holes if length >= ways):
            if length in tried:
                continue
            self._count()
            tried.add(length)
            left = tuple((s, n) if s != start else (start + ways, length - ways) for s, n in holes)
            if (rest := self._fill(number + 1, left, dead_ends)) is not None:
                return {index: run(start, ways), **rest}
        dead_ends.add(lengths)
        return None

    def _count(self) -> None:
        self._tries += 1
        if self._tries > _TRIES:
            raise _TooLongError


def _held(now: Cbm, mask: Cbm) -> Cbm:
    """What a group has at any moment while its mask changes, except what it gives up before any other step."""
    return mask if mask & ~now == 0 else now | mask
