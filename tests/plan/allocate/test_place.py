"""Placement: libvirt's answers, and the properties that hold for any cache."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.cbm import Cbm, is_contiguous, runs
from cachetune.host.model import CacheControl
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, place, settle, shrink_default


def control(ways: int = 11, *, least: int = 1, sparse: bool = False) -> CacheControl:
    return CacheControl("L3", 3, "both", Cbm((1 << ways) - 1), least, {0: ways << 20}, sparse_masks=sparse)


@pytest.mark.parametrize(
    ("free", "ways", "mask"),
    [
        (0x70F, 1, 0x100),
        (0x70F, 2, 0x300),
        (0x70F, 3, 0x700),
        (0x70F, 4, 0x00F),
        (0x777, 3, 0x007),
        (0x777, 2, 0x003),
        (0x7FF, 11, 0x7FF),
        (0x0FF, 0, 0),
    ],
)
def test_placement_is_libvirts_best_fit(free: int, ways: int, mask: int) -> None:
    assert place(ways, free) == mask


def test_five_ways_do_not_fit_into_holes_of_four_and_three() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        place(5, 0x70F)
    assert (caught.value.largest_hole, caught.value.free.bit_count()) == (4, 7)


@given(st.integers(0, (1 << 20) - 1), st.integers(1, 20))
def test_a_mask_starts_at_the_low_end_of_the_smallest_hole_that_fits(free: int, ways: int) -> None:
    fitting = [(length, start) for start, length in runs(free) if length >= ways]
    if not fitting:
        with pytest.raises(DoesNotFitError):
            place(ways, free)
        return
    mask = place(ways, free)
    shortest = min(length for length, _ in fitting)
    lowest = min(start for length, start in fitting if length == shortest)
    assert mask == ((1 << ways) - 1) << lowest


@st.composite
def caches(draw: st.DrawFn) -> tuple[Cache, list[WayRequest]]:
    ways = draw(st.integers(2, 20))
    bits = list(range(ways))
    cuts = sorted(draw(st.lists(st.integers(0, ways), min_size=3, max_size=3)))
    default = sum(1 << b for b in bits[: cuts[0]]) or 1
    free = ((1 << ways) - 1) & ~default
    taken = draw(st.integers(0, (1 << ways) - 1)) & free
    requests = []
    held = taken | default
    for _ in range(draw(st.integers(0, 4))):
        want = draw(st.none() | st.integers(1, ways))
        now = None
        room = list(runs(((1 << ways) - 1) & ~held))
        if room and draw(st.booleans()):
            start, length = draw(st.sampled_from(room))
            size = draw(st.integers(1, length))
            now = Cbm(((1 << size) - 1) << start)
            held |= now
        requests.append(WayRequest(want, now))
    shareable = draw(st.integers(0, (1 << ways) - 1)) if draw(st.booleans()) else 0
    return Cache(control(ways), Cbm(default), Cbm(taken), Cbm(shareable)), requests


@given(caches())
def test_settled_masks_have_the_requested_size_and_never_overlap(case: tuple[Cache, list[WayRequest]]) -> None:
    cache, requests = case
    try:
        masks = settle(cache, requests, cache.default)
    except DoesNotFitError:
        return
    used = cache.default | cache.taken
    for request, mask in zip(requests, masks, strict=True):
        if request.ways is None:
            assert mask == cache.default
            continue
        assert mask.bit_count() == request.ways
        assert is_contiguous(mask)
        assert mask & used == 0
        assert mask & ~cache.control.cbm_mask == 0
        used |= mask


@given(caches())
def test_settling_again_changes_nothing(case: tuple[Cache, list[WayRequest]]) -> None:
    cache, requests = case
    try:
        masks = settle(cache, requests, cache.default)
    except DoesNotFitError:
        return
    again = [WayRequest(request.ways, mask) for request, mask in zip(requests, masks, strict=True)]
    assert settle(cache, again, cache.default) == masks


@given(caches())
def test_when_shrinking_comes_first_masks_never_overlap_in_between(
    case: tuple[Cache, list[WayRequest]],
) -> None:
    cache, requests = case
    try:
        masks = settle(cache, requests, cache.default)
    except DoesNotFitError:
        return
    pairs = zip(requests, masks, strict=True)
    shrunk = [mask if asked.now and mask & ~asked.now == 0 else asked.now or 0 for asked, mask in pairs]
    for i, (request, mask) in enumerate(zip(requests, masks, strict=True)):
        if request.ways is None:
            continue
        for j, other in enumerate(shrunk):
            if j != i and requests[j].ways is not None:
                assert mask & other == 0


@given(caches())
def test_a_shrunk_default_group_keeps_a_way_and_those_shared_with_io(case: tuple[Cache, list[WayRequest]]) -> None:
    cache, requests = case
    try:
        kept, masks = shrink_default(cache, requests)
    except DoesNotFitError:
        return
    assert kept
    assert kept & ~cache.default == 0
    assert is_contiguous(kept)
    assert kept & cache.io == cache.default & cache.io
    for request, mask in zip(requests, masks, strict=True):
        assert request.ways is None or mask & kept == 0


@pytest.mark.parametrize(
    ("io", "least", "ways", "kept", "mask"),
    [
        (0x600, 1, 3, 0x7F8, 0x007),
        (0x600, 1, 9, 0x600, 0x1FF),
        (0x003, 1, 3, 0x0FF, 0x700),
        (0, 2, 9, 0x600, 0x1FF),
        (0, 1, 10, 0x400, 0x3FF),
    ],
)
def test_the_default_group_gives_up_just_enough(io: int, least: int, ways: int, kept: int, mask: int) -> None:
    cache = Cache(control(least=least), Cbm(0x7FF), Cbm(0), Cbm(io))
    assert shrink_default(cache, [WayRequest(ways)]) == (kept, [mask])


def test_ways_that_the_default_group_must_keep_are_never_given_away() -> None:
    cache = Cache(control(), Cbm(0x7FF), Cbm(0), Cbm(0x600))
    with pytest.raises(DoesNotFitError):
        shrink_default(cache, [WayRequest(10)])
    with pytest.raises(DoesNotFitError):
        shrink_default(Cache(control(least=2), Cbm(0x7FF), Cbm(0)), [WayRequest(10)])


def test_the_last_ways_shared_with_io_are_not_given_away() -> None:
    with pytest.raises(DoesNotFitError):
        shrink_default(Cache(control(), Cbm(0x600), Cbm(0x1FF), Cbm(0x600)), [WayRequest(1)])


def test_a_valid_mask_is_kept_even_if_another_would_fit_better() -> None:
    cache = Cache(control(), Cbm(0x600), Cbm(0x0C0))
    assert settle(cache, [WayRequest(2, Cbm(0x003)), WayRequest(1)], cache.default) == [0x003, 0x100]


def test_a_group_that_needs_less_keeps_the_low_end_of_what_it_has() -> None:
    cache = Cache(control(), Cbm(0x600), Cbm(0))
    assert settle(cache, [WayRequest(2, Cbm(0x0F0))], cache.default) == [0x030]


@pytest.mark.parametrize(("io", "kept"), [(0x003, 0x01F), (0x600, 0x7C0), (0x081, 0x781)])
def test_a_default_group_that_may_have_holes_keeps_io_ways_wherever_they_are(io: int, kept: int) -> None:
    cache = Cache(control(sparse=True), Cbm(0x7FF), Cbm(0), Cbm(io))
    assert shrink_default(cache, [WayRequest(6)])[0] == kept
