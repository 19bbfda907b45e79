"""Several requests at once: what fits is found, and the default group gives up as little as possible.

The judge enumerates all layouts of a small cache: it knows the rules, and nothing of how a layout is found.
"""

import random
from collections.abc import Iterator, Sequence

import pytest
from msgspec.structs import replace

from cachetune.cbm import Cbm, is_contiguous, run, runs
from cachetune.host.model import CacheControl
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, fit, settle, shrink_default
from cachetune.plan.allocate.search import Existing, arrange
from tests.effort import examples

_WAYS = 8
_ALL = (1 << _WAYS) - 1
_HOSTS = 1500


def control(*, sparse: bool = False, least: int = 1) -> CacheControl:
    return CacheControl("L3", 3, "both", Cbm(_ALL), least, {0: _WAYS << 20}, sparse_masks=sparse)


# -- the judge ------------------------------------------------------------------------------------------------------


def legal_masks(ways: int, *, sparse: bool) -> list[int]:
    masks = range(_ALL + 1)
    return [m for m in masks if m.bit_count() == ways and (sparse or is_contiguous(m))]


def held(now: int, mask: int) -> int:
    """Masks that only lose ways are written first; all others have their old ways until the last step."""
    return mask if mask & ~now == 0 else mask | now


def is_kept(index: int, requests: Sequence[WayRequest], free: int) -> bool:
    request = requests[index]
    return request.now is not None and request.now.bit_count() == request.ways and not request.now & ~free


def layout_exists(cache: Cache, requests: Sequence[WayRequest], default: int) -> bool:
    free = _ALL & ~(cache.taken | default)
    # Each state: the ways of the masks chosen so far, and what these groups have at any moment.
    states = {(0, 0)}
    for i, request in enumerate(requests):
        now = int(request.now or 0)
        if request.ways is None:
            kept = 0 if now == cache.default else now
            states = {(masks, holds | kept) for masks, holds in states if not masks & kept}
            continue
        if is_kept(i, requests, free):
            masks_of = [now]
        else:
            masks_of = [m for m in legal_masks(request.ways, sparse=cache.control.sparse_masks) if not m & ~free]
        states = {
            (masks | mask, holds | held(now, mask))
            for masks, holds in states
            for mask in masks_of
            if not mask & holds and not held(now, mask) & masks
        }
    return bool(states)


def least_shrink(cache: Cache, requests: Sequence[WayRequest]) -> int | None:
    """The fewest ways that the default group must give up; None if nothing helps."""
    least, keep = max(1, cache.control.min_cbm_bits), int(cache.default & cache.io)
    remainders = sorted(
        ((cache.default & ~mask).bit_count(), mask)
        for mask in range(1, _ALL + 1)
        if not mask & ~cache.default and not keep & ~mask
        if cache.control.sparse_masks or is_contiguous(mask)
        if mask == cache.default or mask.bit_count() >= least
    )
    return next((given for given, mask in remainders if layout_exists(cache, requests, mask)), None)


# -- random hosts ---------------------------------------------------------------------------------------------------


def hosts(seed: int, *, sparse: bool) -> Iterator[tuple[Cache, list[WayRequest]]]:
    """A default group anywhere, other groups' ways, and up to four requests, some of groups that exist."""
    draw = random.Random(seed)  # noqa: S311 - a test
    for _ in range(examples(_HOSTS)):
        length = draw.randint(1, 5)
        default = run(draw.randint(0, _WAYS - length), length)
        taken = Cbm(draw.getrandbits(_WAYS) & draw.getrandbits(_WAYS) & ~default & _ALL)
        io = Cbm(draw.choice([0, 0, 0xC0, 0x81, 0x03]))
        requests = []
        used = default | taken
        for _ in range(draw.randint(1, 4)):
            holes = [(start, n) for start, n in runs(_ALL & ~used)]
            now = None
            if holes and draw.random() < 0.4:
                start, n = draw.choice(holes)
                size = draw.randint(1, n)
                now = run(start + draw.randint(0, n - size), size)
                used |= now
            requests.append(WayRequest(None if draw.random() < 0.1 else draw.randint(1, 4), now))
        yield Cache(control(sparse=sparse, least=draw.choice([1, 1, 2])), default, taken, io), requests


def check_layout(cache: Cache, requests: Sequence[WayRequest], default: Cbm, masks: Sequence[Cbm]) -> None:
    for i, (request, mask) in enumerate(zip(requests, masks, strict=True)):
        if request.ways is None:
            assert mask == default
            continue
        assert mask.bit_count() == request.ways
        assert cache.control.sparse_masks or is_contiguous(mask)
        assert not mask & ~_ALL
        assert not mask & (cache.taken | default)
        for j, other in enumerate(requests):
            kept = held(int(other.now or 0), masks[j]) if other.ways is not None else int(other.now or 0)
            assert i == j or not mask & kept
        if is_kept(i, requests, _ALL & ~(cache.taken | default)):
            assert mask == request.now


@pytest.mark.parametrize("sparse", [False, True])
def test_a_request_is_refused_only_if_there_is_no_layout(sparse: bool) -> None:
    found = refused = searched = 0
    for cache, requests in hosts(1, sparse=sparse):
        try:
            masks = fit(cache, requests, cache.default)
        except DoesNotFitError:
            refused += 1
            assert not layout_exists(cache, requests, cache.default), (cache, requests)
            continue
        found += 1
        check_layout(cache, requests, cache.default, masks)
        try:
            assert masks == settle(cache, requests, cache.default)  # libvirt's answer, where it has one
        except DoesNotFitError:
            searched += 1
    assert min(found, refused, searched) > 0


@pytest.mark.parametrize("sparse", [False, True])
def test_the_default_group_gives_up_the_fewest_ways_possible(sparse: bool) -> None:
    shrunk = 0
    for cache, requests in hosts(2, sparse=sparse):
        try:
            kept, masks = shrink_default(cache, requests)
        except DoesNotFitError:
            assert least_shrink(cache, requests) is None, (cache, requests)
            continue
        check_layout(cache, requests, kept, masks)
        given = (cache.default & ~kept).bit_count()
        assert given == least_shrink(cache, requests), (cache, requests)
        assert kept & cache.io == cache.default & cache.io
        shrunk += given > 0
    assert shrunk > examples(_HOSTS) // 20


# -- examples -------------------------------------------------------------------------------------------------------


def test_the_hole_of_three_is_left_for_the_request_of_three() -> None:
    cache = Cache(control(), Cbm(0x10), Cbm(0))
    requests = [WayRequest(2), WayRequest(3), WayRequest(2)]
    with pytest.raises(DoesNotFitError):
        settle(cache, requests, cache.default)
    assert fit(cache, requests, cache.default) == [0x03, 0xE0, 0x0C]


def test_a_mask_with_holes_is_given_only_where_no_hole_is_large_enough() -> None:
    cache = Cache(control(sparse=True), Cbm(0x01), Cbm(0x48))
    assert fit(cache, [WayRequest(2)], cache.default) == [0x06]
    assert fit(cache, [WayRequest(3)], cache.default) == [0x16]
    with pytest.raises(DoesNotFitError):
        fit(replace(cache, control=control()), [WayRequest(3)], cache.default)


def test_a_search_that_takes_too_long_ends_as_a_refusal() -> None:
    existing = [Existing(6, Cbm(0x2 << 8 * n)) for n in range(8)]
    assert arrange(Cbm((1 << 64) - 1), existing, [2] * 4) is not None
    assert arrange(Cbm((1 << 64) - 1), existing, [4] * 4) is None  # proving it takes millions of tries
