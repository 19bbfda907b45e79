"""--format github, read as the runner of GitHub Actions reads it (ActionCommand.cs): one command in a line."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.formats.runs import BAD, run, write_hostile

_COMMAND = re.compile(r"::([a-z-]+)(?: (.*?))?::(.*)")


class Annotation(NamedTuple):
    """A command, with its values as they are shown."""

    command: str
    properties: dict[str, str]
    message: str


def read(log: str) -> list[Annotation]:
    """Every command in a log: those of a line that begins with "::"."""
    return [annotation for line in log.split("\n") if (annotation := _read_line(line.strip()))]


def _read_line(line: str) -> Annotation | None:
    found = _COMMAND.fullmatch(line)
    if not found:
        return None
    pairs = (pair.split("=", 1) for pair in (found[2] or "").split(",") if pair)
    return Annotation(found[1], {name: _plain(value) for name, value in pairs}, _plain(found[3]))


def _plain(text: str) -> str:
    for escape, character in {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}.items():
        text = text.replace(escape, character)
    return text


def test_a_finding_is_an_annotation_of_its_line_and_says_its_place_for_the_log(checkout: Path) -> None:
    del checkout
    error, warning = read(run("--format", "github", "domains").stdout)
    assert error == Annotation(
        command="error",
        properties={"title": "cachetune (CT003)", "file": "domains/bad.xml", "line": "6", "col": "21"},
        message=(
            "domains/bad.xml:6:21: attribute 'levl' is not allowed on <cache>; did you mean 'level'?\n"
            "hint: allowed on <cache>: id, level, type, size, unit"
        ),
    )
    assert (warning.command, warning.properties["line"]) == ("warning", "5")


def test_hostile_names_forge_no_command_and_no_property(checkout: Path) -> None:
    paths = write_hostile(checkout / "hostile")
    found = read(run("--format", "github", "hostile").stdout)
    assert [each.command for each in found] == ["error"] * len(paths)
    assert {tuple(each.properties) for each in found} == {("title", "file", "line", "col")}
    assert "hostile/100%.xml" in {each.properties["file"] for each in found}
    assert "hostile/a:b,c.xml" in {each.properties["file"] for each in found}


@pytest.mark.usefixtures("checkout")
def test_what_has_no_line_has_none() -> None:
    (unreadable,) = read(run("--format", "github", "none.xml").stdout)
    assert unreadable.properties == {"title": "cachetune (CT013)", "file": "none.xml"}
    (piped,) = read(run("--format", "github", "-", stdin=BAD).stdout)
    assert piped.properties == {"title": "cachetune (CT003)", "line": "6", "col": "21"}
