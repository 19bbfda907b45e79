"""--help of every verb: the same layout, complete sentences, and no line wider than 80 columns."""

import re
from collections.abc import Iterator

import click
import pytest

from cachetune.cli.main import VERBS, Verbs

HEADINGS = {
    "What",
    "Which changes",
    "Which findings",
    "Which guest",
    "How",
    "Assigning",
    "Which group",
    "Where",
    "Finding guests",
    "Output",
    "Options",
    "Other options",
    "Commands",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every verb and subcommand with its name."""
    group = Verbs()
    for name in VERBS:
        verb = group.get_command(click.Context(group), name)
        assert verb
        yield name, verb
        if isinstance(verb, click.Group):
            yield from ((f"{name} {word}", command) for word, command in verb.commands.items())


COMMANDS = dict(commands())


def help_of(name: str) -> str:
    parent = click.Context(click.Command("cachetune"), info_name="cachetune")
    context = click.Context(COMMANDS[name], info_name=name, parent=parent, terminal_width=80)
    return COMMANDS[name].get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_the_sections_and_fits_eighty_columns(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    headings = re.findall(r"^(\w[^:\n]*):$", text, re.MULTILINE)
    assert headings[-1] == "Exit codes"
    assert set(headings[:-1]) <= HEADINGS
    assert re.search(r"^  Examples?:\n    \S", text, re.MULTILINE)
    assert re.search(r"^Exit codes:\n  0  \S", text, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_an_option_is_a_sentence(name: str) -> None:
    texts = {p.name: p.help or "" for p in COMMANDS[name].params if isinstance(p, click.Option)}
    wrong = {option: text for option, text in texts.items() if not re.fullmatch(r"[A-Z].*[.…]", text)}
    assert not wrong
    assert re.match(r"[A-Z].*\.", COMMANDS[name].help or "", re.DOTALL)
