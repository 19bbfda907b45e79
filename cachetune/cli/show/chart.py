"""Charts of values over time as SVG: this computes where everything is, the template of the page draws it.

All charts of a page have the same size and the same time axis. Lines differ in their dashes, so no color is needed.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from cachetune.service.history_report import Course, Period
from cachetune.units import about

WIDTH, HEIGHT = 340, 128
LEFT, RIGHT, TOP, BOTTOM = 50, 6, 16, 18
_RIGHT_END, _FLOOR = WIDTH - RIGHT, HEIGHT - BOTTOM
_CEILINGS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_MOST_TICKS = 5
_NARROW = 18

Style = Literal["area", "solid", "stepped", "dashed", "dotted"]
_STEPPED = ("stepped", "dashed")
"""The styles of values that change at once; the others change gradually."""


class Tick(msgspec.Struct, frozen=True):
    """A label of an axis and where it is."""

    at: float
    label: str


class Line(msgspec.Struct, frozen=True):
    """A line or an area as the ``d`` of an SVG path."""

    path: str
    style: Style


class Chart(msgspec.Struct, frozen=True):
    """One chart; ``summary`` says in words what it shows."""

    title: str
    summary: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]


class TimeAxis(msgspec.Struct, frozen=True):
    """What all charts share: the ticks, the numbered marks of changes, and the gaps as (x, width)."""

    ticks: tuple[Tick, ...]
    marks: str
    numbers: tuple[Tick, ...]
    gaps: tuple[tuple[float, float], ...]


def time_axis(period: Period, changes: Sequence[float]) -> TimeAxis:
    """The axis of a period with marks at the times of changes."""
    at = [_x(period, time) for time in changes]
    numbers: list[Tick] = []
    for number, x in enumerate(at, start=1):
        if numbers and x - numbers[-1].at < _NARROW:  # two labels would overlap
            first = numbers[-1].label.partition("-")[0]
            numbers[-1] = Tick(numbers[-1].at, f"{first}-{number}")
        else:
            numbers.append(Tick(x, str(number)))
    gaps = ((_x(period, start), round(_x(period, end) - _x(period, start), 1)) for start, end in period.gaps)
    marks = "".join(f"M{x:g} {TOP}V{_FLOOR}" for x in dict.fromkeys(at))
    return TimeAxis(tuple(_time_ticks(period)), marks, tuple(numbers), tuple(gaps))


def bytes_chart(
    title: str, summary: str, period: Period, courses: Sequence[tuple[Course, Style]], unit: str = ""
) -> Chart:
    """A chart of sizes, or of rates with the unit "/s"."""
    top = _ceiling(max((v for course, _ in courses for v in course.spans if v is not None), default=0.0))
    ticks = tuple(Tick(_y(part * top, top), f"{about(round(part * top))}{unit}") for part in (0, 0.5, 1))
    return Chart(title, summary, tuple(_lines(period, courses, top)), ticks)


def ways_chart(title: str, summary: str, period: Period, course: Course, ways: int) -> Chart:
    """A chart of a number of ways."""
    ticks = tuple(Tick(_y(number, ways), str(number)) for number in sorted({0, ways // 2, ways}))
    return Chart(title, summary, tuple(_lines(period, [(course, "stepped")], ways)), ticks)


def _lines(period: Period, courses: Iterable[tuple[Course, Style]], top: float) -> Iterator[Line]:
    for course, style in courses:
        runs = [*_runs(course.spans)]
        draw = _steps if style in _STEPPED else _points
        if style == "area":
            yield Line("".join(f"{_points(period, run, top)}V{_FLOOR}H{_start(period, run)}Z" for run in runs), "area")
        yield Line("".join(draw(period, run, top) for run in runs), "solid" if style == "area" else style)


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """The values that are known, with the numbers of their spans; each run without a gap is one list."""
    numbered = enumerate(values)
    for known, run in itertools.groupby(numbered, key=lambda item: item[1] is not None):
        if known:
            yield [(span, value) for span, value in run if value is not None]


def _points(period: Period, run: Sequence[tuple[int, float]], top: float) -> str:
    """A line through the middle of each span; a lone span is as wide as it is."""
    if len(run) == 1:
        return _steps(period, run, top)
    words = [f"{_middle(period, span):g} {_y(value, top):g}" for span, value in run]
    return "M" + "L".join(words)


def _steps(period: Period, run: Sequence[tuple[int, float]], top: float) -> str:
    path, before = f"M{_edge(period, run[0][0]):g} {_y(run[0][1], top):g}", run[0][1]
    for span, value in run:
        if value != before:
            path += f"H{_edge(period, span):g}V{_y(value, top):g}"
        before = value
    return f"{path}H{_edge(period, run[-1][0] + 1):g}"


def _start(period: Period, run: Sequence[tuple[int, float]]) -> str:
    return f"{_edge(period, run[0][0]) if len(run) == 1 else _middle(period, run[0][0]):g}"


def _edge(period: Period, span: int) -> float:
    return round(LEFT + span / period.spans * (_RIGHT_END - LEFT), 1)


def _middle(period: Period, span: int) -> float:
    return round(LEFT + (span + 0.5) / period.spans * (_RIGHT_END - LEFT), 1)


def _x(period: Period, time: float) -> float:
    part = (time - period.since) / period.seconds if period.seconds else 0.0
    return round(LEFT + min(max(part, 0.0), 1.0) * (_RIGHT_END - LEFT), 1)


def _y(value: float, top: float) -> float:
    return round(_FLOOR - (value / top if top else 0.0) * (_FLOOR - TOP), 1)


def _ceiling(value: float) -> float:
    """The end of an axis: a round number of a binary unit, not less than the value."""
    value, unit = max(value, 2.0), 1.0  # the middle of the axis is a whole number, too
    while value > _CEILINGS[-1] * unit:
        unit *= 1024
    return next(number * unit for number in (*_CEILINGS, 1024) if number * unit >= value)


def _time_ticks(period: Period) -> Iterator[Tick]:
    """Round times of the day, in local time."""
    step = next(
        (s for s in _STEPS if period.seconds / s < _MOST_TICKS), _STEPS[-1] * (1 + int(period.seconds // 345600))
    )
    here = datetime.fromtimestamp(period.since, UTC).astimezone()
    offset = (here.utcoffset() or timedelta()).total_seconds()
    first = -(-(period.since + offset) // step) * step - offset
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    count = int((period.until - first) // step) + 1 if first <= period.until else 0
    for time in (first + k * step for k in range(count)):
        yield Tick(_x(period, time), f"{datetime.fromtimestamp(time, UTC).astimezone():{form}}")
