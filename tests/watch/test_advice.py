"""What a history says about the size of groups, and how far it can be trusted."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.cbm import Cbm
from cachetune.watch.advice import GroupAdvice, advise, span
from cachetune.watch.usage import Cache, Moment, Usage

MIB = 1 << 20
NOON = 1_800_000_000.0
CACHE = Cache(0, 12 * MIB, 12)  # ways of 1 MiB
WEB = "cachetune-web"


def usage(
    held: float | None, rate: float | None = 0.0, *, path: str = WEB, mask: int = 0x00F, guest: str | None = "web"
) -> Usage:
    """A group that holds this many MiB, and moves that many MiB per second."""
    occupied = None if held is None else round(held * MIB)
    moved = None if rate is None else rate * MIB
    return Usage(path, guest, "control", 0, Cbm(mask), occupied, moved, moved)


def moments(of: Callable[[int], list[Usage]], seconds: int = 7200, every: int = 10) -> Iterator[Moment]:
    for k in range(0, seconds + 1, every):
        yield Moment(NOON + k, (CACHE,), tuple(of(k)))


def only(of: Callable[[int], list[Usage]], seconds: int = 7200, every: int = 10) -> GroupAdvice:
    (found,) = (each for each in advise(moments(of, seconds, every)) if each.path == WEB)
    return found


@pytest.mark.parametrize(
    ("held", "rate", "verdict", "ways"),
    [
        (1.5, 40, "fewer", 2),
        (1.98, 40, "fewer", 3),  # no room to spare in two
        (2.9, 40, "enough", 4),  # three would be full
        (3.7, 40, "enough", 4),
        (3.9, 40, "enough", 4),  # full, but it hardly needs memory
        (3.9, 400, "measure", None),
        (4.1, 400, "measure", None),  # more than its ways, for a moment
        (0.1, 0, "unused", 1),
        (0.1, 40, "fewer", 1),  # it reads much and keeps nothing
    ],
)
def test_the_verdict_follows_from_what_a_group_held_of_its_four_ways(
    held: float, rate: float, verdict: str, ways: int | None
) -> None:
    found = only(lambda _: [usage(held, rate)])
    assert (found.verdict, found.suggested_ways, found.confidence) == (verdict, ways, "high")
    assert (found.ways, found.way_bytes, found.samples, found.seconds) == (4, MIB, 721, 7200.0)


def test_a_single_reading_in_which_it_needed_its_ways_is_enough_to_keep_them() -> None:
    found = only(lambda k: [usage(3.9 if k == 3600 else 1.0, 400)])
    assert (found.verdict, round(found.full * 721)) == ("enough", 1)
    assert found.occupancy is not None
    assert (found.occupancy.median_bytes, found.occupancy.p95_bytes) == (MIB, MIB)
    assert found.occupancy.most_bytes == round(3.9 * MIB)


def test_only_readings_with_the_present_mask_count() -> None:
    """It was full of two ways for an hour, then got four."""
    found = only(lambda k: [usage(2.0, 400, mask=0x003) if k < 3600 else usage(1.4, 40)])
    assert (found.verdict, found.suggested_ways, found.ways, found.seconds) == ("fewer", 2, 4, 3600.0)


def test_a_group_that_shares_ways_cannot_be_judged() -> None:
    found = only(lambda _: [usage(1.0), usage(5.0, path=".", mask=0xFF8, guest=None)])
    assert (found.verdict, found.suggested_ways, found.shared_with) == ("shared", None, ".")


def test_without_readings_nothing_is_said() -> None:
    found = only(lambda _: [usage(None, None)])
    assert (found.verdict, found.occupancy, found.samples, found.confidence) == ("unknown", None, 0, "low")


def test_an_unknown_size_of_the_cache_says_nothing() -> None:
    made = [Moment(NOON + k, (Cache(0, None, 12),), (usage(1.0),)) for k in range(100)]
    assert advise(made)[0].verdict == "unknown"


@pytest.mark.parametrize(
    ("seconds", "every", "confidence", "first"),
    [
        (7200, 10, "high", "721 readings over 2 h"),
        (1800, 10, "medium", "181 readings over 30 min"),
        (7200, 60, "medium", "121 readings over 2 h"),
        (60, 1, "low", "61 readings over 1 min"),
        (0, 1, "low", "1 reading over 0 s"),
    ],
)
def test_confidence_needs_many_readings_over_a_long_time(seconds: int, every: int, confidence: str, first: str) -> None:
    found = only(lambda _: [usage(1.5)], seconds, every)
    assert (found.confidence, found.reasons) == (confidence, (first,))


def test_a_load_that_has_changed_lowers_the_confidence() -> None:
    found = only(lambda k: [usage(1.5 if k < 3600 else 2.5)])
    assert found.confidence == "medium"
    assert found.reasons[1] == "it has changed: 95% of the readings were below 1.5 MiB, and later below 2.5 MiB"


def test_a_gap_lowers_the_confidence() -> None:
    made = [moment for moment in moments(lambda _: [usage(1.5)]) if not 2000 < moment.time - NOON < 4000]
    (found,) = advise(made)
    assert (found.confidence, found.reasons[1]) == ("medium", "nothing was recorded for 33 min 20 s")


def test_groups_that_have_ended_monitors_and_groups_without_a_guest_are_left_out() -> None:
    def at(k: int) -> list[Usage]:
        ended = [usage(1.0, path="cachetune-db", guest="db", mask=0x0F0)] if k < 100 else []
        monitor = Usage(f"{WEB}/mon_groups/x", "web", "monitor", 0, Cbm(0xF), MIB, 0.0, 0.0)
        return [usage(1.0), monitor, usage(1.0, path=".", guest=None, mask=0xF00), *ended]

    assert [each.path for each in advise(moments(at))] == [WEB]


def test_no_moments_no_advice() -> None:
    assert advise([]) == ()


@given(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9999)), min_size=1, max_size=40), st.integers(1, 0xFFF))
def test_fewer_ways_are_never_fewer_than_what_it_held(readings: list[tuple[float, float]], mask: int) -> None:
    made = [Moment(NOON + k, (CACHE,), (usage(*each, mask=mask),)) for k, each in enumerate(readings)]
    (found,) = advise(made)
    if found.verdict == "fewer":
        assert found.suggested_ways is not None
        assert max(held for held, _ in readings) <= found.suggested_ways < found.ways
    assert found.confidence in ("low", "medium")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (90000, "1 day 1 h"),
        (200000, "2 days 7 h"),
    ],
)
def test_spans_are_in_at_most_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
