"""What has been seen so far: the rows of the last look, and the last minutes of all of them."""

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cachetune.cli.show.table import unbroken
from cachetune.cli.top.frame import header, layout_for, legend_lines, nothing_shown, row_line, summary_lines, title
from cachetune.cli.top.model import Row
from cachetune.cli.top.rows import rows_of
from cachetune.cli.top.summary import Summary, summary_of
from cachetune.cli.top.trails import Trails
from cachetune.cli.top.view import View
from cachetune.service.looks import Look

if TYPE_CHECKING:
    from rich.text import Text


class Table(NamedTuple):
    """The rows that are shown, with a line for each, and the line above them; names end at column ``names_end``."""

    header: "Text"
    rows: list[Row]
    lines: "list[Text]"
    names_end: int


def screen_width() -> int:
    """The columns of a frame: those of the terminal, or what COLUMNS says, or 80."""
    return shutil.get_terminal_size((80, 24)).columns


class Session:
    """Takes in looks, from the first one on, and shows the last."""

    def __init__(self, first: Look, second: float) -> None:
        self._trails = Trails()
        self.add(first, second, 0.0)

    def add(self, look: Look, second: float, interval: float) -> None:
        """Take in a look at ``second`` of a monotonic clock, ``interval`` seconds after the one before."""
        seen = look.seen
        self.time, self.notes = seen.readings.time, seen.notes
        self.summary: Summary = summary_of(look.usage, is_live=look.is_live)
        self._summed = rows_of(seen.host, seen.readings.monitors, look.guests)
        self._per_cache = rows_of(seen.host, seen.readings.monitors, look.guests, per_cache=True)
        self._trails.add((*self._summed, *self._per_cache), int(second), interval)

    def table(self, view: View, width: int, *, trace: bool = True) -> Table:
        """What this view shows in ``width`` columns; ``trace`` adds sparklines."""
        rows = view.visible(self._per_cache if view.per_cache else self._summed)
        layout = layout_for(rows, self.summary, view, width, trace=trace)
        lines = [
            row_line(row, layout, view, self.summary, self._trails.sparkline(row, view.trace, layout.trace))
            for row in rows
        ]
        return Table(header(layout, view), rows, lines, layout.letters + 1 + layout.name)

    def frame(self, view: View, width: int, words: Sequence[str] = ()) -> "Iterator[Text]":
        """Everything on one page without sparklines, for which there has been no time."""
        table = self.table(view, width, trace=False)
        yield title(self.summary, words, width)
        yield from summary_lines(self.summary, width)
        yield unbroken("")
        yield from (table.header, *table.lines)
        if not table.rows:
            yield unbroken(nothing_shown(view))
        yield unbroken("")
        yield from legend_lines(self.summary, width)
