"""A TAB imports the declaration of a verb and nothing behind it, and finds what the whole program declares."""

import json
import subprocess
import sys
from typing import Any

import pytest

from cachetune.cli.main import VERBS
from tests.cli.completion.declared import described
from tests.cli.test_help import COMMANDS


@pytest.fixture(scope="module")
def imported() -> tuple[dict[str, Any], set[str], set[str]]:
    """What a process at a TAB knows of the verbs, which modules were empty in it, and which it has at the end."""
    program = [sys.executable, "-m", "tests.cli.completion.declared"]
    found, empty, left = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    return found, set(empty), set(left)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_declared_as_in_the_whole_program(
    verb: str, imported: tuple[dict[str, Any], set[str], set[str]]
) -> None:
    assert imported[0][verb] == json.loads(json.dumps(described(verb, COMMANDS[verb])))


def test_nothing_behind_the_verbs_is_imported_and_no_empty_module_is_left(
    imported: tuple[dict[str, Any], set[str], set[str]],
) -> None:
    _, empty, left = imported
    assert {"cachetune.plan.model", "cachetune.service.plans", "cachetune.cli.show.console", "lxml"} <= empty
    assert not empty & left
