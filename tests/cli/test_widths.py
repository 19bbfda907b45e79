"""What a terminal of 60, 80 or 120 columns shows: no line is wider, so the terminal breaks no word."""

import io
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cachetune.cli.main import command
from cachetune.cli.show.console import has_unicode, in_ascii, rendered

ROOT = Path(__file__).parents[2]
PLAN = ("plan", "--host", "sim:skylake-2s", "--shrink-default", "--vcpu", "0=4711", "--vcpu", "1=4712")
COMMANDS = [
    ("show", "--host", "sim:kunpeng-920-mpam"),
    ("show", "--host", "sim:milan"),
    (*PLAN, "examples/web.xml"),
    ("plan", "--host", "examples/fragmented.json", "--compact", "examples/web.xml"),
    ("plan", "--host", "sim:milan", "--shrink-default", "--machine-name", "web", "examples/fleet.xml"),
    ("compact", "--dry-run", "--host", "examples/fragmented.json"),
    ("log", "--log", "examples/changes.jsonl"),
    ("log", "--log", "examples/changes.jsonl", "--groups"),
    ("doctor", "--host", "sim:skylake-2s", "--verbose"),
    ("monitor", "--host", "sim:skylake-2s"),
    ("sim", "list"),
    ("explain",),
]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(
    words: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", f"{columns}")
    shown = CliRunner().invoke(command, words).stdout
    assert shown
    assert [line for line in shown.splitlines() if len(line) > columns] == []


def test_a_line_in_a_pipe_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = CliRunner().invoke(command, ("log", "--log", "examples/changes.jsonl")).stdout.splitlines()
    assert len(lines) == 5, "the header, three changes and an error"


def helps(found: click.Command, context: click.Context) -> Iterator[str]:
    """The help of a command and of all below it, as a terminal of 80 columns shows it."""
    yield from found.get_help(context).splitlines()
    for name in found.list_commands(context) if isinstance(found, click.Group) else ():
        if verb := found.get_command(context, name):
            yield from helps(verb, click.Context(verb, parent=context, info_name=name, terminal_width=80))


def test_no_line_of_any_help_is_wider_than_eighty_columns() -> None:
    context = click.Context(command, info_name="cachetune", terminal_width=80)
    assert [line for line in helps(command, context) if len(line) > 80] == []


@pytest.mark.parametrize(
    ("encoding", "environment", "expected"),
    [
        ("utf-8", {}, True),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True),
        ("utf-8", {"LANG": "C"}, False),
        ("utf-8", {"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),  # as Python sets LC_CTYPE
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, True),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, False),
        ("iso8859-1", {"LANG": "de_DE"}, False),
        (None, {}, True),
    ],
)
def test_unicode_is_for_a_locale_that_has_it(encoding: str | None, environment: dict[str, str], expected: bool) -> None:
    assert has_unicode(encoding, environment) is expected


@pytest.mark.parametrize(
    "words", [(*PLAN, "examples/web.xml"), ("top", "--once", "--host", "sim:milan", "--interval", "0.01", "--force")]
)
def test_a_locale_without_unicode_gets_ascii(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LC_ALL", "C")
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0
    assert result.stdout.isascii()


def test_a_name_that_the_encoding_lacks_is_escaped() -> None:
    class Latin(io.StringIO):
        encoding = "iso8859-1"

    assert rendered(["é, 数据库 and █"], file=Latin()) == "é, \\u6570\\u636e\\u5e93 and *\n"


def test_different_characters_stay_different_in_ascii() -> None:
    drawn = "█░▁▂▃▄▅▆▇#.-^"
    assert in_ascii(drawn).isascii()
    assert len({*in_ascii(drawn)}) == len(drawn)
