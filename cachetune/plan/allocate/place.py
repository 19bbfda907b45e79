"""Choose ways: which bits of a cache each request gets, given who has which bits now.

Everything here is about one cache (one resource name and one cache id); caches do not depend on one another.
Where libvirt has an answer, this is the same answer: the smallest hole that fits, the lowest of equals, the low end of
the hole, and the default group's mask where no size is requested. Where libvirt's order finds no layout, ``search``
does, and where masks may have holes, the free ways need not be contiguous.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import msgspec

from cachetune.cbm import Cbm, is_contiguous, largest_run, run, runs
from cachetune.host.model import CacheControl
from cachetune.plan.allocate.search import Existing, arrange


class DoesNotFitError(Exception):
    """No hole is large enough: the requested ``ways``, the bits that are ``free``, and the request's ``index``."""

    def __init__(self, ways: int, free: int, index: int = 0) -> None:
        super().__init__(f"{ways} ways do not fit into {free:x}")
        self.ways, self.free, self.index = ways, Cbm(free), index

    @property
    def largest_hole(self) -> int:
        """The longest run of free bits, in ways."""
        return largest_run(self.free)


class WayRequest(msgspec.Struct, frozen=True):
    """A group's request: a number of ``ways`` (None: a copy of the default group's) and its mask ``now``, if any."""

    ways: int | None
    now: Cbm | None = None


class Cache(msgspec.Struct, frozen=True):
    """One cache as it is now. ``taken`` are the bits of all groups but the default group and the requesting ones.

    ``io`` are the bits that devices use as well and that a group can avoid.
    """

    control: CacheControl
    default: Cbm
    taken: Cbm
    io: Cbm = Cbm(0)


def place(ways: int, free: int) -> Cbm:
    """Choose ``ways`` bits among ``free``: the smallest hole that fits, the lowest of equals, its low end.

    Raises DoesNotFitError. Source: libvirt virResctrlAllocFindUnused (see tests/plan/allocate/test_place.py).
    """
    if ways == 0:
        return Cbm(0)
    holes = [(length, start) for start, length in runs(free) if length >= ways]
    if not holes:
        raise DoesNotFitError(ways, free)
    return run(min(holes)[1], ways)


_Choose = Callable[[int, Cbm, Cbm], Cbm]
"""Choose that many ways for a group among those that are free for it, given its mask now. Raises DoesNotFitError."""


def _best_fit(ways: int, free: Cbm, _now: Cbm) -> Cbm:
    return place(ways, free)


def fit(cache: Cache, requests: Sequence[WayRequest], default: Cbm) -> list[Cbm]:
    """The mask of each request, with the default group at ``default``: as ``settle`` finds them, or else by searching.

    Raises the DoesNotFitError of ``settle`` if there is no layout either.
    """
    layouts = _layouts(cache.control)
    try:
        return layouts[0](cache, requests, default)
    except DoesNotFitError as error:
        for layout in layouts[1:]:
            with contextlib.suppress(DoesNotFitError):
                return layout(cache, requests, default)
        raise error from None


def settle(cache: Cache, requests: Sequence[WayRequest], default: Cbm, choose: _Choose = _best_fit) -> list[Cbm]:
    """The masks in libvirt's order, one request after the other. Raises DoesNotFitError with the index.

    A mask that already fits is kept. No mask includes bits that another group has now and has not given up in an
    earlier step, so masks are exclusive at every moment while the changes are written: shrinking ones first.
    """
    used = cache.taken | default
    now = [request.now or Cbm(0) for request in requests]
    settled: dict[int, Cbm] = {i: default for i, request in enumerate(requests) if request.ways is None}
    for i in _by_effort(requests):
        ways = requests[i].ways or 0
        free = cache.control.cbm_mask & ~used
        for j, mask in enumerate(now):
            if j != i:
                free &= ~_held(mask, None if requests[j].ways is None else settled.get(j), cache.default)
        if requests[i].now is not None and now[i] & ~free == 0 and _is_as_requested(requests[i], cache.control):
            settled[i] = now[i]
            continue
        rooms = (now[i] & free, free) if requests[i].now is not None and now[i].bit_count() > ways else (free,)
        try:
            settled[i] = _first_fit(choose, ways, rooms, now[i])
        except DoesNotFitError as error:
            raise DoesNotFitError(ways, error.free, i) from None
    return [settled[i] for i in range(len(requests))]


def shrink_default(cache: Cache, requests: Sequence[WayRequest]) -> tuple[Cbm, list[Cbm]]:
    """The largest mask that the default group can keep so that all requests fit, and the masks of the requests.

    It keeps those of its ways that are shared with I/O, and at least min_cbm_bits, never less than one.
    Of equally large masks it keeps the highest, so that guests get the low end. Raises DoesNotFitError for the default
    group as it is when no mask will do.
    """
    needed = sum(request.ways or 0 for request in requests)
    for _, group in itertools.groupby(remainders(cache), int.bit_count):
        masks = [
            default for default in group if (cache.control.cbm_mask & ~(cache.taken | default)).bit_count() >= needed
        ]
        for layout, default in itertools.product(_layouts(cache.control), masks):
            with contextlib.suppress(DoesNotFitError):
                return default, layout(cache, requests, default)
    return cache.default, fit(cache, requests, cache.default)


