"""What a group reads from memory by the number of its ways, as it was measured, and what that says.

Pure: values in, values and words out.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.plan.partition import knee
from cachetune.text import count, listed
from cachetune.units import about

Confidence = Literal["high", "medium", "low"]

_NOTABLE = 0.1
"""The part of the greatest traffic from which a difference says something."""
_IDLE_BYTES_PER_SECOND = 1 << 20
_OVER = 1.1
"""How much of its ways a group can occupy: counters are in units of many lines, and follow with a delay."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a group did with one number of ways, after it had settled.

    ``bytes_per_second`` is the mean of the memory traffic, ``lowest`` and ``highest`` are of single readings.
    ``size_bytes`` and ``occupancy_bytes`` are None if they are not known.
    """

    ways: int
    mask: Cbm
    size_bytes: int | None
    bytes_per_second: float
    lowest_bytes_per_second: float
    highest_bytes_per_second: float
    occupancy_bytes: int | None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The ``points`` of one group in one cache, by ways, and what they say.

    ``vcpus`` is the list in the group's name, ``threads`` the kind of threads in it, or None. ``before_ways`` is what
    the group has. ``again`` is the largest size, measured again at the end: the guest's load has changed if it differs.
    ``knee_ways`` is the least number of ways beyond which more hardly help, at least ``least_ways``. ``reasons`` are
    why the confidence is not high.
    """

    guest: str
    path: str
    vcpus: str | None
    threads: str | None
    resource: str
    cache_id: int
    way_bytes: int | None
    before_ways: int
    least_ways: int
    points: tuple[Point, ...]
    again: Point
    knee_ways: int
    confidence: Confidence
    reasons: tuple[str, ...] = ()

    @property
    def values(self) -> list[float]:
        """The traffic by number of ways, the first for 1; between two points it is on a straight line."""
        return values_of(self.points)


def values_of(points: Sequence[Point]) -> list[float]:
    """The traffic by number of ways, from 1 to the most of the points, which are sorted by ways."""
    values = [points[0].bytes_per_second] * points[0].ways
    for low, high in pairwise(points):
        steps = high.ways - low.ways
        slope = (high.bytes_per_second - low.bytes_per_second) / steps
        values += [low.bytes_per_second + slope * step for step in range(1, steps)] + [high.bytes_per_second]
    return values


def knee_of(points: Sequence[Point], least: int) -> int:
    """The knee, which is a measured number of ways or one between two of them."""
    return knee(values_of(points), max(least, points[0].ways))


def confidence_of(points: Sequence[Point], again: Point) -> tuple[Confidence, tuple[str, ...]]:
    """How far the points can be trusted, and why not further."""
    doubts, remarks = [*_doubts(points, again)], [*_remarks(points)]
    confidence: Confidence = "low" if doubts else "medium" if remarks else "high"
    return confidence, (*doubts, *remarks)


def _doubts(points: Sequence[Point], again: Point) -> Iterator[str]:
    """What makes a curve doubtful."""
    most = max(point.bytes_per_second for point in (*points, again))
    if most < _IDLE_BYTES_PER_SECOND:
        yield f"it hardly used memory: {about(round(most))}/s at most"
        return
    first = points[-1]
    if abs(again.bytes_per_second - first.bytes_per_second) > _NOTABLE * most:
        values = (first.bytes_per_second, again.bytes_per_second)
        before, after = (f"{about(round(value))}/s" for value in values)
        yield f"its load has changed: {before} with {count(first.ways, 'way')} at first, {after} at the end"
    for low, high in pairwise(points):
        if high.bytes_per_second - low.bytes_per_second > _NOTABLE * most:
            yield f"it used more memory bandwidth with {count(high.ways, 'way')} than with {low.ways}"
            return


def _remarks(points: Sequence[Point]) -> Iterator[str]:
    """What makes a curve less exact."""
    most = max(point.bytes_per_second for point in points)
    spreads = [point.highest_bytes_per_second - point.lowest_bytes_per_second for point in points]
    if most >= _IDLE_BYTES_PER_SECOND and median(spreads) > _NOTABLE * most:
        yield "its readings differ much from one another"
    over = [p.ways for p in points if p.occupancy_bytes and p.size_bytes and p.occupancy_bytes > _OVER * p.size_bytes]
    if over:
        sizes = count(over[0], "way") if len(over) == 1 else f"{listed([str(ways) for ways in over])} ways"
        yield f"with {sizes} it still had data in others, so it may read more than was measured"
    if any(high.ways - low.ways > 1 for low, high in pairwise(points)):
        yield "not every size was measured"
