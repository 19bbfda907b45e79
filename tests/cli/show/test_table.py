"""Tables at every width: what must stay in one piece does, and nothing is lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cachetune.cli.show.table import Sentence, Table, names, numbers, words

SIZES = st.builds("{}.{} {}".format, st.integers(0, 10**9), st.integers(0, 99), st.sampled_from(["B", "KiB", "TiB"]))
NAMES = st.text("abc-_./", min_size=1, max_size=70)
ENTRIES = st.lists(st.text("0123456789abf=:;", min_size=1, max_size=12), min_size=1, max_size=12).map("  ".join)


def printed(renderable: object, width: int) -> list[str]:
    console = Console(width=width, color_system=None, markup=False)
    with console.capture() as captured:
        console.print(renderable, crop=False)
    return [line.rstrip() for line in captured.get().splitlines()]


def table_of(rows: list[tuple[str, str, str]]) -> Table:
    table = Table(names("group"), numbers("size"), words("has"))
    for row in rows:
        table.add_row(*row)
    return table


@given(st.lists(st.tuples(NAMES, SIZES, ENTRIES), min_size=1, max_size=5), st.integers(10, 200))
def test_a_size_is_never_broken(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = printed(table_of(rows), width)
    for _, size, _ in rows:
        assert any(size in line for line in lines)


@given(st.lists(st.tuples(NAMES, SIZES, ENTRIES), min_size=1, max_size=5), st.integers(10, 200))
def test_a_line_is_no_longer_than_the_terminal_or_what_the_table_needs(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    table = table_of(rows)
    assert max(map(len, printed(table, width))) <= max(width, table.least_width)


@given(NAMES, st.text("0123456789abf=:;", min_size=1, max_size=40), st.integers(30, 200))
def test_all_of_a_cell_is_shown(name: str, entry: str, width: int) -> None:
    table = table_of([(name, "1 B", entry)])
    header, *lines = printed(table, width)
    size, has = header.index("SIZE"), header.index("HAS")
    assert "".join(line[:size].rstrip() for line in lines) == name
    assert "".join(line[has:] for line in lines) == entry


@given(st.integers(20, 200))
def test_an_entry_that_fits_in_a_line_is_not_broken(width: int) -> None:
    entries = ["L3:0=f;1=7ff", "MB:0=50;1=100", "SMBA:0=64;1=2048"]
    lines = printed(Sentence("  ".join(entries)), width)
    assert [entry for line in lines for entry in line.split("  ")] == entries


def test_an_indented_sentence_is_no_longer_than_the_terminal() -> None:
    for width in range(20, 60):
        assert max(map(len, printed(Sentence("  a sentence of many short words, and of no long one"), width))) <= width


def test_a_number_stays_with_its_noun() -> None:
    text = "L3 has 11 ways of 2.25 MiB, at least 2 per group"
    for width in range(12, 60):
        assert not [line for line in printed(Sentence(text), width) if re.search(r"[0-9]$", line)]


def test_lines_of_a_cell_are_beside_a_name_that_wraps() -> None:
    table = Table(names("group"), numbers("bytes"))
    table.add_row("cachetune-web-vcpus_0-1", "123456789\n2\n3")
    assert printed(table, 31) == [
        "GROUP                     BYTES",
        "cachetune-web-vcpus_  123456789",
        "0-1                           2",
        "                              3",
    ]


def test_a_wrapped_line_is_indented_as_its_first() -> None:
    table = Table(names("group"), numbers("tasks"))
    table.add_row("  mon cachetune-web-vcpus_0", "1")
    assert printed(table, 27)[1:] == ["  mon cachetune-web-      1", "  vcpus_0"]


@pytest.mark.parametrize("width", [10, 80])
def test_a_table_without_headers_has_no_line_for_them(width: int) -> None:
    table = Table(numbers("", right=False), words(""))
    table.add_row("Events", "none")
    assert printed(table, width) == ["Events  none"]


def test_wide_characters_keep_the_columns_aligned() -> None:
    table = Table(names("group"), numbers("tasks", right=False))
    table.add_row("数据库", "1")
    table.add_row("web", "2")
    assert printed(table, 80) == ["GROUP   TASKS", "数据库  1", "web     2"]
