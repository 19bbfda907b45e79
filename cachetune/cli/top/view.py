"""What a person has chosen to see: order, filter, sums, and which rows are unfolded. Pure."""

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import msgspec

from cachetune.cli.top.model import REQUESTS, STATES, Key, Row

Order = Literal["occupancy", "fill", "total", "local", "name", "state"]
ORDERS: tuple[Order, ...] = get_args(Order)
Trace = Literal["total", "occupancy"]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown. ``pattern`` is a part of a name, an owner or a group's path; ``trace`` is what sparklines show.

    ``unfolded`` are the rows that are; with ``unfold_all`` those that are not.
    """

    order: Order = "occupancy"
    backwards: bool = False
    pattern: str = ""
    per_cache: bool = False
    trace: Trace = "total"
    unfold_all: bool = False
    unfolded: frozenset[Key] = frozenset()

    def is_unfolded(self, row: Row) -> bool:
        """Whether the rows inside this one are shown."""
        return bool(row.rows) and (row.key in self.unfolded) is not self.unfold_all

    def toggled(self, row: Row) -> "View":
        """The view with a row unfolded if it is folded, or the reverse."""
        return msgspec.structs.replace(self, unfolded=self.unfolded ^ {row.key})

    def visible(self, rows: Iterable[Row]) -> list[Row]:
        """The rows to show, in order: those that match, sorted, with the rows inside those that are unfolded."""
        return list(self._unfolded(sorted(filter(self._matches, rows), key=self._place, reverse=self.backwards)))

    def _unfolded(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield row
            if self.is_unfolded(row):
                yield from self._unfolded(row.rows)

    def _matches(self, row: Row) -> bool:
        pattern = self.pattern.casefold()
        return any(pattern in text.casefold() for text in _texts(row))

    def _place(self, row: Row) -> tuple[bool, float, str, int]:
        """Numbers from the highest, then what is not known; names from A, also among equals."""
        number = _number(row, self.order)
        return number is None, -(number or 0.0), row.name.casefold(), -1 if row.cache_id is None else row.cache_id


def _number(row: Row, order: Order) -> float | None:
    match order:
        case "occupancy":
            return row.occupancy.value
        case "fill":
            return row.fill
        case "total":
            return row.total.value
        case "local":
            return row.local.value
        case "state":
            return float(-REQUESTS.index(row.request) * len(STATES) - STATES.index(row.state))
        case "name":
            return 0.0


def _texts(row: Row) -> Iterator[str]:
    yield from (row.name, row.owner, *row.paths)
    for inner in row.rows:
        yield from _texts(inner)
