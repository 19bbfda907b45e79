"""When to look: on the multiples of an interval."""

from collections.abc import Iterator

import pytest

from cachetune.testing import Clock
from cachetune.watch.pace import ticks


def moments(clock: Clock, took: Iterator[float], interval: float, count: int | None = None) -> list[float]:
    """When each tick comes, if what is done after each takes that long."""
    found = []
    for _ in ticks(interval, count, clock.advance, clock):
        found.append(clock.now)
        if (seconds := next(took, None)) is None:
            break
        clock.advance(seconds)
    return found


def test_the_time_that_a_look_takes_does_not_add_up() -> None:
    assert moments(Clock(0.0), iter([0.1, 0.9, 0.0, 0.5]), 1.0) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_look_that_takes_longer_than_the_interval_leaves_ticks_out() -> None:
    assert moments(Clock(0.0), iter([2.5, 0.1, 1.0]), 1.0) == [0.0, 3.0, 4.0, 6.0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_count_ends_it_without_a_last_wait(count: int) -> None:
    clock = Clock(0.0)
    assert list(ticks(5.0, count, clock.advance, clock)) == list(range(count))
    assert clock.now == 5.0 * (count - 1)


def test_a_wait_that_says_so_ends_it() -> None:
    assert list(ticks(1.0, None, lambda _: True, Clock())) == [0]
