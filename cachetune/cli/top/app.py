"""The full screen: a thin Textual application around a ``Session``.

The host is looked at in a separate thread, which nothing on the screen waits for: a look may take long, or never end.
"""

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from msgspec.structs import replace
from rich.cells import set_cell_size
from rich.text import Text
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Region, Size
from textual.message import Message
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Input, Static

from cachetune.cli.top.frame import detail, legend_lines, letters_of, nothing_shown, summary_lines, title
from cachetune.cli.top.keys import HELP
from cachetune.cli.top.model import Row
from cachetune.cli.top.session import Session, Table
from cachetune.cli.top.terminal import Terminal, end_on_signals, is_gone
from cachetune.cli.top.view import ORDERS, View
from cachetune.cli.top.watch import Failed, Looked, Watch
from cachetune.service.looks import Look
from cachetune.text import printable

INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TERMINAL_SECONDS = 1.0


class Rows(ScrollView, can_focus=True):
    """The table: a line for each row, one of which is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
    ]

    class Selected(Message):
        """Another row is selected, or the selected row has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._table: Table | None = None
        self._cursor = 0

    @property
    def selected(self) -> Row | None:
        """The selected row; None if there are no rows."""
        rows = self._table.rows if self._table else []
        return rows[self._cursor] if rows else None

    def set_table(self, table: Table) -> None:
        """Show a table. The selected row stays selected wherever it is now, as long as there is one with its key."""
        key = self.selected.key if self.selected else None
        places = [i for i, row in enumerate(table.rows) if row.key == key]
        self._table = table
        self._cursor = places[0] if places else max(0, min(self._cursor, len(table.rows) - 1))
        self.virtual_size = Size(self.size.width, len(table.lines))
        self._show_cursor()

    def select_at(self, y: int) -> bool:
        """Select the row at a line of the table, if there is one."""
        number = self.scroll_offset.y + y
        if self._table is None or number >= len(self._table.rows):
            return False
        self.action_move(number - self._cursor)
        return True

    def action_move(self, by: int) -> None:
        """Select a row further down, or up."""
        rows = self._table.rows if self._table else []
        self._cursor = max(0, min(self._cursor + by, len(rows) - 1))
        self._show_cursor()

    def action_page(self, by: int) -> None:
        """Select a row a page further down, or up."""
        self.action_move(by * max(1, self.size.height - 1))

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, number = self.size.width, self.scroll_offset.y + y
        lines = self._table.lines if self._table else []
        if number >= len(lines):
            return Strip.blank(width)
        line = lines[number].copy()
        if self._table and number == self._cursor:
            cells = line.divide([len(set_cell_size(line.plain, self._table.names_end))])
            line = cells[0]
            line.stylize("reverse")  # not the pictures: a reversed bar looks like its opposite
            line.append_text(cells[1])
        return Strip(line.render(self.app.console)).adjust_cell_length(width)

    def _show_cursor(self) -> None:
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False, force=True)
        self.refresh()
        self.post_message(self.Selected())


class Page(ModalScreen[None]):
    """Text over the whole screen: the help, or the ways of every cache."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,h,w,f1,enter", "dismiss", "Back"),
        Binding("ctrl+c", "app.quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text, which scrolls."""
        with VerticalScroll():
            yield Static(self._text)
        yield Footer(compact=True)


