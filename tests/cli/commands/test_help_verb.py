"""``cachetune help`` and ``python -m cachetune``: other ways to what there is."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cachetune.cli.main import command


def run(*words: str) -> click.testing.Result:
    return CliRunner().invoke(command, list(words), prog_name="cachetune")


@pytest.mark.parametrize("words", [(), ("plan",), ("sim",), ("sim", "mount"), ("help",)])
def test_help_of_a_verb_is_what_its_own_option_prints(words: tuple[str, ...]) -> None:
    shown = run("help", *words)
    assert shown.exit_code == 0
    assert shown.output == run(*words, "--help").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pln",), "no such verb: 'pln'; did you mean 'plan'?"),
        (("sim", "mout"), "No such command 'mout'."),
        (("plan", "mount"), "cachetune plan has no subcommands"),
    ],
)
def test_help_of_nothing_says_what_there_is_not(words: tuple[str, ...], message: str) -> None:
    refused = run("help", *words)
    assert refused.exit_code == 2
    assert message in refused.output


def test_the_module_is_the_command() -> None:
    answers = [
        subprocess.run([*program, "plan", "--help"], capture_output=True, text=True, check=True).stdout
        for program in ([sys.executable, "-m", "cachetune"], [f"{sys.exec_prefix}/bin/cachetune"])
    ]
    assert answers[0] == answers[1]
