"""The last minutes of every row, as sparklines: a value for each second, however often it is looked."""

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise

from cachetune.cli.top.model import QUIET, Key, Row
from cachetune.picture import LEVELS

SECONDS = 120
"""How far back a sparkline goes."""


class Trail:
    """The values of one row, one for each of the last ``SECONDS`` seconds; nan where it is not known."""

    def __init__(self) -> None:
        self._values = array("f", [math.nan]) * SECONDS
        self._second = -1
        self._times = 0

    def add(self, second: int, value: float | None, held: int) -> None:
        """Add a value at a second of any clock that only goes forward. It also held for the ``held`` seconds before."""
        number = math.nan if value is None else value
        if second == self._second and not math.isnan(mean := self._values[second % SECONDS]):
            self._times += 1
            self._values[second % SECONDS] = mean + (0.0 if value is None else (value - mean) / self._times)
            return
        first = max(self._second + 1, second - SECONDS + 1) if self._second >= 0 else second
        for each in range(first, second + 1):
            self._values[each % SECONDS] = number if second - each <= held else math.nan
        self._second, self._times = second, 1

    def is_over(self, second: int) -> bool:
        """Whether nothing of it would still be shown."""
        return second - self._second >= SECONDS

    def last(self, columns: int, second: int) -> tuple[float | None, ...]:
        """The values until ``second`` in this many columns, each the mean of the seconds that it stands for.

        Columns stand for whole seconds since 0, so that an old value stays in its column as it moves left.
        """
        per_column = max(1, math.ceil(SECONDS / columns))
        newest = second // per_column
        edges = [(newest - columns + 1 + n) * per_column for n in range(columns + 1)]
        return tuple(_mean(self._between(start, end, second)) for start, end in pairwise(edges))

    def _between(self, start: int, end: int, second: int) -> list[float]:
        oldest, newest = second - SECONDS + 1, min(second, self._second)
        seconds = range(max(start, oldest, 0), min(end, newest + 1))
        return [value for each in seconds if not math.isnan(value := self._values[each % SECONDS])]


class Trails:
    """The trails of all rows, of occupancy and of total bandwidth."""

    def __init__(self) -> None:
        self._second = 0
        self._found: dict[tuple[Key, str], Trail] = {}

    def add(self, rows: Iterable[Row], second: int, interval: float) -> None:
        """Add the amounts of the rows, and of those inside them, looked at every ``interval`` seconds."""
        self._second = second
        held = math.ceil(interval)
        for row in _all(rows):
            for what, amount in (("occupancy", row.occupancy), ("total", row.total)):
                self._found.setdefault((row.key, what), Trail()).add(second, amount.value, held)
        self._found = {key: trail for key, trail in self._found.items() if not trail.is_over(second)}

    def sparkline(self, row: Row, what: str, columns: int) -> str:
        """The row's last minutes in this many characters, blank where nothing is known.

        Bandwidth is drawn in proportion to the row's highest, occupancy to what its ways hold.
        """
        trail = self._found.get((row.key, what))
        if trail is None or columns <= 0:
            return " " * columns
        values = trail.last(columns, self._second)
        most = row.own_bytes if what == "occupancy" else None
        return sparkline(values, most or max((QUIET, *(value for value in values if value is not None))))


def sparkline(values: Sequence[float | None], top: float) -> str:
    """A character for each value: the lowest for 0, the highest for ``top``, a blank for what is not known."""
    return "".join(" " if value is None else LEVELS[_level(value, top)] for value in values)


def _level(value: float, top: float) -> int:
    return min(len(LEVELS) - 1, math.ceil(value / top * (len(LEVELS) - 1))) if value > 0 else 0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _all(rows: Iterable[Row]) -> Iterable[Row]:
    for row in rows:
        yield row
        yield from _all(row.rows)
