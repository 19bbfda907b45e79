"""Choose ways: which bits of a cache each request gets, given who has which bits now.

Everything here is about one cache (one resource name and one cache id); caches do not depend on one another.
Where libvirt has an answer, this is the same answer: the smallest hole that fits, the lowest of equals, the low end of
the hole, and the default group's mask where no size is requested.
"""

from collections.abc import Iterator, Sequence

import msgspec

from cachetune.cbm import Cbm, is_contiguous, largest_run, run, runs
from cachetune.host.model import CacheControl


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


def settle(cache: Cache, requests: Sequence[WayRequest], default: Cbm) -> list[Cbm]:
    """The mask of each request, with the default group at ``default``. Raises DoesNotFitError with the index.

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
        fits = now[i] & ~free == 0 and now[i].bit_count() == ways and _is_legal(now[i], cache.control)
        if requests[i].now is not None and fits:
            settled[i] = now[i]
            continue
        shrinks = requests[i].now is not None and now[i].bit_count() > ways and largest_run(now[i] & free) >= ways
        try:
            settled[i] = place(ways, now[i] & free if shrinks else free)
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
    for default in _remainders(cache):
        if (cache.control.cbm_mask & ~(cache.taken | default)).bit_count() < needed:
            continue
        try:
            return default, settle(cache, requests, default)
        except DoesNotFitError:
            continue
    return cache.default, settle(cache, requests, cache.default)


def _remainders(cache: Cache) -> Iterator[Cbm]:
    """Masks that could be left to the default group: the largest first, then those without holes, then the highest."""
    control = cache.control
    keep = cache.default & cache.io
    least = max(1, control.min_cbm_bits)
    bits = [bit for bit in range(cache.default.bit_length()) if (cache.default & ~keep) >> bit & 1]
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


def _is_legal(mask: int, control: CacheControl) -> bool:
    return control.sparse_masks or is_contiguous(mask)
