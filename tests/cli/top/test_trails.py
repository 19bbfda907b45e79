"""Sparklines of the last two minutes."""

import math

import pytest

from cachetune.cli.top.rows import rows_of
from cachetune.cli.top.trails import LEVELS, SECONDS, Trail, Trails, sparkline
from tests.cli.top.scenes import MIB, every_state


def trail(*added: tuple[int, float | None], held: int = 1) -> Trail:
    made = Trail()
    for second, value in added:
        made.add(second, value, held)
    return made


def test_each_second_has_its_column_if_there_are_as_many() -> None:
    columns = trail((1000, 1.0), (1001, 2.0), (1002, 4.0)).last(SECONDS, 1002)
    assert columns[-3:] == (1.0, 2.0, 4.0)
    assert set(columns[:-3]) == {None}


def test_several_looks_in_one_second_are_their_mean() -> None:
    assert trail((7, 1.0), (7, 2.0), (7, 6.0), (7, None)).last(SECONDS, 7)[-1] == 3.0


def test_a_look_every_ten_seconds_leaves_no_gaps() -> None:
    columns = trail((1000, 1.0), (1010, 2.0), (1020, 3.0), held=10).last(SECONDS, 1020)
    assert columns[-21:] == (1.0, *[2.0] * 10, *[3.0] * 10)


def test_a_pause_leaves_a_gap() -> None:
    columns = trail((1000, 1.0), (1010, 2.0)).last(SECONDS, 1010)
    assert columns[-11:] == (1.0, *[None] * 8, 2.0, 2.0)


def test_a_value_that_is_not_known_leaves_a_gap() -> None:
    assert trail((1, 1.0), (2, None), (3, 1.0)).last(SECONDS, 3)[-3:] == (1.0, None, 1.0)


def test_few_columns_show_means_and_keep_an_old_value_in_its_column_as_it_moves_left() -> None:
    looks = [(second, float(second)) for second in range(960, 1080)]
    assert trail(*looks).last(6, 1079) == (969.5, 989.5, 1009.5, 1029.5, 1049.5, 1069.5)
    later = trail(*looks, (1080, 0.0))
    assert later.last(6, 1080) == (989.5, 1009.5, 1029.5, 1049.5, 1069.5, 0.0)


def test_what_is_older_than_two_minutes_is_forgotten() -> None:
    one = trail((1000, 1.0))
    assert not one.is_over(1000 + SECONDS - 1)
    assert one.is_over(1000 + SECONDS)
    assert set(one.last(SECONDS, 1000 + SECONDS)) == {None}


@pytest.mark.parametrize("columns", [1, 6, 7, 39, 60, 120])
def test_there_are_as_many_columns_as_wanted(columns: int) -> None:
    assert len(trail(*((second, 1.0) for second in range(300))).last(columns, 299)) == columns


def test_a_sparkline_is_lowest_at_zero_and_highest_at_the_top() -> None:
    assert sparkline((0.0, 0.001, 3.5, 7.0, None), 7.0) == f"▁▂▅{LEVELS[-1]} "


def test_bandwidth_is_drawn_in_proportion_to_the_rows_highest_and_noise_stays_low() -> None:
    trails = Trails()
    for second, factor in ((100, 1.0), (101, 0.5)):
        seen = every_state(factor).seen
        trails.add(rows_of(seen.host, seen.readings.monitors), second, 1.0)
    rows = {row.name: row for row in rows_of(seen.host, seen.readings.monitors)}
    assert trails.sparkline(rows["web"], "total", SECONDS).lstrip() == "█▅"
    assert trails.sparkline(rows["mail"], "total", SECONDS).lstrip() == "▄▄"
    assert trails.sparkline(rows["COS1"], "total", SECONDS).lstrip() == "▁▁"


def test_occupancy_is_drawn_in_proportion_to_what_the_ways_hold() -> None:
    trails, seen = Trails(), every_state().seen
    rows = rows_of(seen.host, seen.readings.monitors)
    trails.add(rows, 100, 1.0)
    web = next(row for row in rows if row.name == "web")
    assert math.isclose(web.fill or 0, 0.66, abs_tol=0.01)
    assert trails.sparkline(web, "occupancy", SECONDS).lstrip() == "▆"


def test_trails_of_removed_rows_are_dropped() -> None:
    trails, seen = Trails(), every_state().seen
    rows = rows_of(seen.host, seen.readings.monitors)
    trails.add(rows, 100, 1.0)
    trails.add(rows[:1], 100 + SECONDS, 1.0)
    assert trails.sparkline(rows[1], "total", 10) == " " * 10
    assert len(trails._found) == 2 * sum(1 for _ in _every(rows[:1]))


def _every(rows):  # type: ignore[no-untyped-def]
    for row in rows:
        yield row
        yield from _every(row.rows)


def test_the_memory_of_a_trail_does_not_grow() -> None:
    one = trail(*((second, 1.0) for second in range(100_000)))
    assert len(one._values) == SECONDS
    assert one._values.buffer_info()[1] * one._values.itemsize < MIB
