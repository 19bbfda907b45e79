"""Every command in the README that follows a user's prompt is run; tests/libvirt/test_first_guest.py runs root's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMAND = re.compile(r"^\$ cachetune (.*?)(?:  # exit (\d))?$\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
COMMANDS = [match for block in CONSOLE for match in COMMAND.findall(block)]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "cachetune.cli.main", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(("words", "code", "shown"), COMMANDS)
def test_a_command_exits_and_prints_as_the_readme_shows(words: str, code: str, shown: str) -> None:
    result = run(*shlex.split(words))
    assert result.returncode == int(code or 0), result.stderr
    assert result.stdout.startswith(shown)


def test_the_readme_shows_enough_commands() -> None:
    assert {words.split()[0] for words, _, _ in COMMANDS} >= {"plan", "validate", "demo"}


def test_the_links_in_the_readme_have_targets() -> None:
    for target in re.findall(r"\]\((\w[^)]*)\)", README):
        assert (ROOT / target).exists(), target
