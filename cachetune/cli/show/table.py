"""Tables and sentences that fit the terminal: words and names wrap, a number and its unit never do.

A table is as wide as its contents if the terminal has room. Otherwise its columns of words and names get narrower.
Columns of numbers keep their width, so a table can be wider than the terminal.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

Kind = Literal["number", "words", "name"]

_GAP = 2
# How far columns shrink, in this order, where their longest piece allows it.
_SHRINKING: tuple[tuple[Kind, int], ...] = (("words", 20), ("name", 16), ("words", 10), ("name", 12))
_UNIT = re.compile(r"(\([^)]*\)|/s\b|\b[KMGT]iB\b)")
# Entries such as L3:0=f;1=7ff are two spaces apart.
_ENTRY = re.compile(r"(?:[^ ]| (?! ))+ *")
# A longer piece of words, such as a path, is broken like a name.
_LONGEST_PIECE = 16
# Where a line can end within an entry: after these, but not at the one space between a number and its unit or noun.
_BREAKS = {
    "words": re.compile(r"(?<![0-9]) +|(?<=[;,])"),
    "name": re.compile(r" +|(?<=[-_./:;,])"),
}


class Column(NamedTuple):
    """One column: its header, what its cells are, and whether they are right-aligned."""

    header: str
    kind: Kind
    right: bool = False


def heading(title: str) -> str:
    """How the header of a column is written: in capitals, as kubectl and systemctl do, except for its unit."""
    return "".join(part if _UNIT.fullmatch(part) else part.upper() for part in _UNIT.split(title))


def numbers(title: str, *, right: bool = True) -> Column:
    """A column whose cells stay in one piece."""
    return Column(heading(title), "number", right)


def words(title: str) -> Column:
    """A column whose cells wrap between words, and after a comma or a semicolon."""
    return Column(heading(title), "words")


def names(title: str) -> Column:
    """A column whose cells wrap at punctuation, and anywhere if a part is longer than the column."""
    return Column(heading(title), "name")


class Table:
    """Rows of cells below a header; without one if all headers are empty."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[tuple[str | Text, ...]] = []
        self._below: list[str | Text] = []

    def add_row(self, *cells: "str | Text", below: "str | Text" = "") -> None:
        """Add one row, with a cell for each column; lines in a cell stay lines. A sentence ``below`` it is indented."""
        self._rows.append(cells)
        self._below.append(below)

    @property
    def least_width(self) -> int:
        """The width that the table needs."""
        return sum(self._widths(0)) + _GAP * (len(self._columns) - 1)

    @property
    def full_width(self) -> int:
        """The width with which nothing wraps."""
        return sum(self._full_widths()) + _GAP * (len(self._columns) - 1)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        widths = self._widths(options.max_width)
        if any(column.header for column in self._columns):
            yield from self._lines([column.header for column in self._columns], widths, "bold")
        for row, below in zip(self._rows, self._below, strict=True):
            yield from self._lines(row, widths)
            if f"{below}":
                width = options.max_width - _GAP
                yield from (unbroken(" " * _GAP).append(line) for line in _wrapped(below, width, "words"))

    def _widths(self, most: int) -> list[int]:
        """The width of each column in a table that is ``most`` wide if it can be."""
        widths = self._full_widths()
        excess = sum(widths) + _GAP * (len(widths) - 1) - most
        for kind, floor in _SHRINKING:
            least = {i: max(floor, self._longest_piece(i)) for i, c in enumerate(self._columns) if c.kind == kind}
            while excess > 0 and (wide := [i for i in least if widths[i] > least[i]]):
                widths[max(wide, key=widths.__getitem__)] -= 1
                excess -= 1
        return widths

    def _full_widths(self) -> list[int]:
        return [max(map(_width, self._cells_of(i))) for i in range(len(self._columns))]

    def _cells_of(self, column: int) -> Iterator[str]:
        """The lines of all cells of a column, its header among them."""
        yield self._columns[column].header
        for row in self._rows:
            yield from f"{row[column]}".split("\n")

    def _longest_piece(self, column: int) -> int:
        """The width of the longest piece of words; names can be cut anywhere."""
        kind = self._columns[column].kind
        if kind == "name":
            return 0
        cells = self._cells_of(column)
        return max(_width(cell[a:b].rstrip()) for cell in cells for a, b in pairwise(_breaks(cell, kind, 0, 0)))

    def _lines(self, row: "Sequence[str | Text]", widths: Sequence[int], style: str = "") -> "Iterator[Text]":
        """A row as lines: the lines of its cells beside each other."""
        cells = [_wrapped(cell, width, c.kind) for cell, width, c in zip(row, widths, self._columns, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            line = unbroken("", style)
            for part, width, column in zip(parts, widths, self._columns, strict=True):
                space = " " * (width - _width(f"{part}"))
                gap = " " * _GAP if len(line) else ""
                line.append(f"{gap}{space}" if column.right else gap)
                line.append(part)
                line.append("" if column.right else space)
            yield line


class Sentence:
    """A text outside of tables. It wraps like a cell of words, unless it must not wrap at all.

    The lines below the first are indented by ``indent``, or as the first.
    """

    def __init__(self, text: "str | Text", indent: int | None = None) -> None:
        self._text, self._indent = text, indent

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        if not isinstance(self._text, str) and self._text.no_wrap:
            yield self._text
            return
        yield from (
            unbroken("").append(line) for line in _wrapped(self._text, options.max_width, "words", self._indent)
        )


def _wrapped(cell: "str | Text", width: int, kind: Kind = "words", indent: int | None = None) -> "list[str | Text]":
    """The lines of a cell, of at most ``width``, each indented as the first. A piece of words can be longer."""
    lines = cell.split("\n") if isinstance(cell, str) else cell.split("\n", allow_blank=True)
    return [part for line in lines for part in _parts(line, width, kind, indent)]


def _parts(line: "str | Text", width: int, kind: Kind, indent: int | None) -> "Iterator[str | Text]":
    plain = f"{line}"
    indent = _indent(plain) if indent is None else indent
    for start, end in _spans(plain, width, kind, indent):
        yield line[start:end] if start == 0 else unbroken(" " * indent).append(line[start:end])


def _spans(text: str, width: int, kind: Kind, indent: int) -> Iterator[tuple[int, int]]:
    """Where each line of a text starts and ends."""
    start, end, room = 0, 0, width
    for piece_end in _breaks(text, kind, width, max(indent, _indent(text)))[1:]:
        if end > start and _width(text[start:piece_end].rstrip()) > room:
            yield start, start + len(text[start:end].rstrip())
            start, room = end, width - indent
        while kind == "name" and _width(text[start:piece_end].rstrip()) > room:
            cut = start + max(room, 1)
            yield start, cut
            start, room = cut, width - indent
        end = piece_end
    yield start, end


def _breaks(text: str, kind: Kind, width: int, indent: int) -> list[int]:
    """Where a text can be broken, its start and its end among them: within an entry only if it is wider than a line."""
    if kind == "number":
        return [0, len(text)]
    places = [0]
    for entry in _ENTRY.finditer(text, _indent(text)):
        if _width(entry[0].rstrip()) > width - indent or kind == "name":
            ends = [match.end() for match in _BREAKS[kind].finditer(entry[0])]
            ends += _breaks_of_paths(entry[0], ends) if kind == "words" else []
            places += [entry.start() + end for end in ends]
        places.append(entry.end())
    return sorted({place for place in places if place <= len(text.rstrip())} | {len(text)})


def _breaks_of_paths(entry: str, ends: Sequence[int]) -> Iterator[int]:
    """Where the pieces of an entry can be broken that are too long for a column, such as paths."""
    for start, end in pairwise((0, *sorted(ends), len(entry))):
        if _width(entry[start:end].rstrip()) > _LONGEST_PIECE:
            yield from (start + match.end() for match in _BREAKS["name"].finditer(entry[start:end]))


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def unbroken(text: str, style: str = "") -> "Text":
    """A line that stays one line, however long it is."""
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ignore")