class TopApp(App[None]):
    """The live view of one host. The ``first`` look was at ``second`` of the monotonic clock."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    #summary { height: auto; max-height: 40%; }
    #title, #columns, #detail { height: 1; }
    #problem { height: auto; max-height: 3; display: none; text-style: bold; color: ansi_red; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    Rows { height: 1fr; scrollbar-size-vertical: 1; }
    Page { background: ansi_default; }
    Page VerticalScroll { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("enter,space", "fold", "Unfold", key_display="Enter"),
        Binding("e", "fold_all", "All", show=False),
        Binding("right,l", "fold(True)", "Unfold", show=False),
        Binding("left", "fold(False)", "Fold", show=False),
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse", show=False),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "clear_filter", "No filter", show=False),
        Binding("c", "per_cache", "Caches"),
        Binding("v", "trace", "Sparkline", show=False),
        Binding("w", "ways", "Ways"),
        Binding("p", "pause", "Pause"),
        Binding("plus,equals_sign", "pace(1)", "Slower", show=False),
        Binding("minus", "pace(-1)", "Faster", show=False),
        Binding("question_mark,h,f1", "help", "Help", key_display="?"),
    ]

    def __init__(self, look: Callable[[], Look], first: Look, second: float, view: View, interval: float) -> None:
        super().__init__(driver_class=Terminal, ansi_color=True)
        self.theme = "ansi-dark"
        self._view = view
        self._session = Session(first, second)
        self._watch = Watch(look, self.post_message, interval)
        self._problem = ""

    def compose(self) -> ComposeResult:
        """The parts of the screen, from above."""
        yield Static(id="title")
        yield Static(id="summary")
        yield Static(id="problem")
        yield Static(id="columns")
        yield Rows()
        yield Input(id="filter", placeholder="part of a name, of a group's path, or of an owner")
        yield Static(id="detail")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Start to look."""
        self.query_one(Rows).focus()
        self._show()
        self._watch.start()
        self.set_interval(_TERMINAL_SECONDS, self._end_without_terminal)

    def on_unmount(self) -> None:
        """Stop to look."""
        self._watch.end()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        self.call_after_refresh(self._show)

    @on(Looked)
    def _on_looked(self, message: Looked) -> None:
        self._problem = ""
        self._session.add(message.look, message.second, self._watch.interval)
        self._show()

    @on(Failed)
    def _on_failed(self, message: Failed) -> None:
        self._problem = message.error
        self._show()

    @on(Rows.Selected)
    def _on_selected(self) -> None:
        self._show_detail()

    @on(Input.Changed, "#filter")
    def _on_filter_changed(self, message: Input.Changed) -> None:
        self._change(replace(self._view, pattern=message.value))

    @on(Input.Submitted, "#filter")
    def _on_filter_done(self) -> None:
        self.query_one("#filter").display = False
        self.query_one(Rows).focus()

    def on_click(self, event: events.Click) -> None:
        """Select the row that is clicked; unfold it if it is already."""
        rows = self.query_one(Rows)
        before = rows.selected
        if event.widget is rows and rows.select_at(event.y) and rows.selected is before:
            self.action_fold()

    def action_sort(self) -> None:
        """Sort by the next column."""
        following = ORDERS[(ORDERS.index(self._view.order) + 1) % len(ORDERS)]
        self._change(replace(self._view, order=following, backwards=False))

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._change(replace(self._view, backwards=not self._view.backwards))

    def action_filter(self) -> None:
        """Let a filter be typed."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear_filter(self) -> None:
        """Show all rows again."""
        self.query_one("#filter", Input).value = ""
        self._on_filter_done()

    def action_per_cache(self) -> None:
        """A row for each cache, or one for all."""
        self._change(replace(self._view, per_cache=not self._view.per_cache))

    def action_trace(self) -> None:
        """Sparklines of bandwidth, or of occupancy."""
        other = "occupancy" if self._view.trace == "total" else "total"
        self._change(replace(self._view, trace=other))

    def action_fold(self, unfold: bool | None = None) -> None:
        """Unfold the selected row, or fold it."""
        row = self.query_one(Rows).selected
        if row and row.rows and unfold is not self._view.is_unfolded(row):
            self._change(self._view.toggled(row))

    def action_fold_all(self) -> None:
        """Unfold all rows, or fold all."""
        self._change(replace(self._view, unfold_all=not self._view.unfold_all, unfolded=frozenset()))

    def action_pause(self) -> None:
        """Look no more, or again."""
        self._watch.change(interval=self._watch.interval, paused=not self._watch.paused)
        self._show()

    def action_pace(self, by: int) -> None:
        """Look less often, or more often."""
        now = self._watch.interval
        others = [each for each in INTERVALS if (each > now if by > 0 else each < now)]
        if others:
            self._watch.change(interval=others[0] if by > 0 else others[-1], paused=self._watch.paused)
        self._show()

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(Page(Text(HELP)))

    def action_ways(self) -> None:
        """Show the ways of every cache, and which group has which letter."""
        summary = self._session.summary
        width = self.size.width - 2
        lines = [*summary_lines(summary, width), Text(), *letters_of(summary), Text(), *legend_lines(summary, width)]
        self.push_screen(Page(Text("\n").join(lines)))

    def _change(self, view: View) -> None:
        self._view = view
        self._show()

    def _show(self) -> None:
        width = self.size.width
        if width <= 0:
            return
        table = self._session.table(self._view, width - 1)  # the last column is the scrollbar's
        self.query_one("#title", Static).update(title(self._session.summary, self._words(), width))
        self.query_one("#columns", Static).update(table.header)
        problem = self.query_one("#problem", Static)
        problem.display = bool(self._problem)
        problem.update(Text(printable(self._problem)))
        self.query_one(Rows).set_table(table)
        self._show_detail()

    def _show_detail(self) -> None:
        row = self.query_one(Rows).selected
        summary, width = self._session.summary, self.size.width
        self.query_one("#summary", Static).update(
            Text("\n").join(summary_lines(summary, width, row.letters if row else ""))
        )
        self.query_one("#detail", Static).update(detail(row, width) if row else Text(nothing_shown(self._view)))

    def _words(self) -> list[str]:
        clock = time.strftime("%H:%M:%S", time.localtime(self._session.time))
        words = [f"every {self._watch.interval:g} s", clock]
        if self._view.pattern:
            words.append(f"filter: {printable(self._view.pattern)}")
        if self._view.per_cache:
            words.append("per cache")
        if self._watch.paused:
            words.append("PAUSED")
        return words

    def _end_without_terminal(self) -> None:
        if not self.is_headless and is_gone():
            self.exit()


def run(look: Callable[[], Look], view: View, interval: float) -> None:
    """Show the live view until it is ended: by a key, by SIGINT, SIGTERM or SIGHUP, or because its terminal was closed.

    Raises what the first look raises.
    """
    app = TopApp(look, look(), time.monotonic(), view, interval)

    async def until_ended() -> None:
        end_on_signals(app)
        await app.run_async()

    asyncio.run(until_ended())
