"""Charts: points are where their values are, gaps stay gaps, and axes end at round numbers."""

import re

import pytest

from cachetune.cli.show.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, bytes_chart, time_axis, ways_chart
from cachetune.service.history_report import Course, Period, Values
from tests.watch.moments import NOON

FLOOR, END = HEIGHT - BOTTOM, WIDTH - RIGHT


def period(spans: int, seconds: float = 600.0, **more: object) -> Period:
    return Period(NOON, NOON + seconds, spans, spans, spans, 0.0, **{"gaps": (), **more})  # type: ignore[arg-type]


def course(*spans: float | None) -> Course:
    known = [value for value in spans if value is not None]
    return Course(spans, None, max(known, default=None), spans[-1])


def paths(values: Values, style: str = "solid") -> dict[str, str]:
    chart = bytes_chart("", "", period(len(values)), [(course(*values), style)])  # type: ignore[list-item]
    return {line.style: line.path for line in chart.lines}


def test_each_point_is_as_high_as_its_value() -> None:
    values = tuple(float(value) for value in (0, 1024, 2048, 512, 4096))
    drawn = [tuple(map(float, point)) for point in re.findall(r"([0-9.]+) ([0-9.]+)", paths(values)["solid"])]
    assert [round((FLOOR - y) / (FLOOR - TOP) * 4096) for _, y in drawn] == pytest.approx(values, abs=5)
    wide = (END - LEFT) / 5
    assert [x for x, _ in drawn] == pytest.approx([LEFT + wide * (k + 0.5) for k in range(5)], abs=0.06)


def test_an_unknown_value_is_a_gap_and_a_lone_one_is_as_wide_as_its_span() -> None:
    assert paths((4.0, 4.0, None, 4.0, None))["solid"].count("M") == 2
    assert paths((None, 4.0, None))["solid"] == f"M{LEFT + (END - LEFT) / 3:.1f} {TOP}H{LEFT + (END - LEFT) / 1.5:.1f}"
    assert paths((None, None))["solid"] == ""


def test_an_area_reaches_down_to_the_axis_below_its_line() -> None:
    drawn = paths((4.0, 2.0), "area")
    assert drawn["area"] == f"{drawn['solid']}V{FLOOR}H{drawn['solid'][1:].split(' ')[0]}Z"


def test_a_step_is_vertical() -> None:
    assert (
        paths((4.0, 4.0, 2.0, 2.0), "dashed")["dashed"]
        == f"M{LEFT} {TOP}H{(LEFT + END) / 2:g}V{(TOP + FLOOR) / 2:g}H{END}"
    )


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, ["0 B", "1 B", "2 B"]),
        (5 << 20, ["0 B", "3 MiB", "6 MiB"]),
        ((24 << 20) + 1, ["0 B", "16 MiB", "32 MiB"]),
        (900 << 20, ["0 B", "512 MiB", "1 GiB"]),
        (1 << 62, ["0 B", "2048 PiB", "4096 PiB"]),
    ],
)
def test_an_axis_ends_at_a_round_number_of_a_binary_unit(highest: float, labels: list[str]) -> None:
    chart = bytes_chart("", "", period(1), [(course(float(highest)), "solid")])
    assert [tick.label for tick in chart.ticks] == labels


def test_free_ways_are_on_a_scale_of_all_ways() -> None:
    chart = ways_chart("", "", period(2), course(0.0, 11.0), 11)
    assert [tick.label for tick in chart.ticks] == ["0", "5", "11"]
    assert chart.lines[0].path.endswith(f"V{TOP}H{END}")


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0, ["08:00:00"]),
        (20, ["08:00:00", "08:00:05", "08:00:10", "08:00:15", "08:00:20"]),
        (600, ["08:00", "08:05", "08:10"]),
        (86400, ["12:00", "18:00", "00:00", "06:00"]),
        (30 * 86400, ["01-22", "01-30", "02-07"]),
    ],
)
@pytest.mark.usefixtures("in_utc")
def test_times_are_round_times_of_the_local_day(seconds: float, labels: list[str]) -> None:
    assert [tick.label for tick in time_axis(period(9, seconds), []).ticks] == labels


def test_changes_are_numbered_lines_and_numbers_never_overlap() -> None:
    axis = time_axis(period(9), [NOON, NOON + 300, NOON + 301, NOON + 302, NOON + 600])
    assert axis.marks == "".join(f"M{x:g} {TOP}V{FLOOR}" for x in (LEFT, 192, 192.5, 192.9, END))
    assert [(tick.at, tick.label) for tick in axis.numbers] == [(LEFT, "1"), (192, "2-4"), (END, "5")]


def test_a_change_before_the_first_moment_is_at_the_edge() -> None:
    assert time_axis(period(9), [NOON - 5]).numbers[0].at == LEFT


def test_a_gap_is_where_nothing_was_recorded() -> None:
    assert time_axis(period(9, gaps=((NOON, NOON + 300),)), []).gaps == ((LEFT, (END - LEFT) / 2),)
