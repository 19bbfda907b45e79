"""How workloads share one cache in the model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachetune.sim.contention import Flow, Limit, SharedCache

MIB = 1 << 20
WAY = 2 * MIB
WAYS = 8
EVERY = tuple(range(WAYS))


class Running:
    """A cache of 8 ways of 2 MiB and the flows that run."""

    def __init__(self, *flows: Flow) -> None:
        self.now, self.flows = 100.0, flows
        self.cache = SharedCache([WAY] * WAYS, lambda: self.flows, self.now)

    def become(self, *flows: Flow) -> None:
        self.cache.change(self.now)
        self.flows = flows

    def after(self, seconds: float) -> "Running":
        self.now += seconds
        return self

    def held(self, owner: str) -> float:
        return self.cache.occupancy(owner, self.now)

    def moved(self, owner: str) -> float:
        return self.cache.traffic(owner, self.now).total

    def rate(self, owner: str) -> float:
        """Memory traffic in bytes per second, over one second."""
        before = self.moved(owner)
        return self.after(1).moved(owner) - before


def stream(owner: str, rate: float, ways: Sequence[int] = EVERY) -> Flow:
    return Flow(owner, "stream", tuple(ways), rate, math.inf, 1.0, 0.75)


def reuse(owner: str, rate: float, working_set: float, ways: Sequence[int] = EVERY, fresh: float = 0.0) -> Flow:
    return Flow(owner, "reuse", tuple(ways), rate, working_set, fresh, 0.75)


def test_a_working_set_that_fits_is_held_and_no_longer_missed() -> None:
    alone = Running(reuse("web", 512 * MIB, 6 * MIB)).after(60)
    assert alone.held("web") == pytest.approx(6 * MIB, rel=1e-3)
    assert alone.rate("web") < 0.001 * 512 * MIB


def test_what_is_fresh_is_missed_although_the_working_set_fits() -> None:
    alone = Running(reuse("web", 512 * MIB, 6 * MIB, fresh=0.1)).after(60)
    assert alone.held("web") == pytest.approx(6 * MIB, rel=1e-3)
    assert alone.rate("web") == pytest.approx(51.2 * MIB, rel=1e-2)


@pytest.mark.parametrize("ways", [1, 2, 3, 4, 6, 8])
def test_misses_fall_in_a_line_until_the_working_set_fits(ways: int) -> None:
    alone = Running(reuse("web", 512 * MIB, 8 * MIB, range(ways))).after(120)
    expected = max(0.0, 1 - ways * WAY / (8 * MIB)) * 512 * MIB
    assert alone.rate("web") == pytest.approx(expected, abs=1 * MIB)


def test_a_stream_misses_whatever_it_holds() -> None:
    alone = Running(stream("batch", 512 * MIB)).after(60)
    assert alone.held("batch") == pytest.approx(WAYS * WAY, rel=1e-3)
    assert alone.rate("batch") == pytest.approx(512 * MIB)


def test_flows_hold_shares_of_common_ways_by_what_they_put_in() -> None:
    both = Running(stream("batch", 300 * MIB), stream("slow", 100 * MIB)).after(60)
    assert both.held("batch") == pytest.approx(0.75 * WAYS * WAY, rel=1e-3)
    assert both.held("slow") == pytest.approx(0.25 * WAYS * WAY, rel=1e-3)


def test_a_stream_takes_shared_ways_from_a_guest_that_then_misses_more_and_private_ways_do_not_change() -> None:
    web, db = reuse("web", 200 * MIB, 8 * MIB, range(6)), reuse("db", 200 * MIB, 3 * MIB, (6, 7))
    scene = Running(web, db).after(60)
    calm, private = scene.held("web"), scene.held("db")
    scene.become(web, db, stream("batch", 2048 * MIB, range(6)))
    scene.after(60)
    assert scene.held("web") < calm / 3
    assert scene.rate("web") > 100 * MIB
    assert scene.held("db") == pytest.approx(private, rel=1e-3)


def test_lines_in_ways_that_a_flow_lost_stay_until_they_fade() -> None:
    scene = Running(stream("web", 512 * MIB)).after(60)
    scene.become(stream("web", 512 * MIB, (0, 1)))
    assert scene.held("web") > 2.1 * WAY
    assert scene.after(5).held("web") == pytest.approx(2 * WAY, rel=1e-2)


def test_ways_that_the_same_flows_fill_can_be_one() -> None:
    flows = (stream("batch", 300 * MIB, range(6)), reuse("web", 200 * MIB, 9 * MIB))
    each = Running(*flows)
    merged = Running(*(one._replace(ways=(0,) if one.owner == "batch" else (0, 1)) for one in flows))
    merged.cache = SharedCache([6 * WAY, 2 * WAY], lambda: merged.flows, merged.now)
    for pause in (0.1, 1, 20):
        each.after(pause)
        merged.after(pause)
        assert merged.held("web") == pytest.approx(each.held("web"))
        assert merged.moved("web") == pytest.approx(each.moved("web"))


def test_a_limit_holds_for_all_flows_with_its_key() -> None:
    limit = Limit("both", lambda wanted: min(wanted, 100.0 * MIB))
    flows = (stream("a", 300 * MIB)._replace(limit=limit), stream("b", 100 * MIB)._replace(limit=limit))
    scene = Running(*flows).after(30)
    assert scene.rate("a") + scene.rate("b") == pytest.approx(100 * MIB)
    assert scene.rate("a") == pytest.approx(75 * MIB)


def test_an_empty_cache_fills_as_fast_as_data_comes() -> None:
    scene = Running(stream("slow", 4 * MIB))
    assert [round(scene.after(1).held("slow") / MIB, 2) for _ in range(3)] == [4, 8, 12]


def test_a_change_is_noticed_from_the_next_tick_on() -> None:
    scene = Running(stream("a", 100 * MIB)).after(10.003)
    before = scene.moved("a")
    scene.become()
    assert scene.after(50).moved("a") - before == pytest.approx(0.007 * 100 * MIB, abs=1)


class Event(NamedTuple):
    """Flows from a time on."""

    wait: float
    flows: tuple[Flow, ...]


masks = st.sets(st.sampled_from(EVERY), min_size=1).map(lambda ways: tuple(sorted(ways)))
flow = st.builds(
    lambda owner, ways, rate, size, fresh: Flow(owner, "x", ways, rate * MIB, size * MIB, fresh, 0.75),
    st.sampled_from("abcd"),
    masks,
    st.floats(0, 9000),
    st.floats(0.1, 100),
    st.floats(0, 1),
)
flows = st.lists(flow, max_size=4, unique_by=lambda one: one.owner).map(tuple)
events = st.lists(st.builds(Event, st.floats(0, 30), flows), min_size=1, max_size=5)


@given(events, st.lists(st.floats(0, 3), max_size=10))
def test_looking_changes_nothing_and_the_sum_is_never_more_than_the_cache(
    history: list[Event], looks: list[float]
) -> None:
    seen, unseen = Running(), Running()
    for event in history:
        seen.become(*event.flows)
        unseen.become(*event.flows)
        end, moved = seen.now + event.wait, 0.0
        for pause in (*looks, math.inf):
            seen.now = min(seen.now + pause, end)
            assert sum(map(seen.held, "abcd")) <= WAYS * WAY * (1 + 1e-9)
            now = sum(map(seen.moved, "abcd"))
            assert moved <= now
            moved = now
        unseen.now = end
        assert [*map(seen.held, "abcd"), *map(seen.moved, "abcd")] == [
            *map(unseen.held, "abcd"),
            *map(unseen.moved, "abcd"),
        ]


@given(events)
@example(  # the second change is at the end of the first tick
    [
        Event(0.01, (reuse("a", 438 * MIB, 100 * MIB, (0,), fresh=1), reuse("d", 2 * MIB, 22 * MIB, (1,), fresh=1))),
        Event(30, (reuse("a", 0, 1 * MIB, (0,)), reuse("b", 1 * MIB, 1 * MIB, (0,)))),
    ]
)
def test_the_numbers_are_the_same_whether_anything_looked_between_the_changes(history: list[Event]) -> None:
    seen, unseen = Running(), Running()
    for event in history:
        for scene in (seen, unseen):
            scene.become(*event.flows)
            scene.after(event.wait)
        seen.held("a")
    for owner in "abcd":
        assert (seen.held(owner), seen.moved(owner)) == (unseen.held(owner), unseen.moved(owner))


def test_no_more_than_some_changes_wait_for_a_look() -> None:
    scene = Running()
    for number in range(1000):
        scene.become(stream("a", number * MIB))
        scene.after(0.02)
        assert len(scene.cache._changes) <= 65


@given(flows)
def test_in_time_no_owner_holds_more_than_its_ways_or_its_working_set(running: tuple[Flow, ...]) -> None:
    scene = Running(*running).after(10_000)
    for one in running:
        assert scene.held(one.owner) <= min(len(one.ways) * WAY, one.working_set_bytes) * 1.001 + 1


def test_a_long_time_without_changes_is_computed_in_a_few_steps() -> None:
    scene, asked = Running(reuse("web", 1 * MIB, 16 * MIB), stream("batch", 1 * MIB)), 0

    def count() -> Sequence[Flow]:
        nonlocal asked
        asked += 1
        return scene.flows

    scene.cache = SharedCache([WAY] * WAYS, count, scene.now)
    assert scene.after(1e6).held("batch") > scene.held("web") > 0
    assert asked == 1
