"""What a measured curve says, and how far it can be trusted."""

import pytest

from cachetune.cbm import Cbm
from cachetune.watch.curve import Point, confidence_of, knee_of, values_of

MIB = 1 << 20


def point(ways: int, rate: float, *, spread: float = 0.0, held: float | None = None) -> Point:
    """A size with this traffic in MiB/s, in which readings differ by ``spread``; ``held`` MiB are in ways of 1 MiB."""
    occupancy = round((ways if held is None else held) * MIB)
    low, high = (rate - spread / 2) * MIB, (rate + spread / 2) * MIB
    return Point(
        ways=ways,
        mask=Cbm((1 << ways) - 1),
        size_bytes=ways * MIB,
        bytes_per_second=rate * MIB,
        lowest_bytes_per_second=low,
        highest_bytes_per_second=high,
        occupancy_bytes=occupancy,
    )


STEADY = [point(1, 400), point(2, 300), point(3, 200), point(4, 100), point(5, 98)]


def test_between_two_points_the_traffic_is_on_a_line() -> None:
    assert values_of([point(2, 400), point(4, 200), point(5, 0)]) == [n * MIB for n in (400, 400, 300, 200, 0)]


def test_the_knee_is_at_least_what_was_measured_and_what_the_host_allows() -> None:
    assert knee_of(STEADY, 1) == 4
    assert knee_of([point(3, 100), point(4, 100)], 1) == 3
    assert knee_of([point(1, 100), point(2, 100)], 2) == 2


def test_steady_readings_are_trusted() -> None:
    assert confidence_of(STEADY, point(5, 99)) == ("high", ())


@pytest.mark.parametrize(
    ("points", "again", "confidence", "reason"),
    [
        (STEADY, point(5, 300), "low", "its load has changed: 98 MiB/s with 5 ways at first, 300 MiB/s at the end"),
        ([point(1, 100), point(2, 300)], point(2, 300), "low", "it used more memory bandwidth with 2 ways than with 1"),
        ([point(1, 0.2), point(2, 0.1)], point(2, 0.1), "low", "it hardly used memory: 204.8 KiB/s at most"),
        (
            [point(1, 400, spread=90), point(2, 300, spread=90)],
            point(2, 300),
            "medium",
            "its readings differ much from one another",
        ),
        (
            [point(1, 400, held=3), point(2, 300)],
            point(2, 300),
            "medium",
            "with 1 way it still had data in others, so it may read more than was measured",
        ),
        ([point(1, 400), point(3, 300)], point(3, 300), "medium", "not every size was measured"),
    ],
)
def test_what_makes_a_curve_doubtful_is_said(points: list[Point], again: Point, confidence: str, reason: str) -> None:
    assert confidence_of(points, again) == (confidence, (reason,))