def _best_fit_or_scattered(ways: int, free: Cbm, now: Cbm) -> Cbm:
    try:
        return place(ways, free)
    except DoesNotFitError:
        return _scattered(ways, free, now)


def _scattered(ways: int, free: Cbm, now: Cbm) -> Cbm:
    """The ways that the group already has, then the lowest."""
    if free.bit_count() < ways:
        raise DoesNotFitError(ways, free)
    bits = (*_bits(free & now), *_bits(free & ~now))
    return Cbm(sum(1 << bit for bit in bits[:ways]))


def _searched(cache: Cache, requests: Sequence[WayRequest], default: Cbm) -> list[Cbm]:
    """The masks by an exact search: groups that have as many ways as requested keep them. Raises DoesNotFitError."""
    free = cache.control.cbm_mask & ~(cache.taken | default)
    masks: dict[int, Cbm] = {i: default for i, request in enumerate(requests) if request.ways is None}
    for i, request in enumerate(requests):
        if request.ways is None:
            free &= ~_held(request.now or Cbm(0), None, cache.default)
        elif _stays(i, requests, free, cache):
            masks[i] = request.now or Cbm(0)
    for mask in (masks[i] for i, request in enumerate(requests) if request.ways is not None and i in masks):
        free &= ~mask
    others = [(i, request, request.ways or 0) for i, request in enumerate(requests) if i not in masks]
    existing = [(i, Existing(ways, request.now)) for i, request, ways in others if request.now is not None]
    new = [(i, ways) for i, request, ways in others if request.now is None]
    arranged = arrange(free, [each for _, each in existing], [ways for _, ways in new])
    if arranged is None:
        raise DoesNotFitError(sum(ways for *_, ways in others), free)
    masks |= zip((i for i, _ in existing), arranged.existing, strict=True)
    masks |= zip((i for i, _ in new), arranged.new, strict=True)
    return [masks[i] for i in range(len(requests))]


def _stays(index: int, requests: Sequence[WayRequest], free: Cbm, cache: Cache) -> bool:
    """Whether a group has as many ways as requested, and no other group has them."""
    now = requests[index].now
    if now is None or now & ~free or not _is_as_requested(requests[index], cache.control):
        return False
    others = (request.now or Cbm(0) for i, request in enumerate(requests) if i != index)
    return not any(now & other for other in others if other != cache.default)


def _layouts(control: CacheControl) -> tuple[Callable[[Cache, Sequence[WayRequest], Cbm], list[Cbm]], ...]:
    """The ways to find a layout, in this order. Where masks may have holes, any free ways will do if all else fails."""
    if not control.sparse_masks:
        return settle, _searched
    return (
        settle,
        _searched,
        functools.partial(settle, choose=_best_fit_or_scattered),
        functools.partial(settle, choose=_scattered),
    )


def _first_fit(choose: _Choose, ways: int, rooms: Sequence[Cbm], now: Cbm) -> Cbm:
    """The choice in the first of these rooms that is large enough. Raises DoesNotFitError for the last one."""
    for room in rooms[:-1]:
        with contextlib.suppress(DoesNotFitError):
            return choose(ways, room, now)
    return choose(ways, rooms[-1], now)


def remainders(cache: Cache) -> Iterator[Cbm]:
    """Masks that could be left to the default group: the largest first, then those without holes, then the highest."""
    control = cache.control
    keep = cache.default & cache.io
    least = max(1, control.min_cbm_bits)
    bits = list(_bits(cache.default & ~keep))
    for count in range(len(bits), max(least - keep.bit_count(), 0) - 1, -1):
        starts = range(len(bits) - count if count else 0, -1, -1)
        masks = [keep | sum(1 << bit for bit in bits[start : start + count]) for start in starts]
        yield from (mask for mask in masks if mask and is_contiguous(mask))
        if control.sparse_masks:
            yield from (mask for mask in masks if not is_contiguous(mask))


def _held(now: Cbm, after: Cbm | None, default: Cbm) -> int:
    """Bits that another requesting group has at any moment at which they could be given away."""
    if after is None:
        return 0 if now == default else now
    return after if after & ~now == 0 else now | after


def _by_effort(requests: Sequence[WayRequest]) -> list[int]:
    """The order of settling: masks that can stay, masks that shrink, then all others, each in the domain's order."""

    def effort(i: int) -> int:
        ways, now = requests[i].ways or 0, requests[i].now
        if now is None:
            return 2
        return 0 if now.bit_count() == ways else 1 if now.bit_count() > ways else 2

    return sorted((i for i, request in enumerate(requests) if request.ways is not None), key=effort)


def is_legal(mask: int, control: CacheControl) -> bool:
    """Whether the processor accepts the holes in a mask, if any."""
    return control.sparse_masks or is_contiguous(mask)


def _is_as_requested(request: WayRequest, control: CacheControl) -> bool:
    """Whether the group has as many ways as requested, in a mask that the processor accepts."""
    now = request.now or Cbm(0)
    return now.bit_count() == (request.ways or 0) and is_legal(now, control)


def _bits(mask: int) -> Iterator[int]:
    return (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
