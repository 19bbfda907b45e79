"""Rows and summaries as lines of text, each as wide as the screen or narrower. What color says, a word says as well.

Names are hostile text: control characters are escaped, and a name takes its columns and no more.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import msgspec

from cachetune.cli.show.groups import STYLES
from cachetune.cli.show.guests import TUNING_STYLES, differences
from cachetune.cli.show.table import heading, unbroken
from cachetune.cli.top.model import Amount, Row, State
from cachetune.cli.top.summary import CacheMap, Summary
from cachetune.cli.top.trails import SECONDS
from cachetune.cli.top.view import Order, View
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.usage import Limit
from cachetune.idset import format_ids
from cachetune.picture import SEVERAL, bar, legend, owners_picture
from cachetune.text import count, printable

if TYPE_CHECKING:
    from rich.text import Text

STATE_STYLES: dict[State, str] = {
    "over": "bold red",
    "full": "yellow",
    "no counter": "magenta",
    "in use": "green",
    "idle": "dim",
    "": "dim",
}
FOLDED, UNFOLDED, CUT, SORTED = "▸", "▾", "…", "▾"
_MIB = 1 << 20
_GAP = " "


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of the table: how wide each is; 0 is left out."""

    letters: int = 2
    name: int
    cache: int
    bar: int
    amounts: int = 13
    percent: int
    total: int
    local: int
    trace: int
    ways: int
    state: int

    @classmethod
    def of(cls, width: int, *, per_cache: bool, ways: int, longest_name: int, trace: bool = True) -> "Layout":
        """The layout for a screen; the widest picture of ways has ``ways``, the longest name ``longest_name`` columns.

        What 80 columns do not need goes to whole words first, then to the pictures, then to bars and sparklines.
        """
        least = cls(
            name=12,
            cache=3 if per_cache else 0,
            bar=10,
            percent=0,
            total=7,
            local=7,
            trace=6 if trace else 0,
            ways=0,
            state=11,
        )
        room = width - least.width
        grown: dict[str, int] = {}
        grown["name"] = least.name + max(0, min(6, room))
        room -= grown["name"] - least.name
        for field, more in (("percent", 5), ("total", 5), ("local", 5), ("ways", ways + 1)):
            if room >= more:
                grown[field] = getattr(least, field) + more - (field in ("percent", "ways"))
                room -= more
        for field, most in (("state", 42), ("name", min(longest_name, 40)), ("bar", 20), ("trace", SECONDS // 2)):
            now = grown.get(field, getattr(least, field))
            more = min(room, most - now) if now else 0
            if more > 0:
                grown[field] = now + more
                room -= more
        return msgspec.structs.replace(least, **grown)

    @property
    def width(self) -> int:
        """How wide the table is."""
        widths: list[int] = [getattr(self, field) for field in self.__struct_fields__]
        return sum(widths) + len([width for width in widths[1:] if width])


def layout_for(rows: Sequence[Row], summary: Summary, view: View, width: int, *, trace: bool = True) -> Layout:
    """The layout for these rows on a screen of this width."""
    ways = max((each.ways for each in summary.maps if each.resource.startswith("L3")), default=0)
    longest = max((_columns(row.name) + 2 * row.depth + 2 for row in rows), default=0)
    return Layout.of(width, per_cache=view.per_cache, ways=ways, longest_name=longest, trace=trace)


def header(layout: Layout, view: View) -> "Text":
    """The names of the columns; a triangle marks the one that sorts."""
    wide = layout.total > 7
    minutes = f"{SECONDS // 60} min"
    trace = f"{'bandwidth' if view.trace == 'total' else 'occupancy'}, last {minutes}" if layout.trace > 25 else minutes
    titles: dict[str, tuple[str, Order | None]] = {
        "letters": ("", None),
        "name": ("guest", "name"),
        "cache": ("L3", None),
        "bar": ("occupancy", None),
        "amounts": ("used/own MiB", "occupancy"),
        "percent": ("%", "fill"),
        "total": ("total MiB/s" if wide else "MiB/s", "total"),
        "local": ("local MiB/s" if wide else "local", "local"),
        "trace": (trace, None),
        "ways": ("ways", None),
        "state": ("state", "state"),
    }
    cells = {}
    for field, (text, order) in titles.items():
        mark = SORTED if order == view.order else ""
        cells[field] = (f"{heading(text)}{mark}", "")
    return _line(layout, cells, "bold")


def row_line(row: Row, layout: Layout, view: View, summary: Summary, trace: str = "") -> "Text":
    """One row of the table; ``trace`` is its sparkline."""
    mark = (UNFOLDED if view.is_unfolded(row) else FOLDED) if row.rows else " "
    style = STATE_STYLES[row.state]
    fill = row.fill
    name = f"{'  ' * row.depth}{mark} {printable(row.name)}"
    letters = row.letters if len(row.letters) <= 2 else f"{row.letters[:1]}+"
    return _line(
        layout,
        {
            "letters": (letters, STYLES[row.owner]),
            "name": (name, "" if row.depth else "bold"),
            "cache": ("" if row.cache_id is None else f"{row.cache_id}", ""),
            "bar": (_bar(row, layout.bar), style),
            "amounts": (_amounts(row), ""),
            "percent": ("" if fill is None else f"{fill:.0%}", ""),
            "total": (_cell(row.total, layout.total), ""),
            "local": (_cell(row.local, layout.local), ""),
            "trace": (trace, "cyan"),
            "ways": (_own_ways(row, summary), "dim"),
            "state": (state_words(row, layout.state), TUNING_STYLES.get(row.request, style)),
        },
    )


def state_words(row: Row, width: int) -> str:
    """What is to be known of the guest's request, then the state, in as many words as fit."""
    if not row.request:
        return _activity(row, width)
    beside = _activity(row, width - len(f"{row.request}, "))
    text = f"{row.request}, {beside}"
    return text if beside and len(text) <= width else row.request


def _activity(row: Row, width: int) -> str:
    """The state, in which caches, and if there is no counter why, in as many words as fit."""
    if row.lack is None:
        where = f" L3 {format_ids(row.where)}" if row.where and row.state in ("over", "full") else ""
        return f"{row.state}{where}" if len(where) + len(row.state) <= width else row.state
    return next((text for text in (f"no counter: {row.lack}", f"{row.lack}") if len(text) <= width), row.lack.word)


def _bar(row: Row, width: int) -> str:
    if row.kind == "ungrouped":
        return "no groups"
    return "" if row.fill is None else bar(row.fill, width)


def _amounts(row: Row) -> str:
    if row.kind == "ungrouped":
        return f"{'-':>6}"
    return f"{_cell(row.occupancy, 6):>6}/{_mib(row.own_bytes):<6}"


def detail(row: Row, width: int) -> "Text":
    """All about one row in a line, for what its columns have no room for."""
    more = f" and {count(len(row.paths) - 1, 'more group')}" if len(row.paths) > 1 else ""
    group = ("the default group" if row.paths[0] == DEFAULT_GROUP else printable(row.paths[0])) + more
    words = [f"no groups; runs in {group}" if row.kind == "ungrouped" else group]
    words += _about_request(row)
    if row.state:
        words.append(_activity(row, 1000))
    if row.fill is not None:
        words.append(f"{row.fill:.0%} of what its ways hold")
    if row.mask is not None and row.cache_id is not None:
        words.append(f"ways {row.mask:x} of L3 {row.cache_id}")
    if row.owner not in ("default", "cachetune"):
        words.append(f"made by {row.owner}" if row.owner != "unknown" else "made by another program")
    partial = [name for name, each in (("occupancy", row.occupancy), ("bandwidth", row.total)) if each.partial]
    if partial:
        words.append(f"* {' and '.join(partial)} without groups that have no counter")
    return _fitted("; ".join(words), width)


def _about_request(row: Row) -> Iterator[str]:
    """The request if it is to be known of, and why: what apply would do, or the first problem."""
    if not row.request or row.tuning is None:
        return
    if row.request == "unknown":
        yield "its request is not known"
        return
    why = differences(row.tuning.summary) if row.tuning.summary else "".join(row.tuning.why[:1])
    yield f"{row.request}: {printable(why)}" if why else row.request


def summary_lines(summary: Summary, width: int, marked: str = "") -> Iterator["Text"]:
    """CLOSIDs and RMIDs, then the ways of each cache, as many in a line as fit; ``marked`` letters stand out."""
    yield _fitted(f"{_limit('CLOSIDs', summary.closids)}   {_rmids(summary)}", width)
    entries = [_map(each, marked) for each in summary.maps]
    if not entries:
        return
    entry_width = max(entry.cell_len for entry in entries) + 3
    beside = max(1, (width + 3) // entry_width)
    for i in range(0, len(entries), beside):
        line = unbroken("")
        for entry in entries[i : i + beside]:
            line.append(entry).append(" " * (entry_width - entry.cell_len))
        line.rstrip()
        line.truncate(width)
        yield line


def legend_lines(summary: Summary, width: int) -> Iterator["Text"]:
    """What the characters in the pictures of the caches mean."""
    if summary.maps:
        pictures = (owners_picture(each.owners, each.ways) for each in summary.maps)
        yield _fitted(legend(pictures, "row"), width)


def title(summary: Summary, words: Sequence[str], width: int) -> "Text":
    """The first line: the host, and what else is to be known of what is shown."""
    from rich.cells import cell_len

    line, rest = unbroken("cachetune top", "bold"), "".join(f"  {word}" for word in words)
    line.append(f"  {_end_of(printable(summary.source), width - line.cell_len - cell_len(rest) - 2)}{rest}", "not bold")
    line.truncate(width, overflow="ellipsis")
    return line


def letters_of(summary: Summary) -> Iterator["Text"]:
    """Which control group has which letter in the pictures."""
    for letter, path, owner in summary.groups:
        name = ". (default group)" if owner == "default" else printable(path)
        yield unbroken(f"{letter}  {name}", STYLES[owner])


def nothing_shown(view: View) -> str:
    """Why there are no rows."""
    return f"no guest or group matches {view.pattern!r}" if view.pattern else "no groups with counters"


def _line(layout: Layout, cells: dict[str, tuple[str, str]], style: str = "") -> "Text":
    line = unbroken("", style)
    right = {"percent", "total", "local"}
    for field, (text, cell_style) in cells.items():
        width = getattr(layout, field)
        if width:
            line.append(_GAP if len(line) else "").append(_fixed(text, width, right=field in right), cell_style)
    return line


def _fitted(text: str, width: int) -> "Text":
    line = unbroken(text)
    line.truncate(width, overflow="ellipsis")
    return line


def _fixed(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly ``width`` columns; of a longer one the beginning. Wide characters take two columns."""
    from rich.cells import cell_len, set_cell_size

    text = text[: 4 * width]  # combining characters take none
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + CUT
    return " " * (width - length) + text if right else text + " " * (width - length)


def _end_of(text: str, width: int) -> str:
    """The end of a text, which of a path says most."""
    from rich.cells import cell_len

    text = text[-4 * max(width, 1) :] if cell_len(text) > width else text
    while len(text) > 1 and cell_len(text) > width:
        text = CUT + text[2:]
    return text


def _columns(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(printable(text[:200]))


def _cell(amount: Amount, width: int) -> str:
    if amount.value is None:
        return (amount.why[: width - 1] + CUT if len(amount.why) > width else amount.why) or "-"
    return _mib(amount.value) + "*" * amount.partial


def _mib(size: float | None) -> str:
    """A number of MiB, in five characters up to 99,999 MiB."""
    if size is None:
        return "?"
    number = size / _MIB
    if 0 < number < 0.05:
        return "<0.1"
    return f"{number:.1f}" if number < 999.95 else f"{number:.0f}"


def _own_ways(row: Row, summary: Summary) -> str:
    """The picture of a row's ways, if they are those of one cache."""
    if row.mask is None:
        return ""
    found = (each for each in summary.maps if each.resource.startswith("L3") and row.cache_id in each.ids)
    return next((_ways_of(row.letters, each) for each in found), "")


def _ways_of(letters: str, cache: CacheMap) -> str:
    """The ways of the groups with these letters."""
    others = reduce(or_, (mask for letter, mask in cache.owners if letter not in letters), 0)
    return owners_picture([each for each in cache.owners if each[0] in letters], cache.ways, others)


def _map(each: CacheMap, marked: str) -> "Text":
    line = unbroken(f"{each.name} ")
    for letter in owners_picture(each.owners, each.ways):
        style = "bold" if letter == SEVERAL else ""
        line.append(letter, f"{style} reverse" if letter in marked else style)
    return line.append(f" {each.words}" if each.words else "")


def _limit(noun: str, limit: Limit) -> str:
    if limit.total is None or limit.left is None:
        return f"{noun}: {limit.used} used"
    return f"{noun}: {limit.used} of {limit.total} used, {limit.left} left"


def _rmids(summary: Summary) -> str:
    if each := summary.rmids_per_control_group:
        return f"RMIDs: {summary.rmids.used} used, {each} for each control group"
    return _limit("RMIDs", summary.rmids)
