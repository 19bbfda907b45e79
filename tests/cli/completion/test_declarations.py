"""A TAB imports the declaration of a verb and nothing behind it, and finds what the whole program declares."""

import json
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from cachetune.cli.main import VERBS
from cachetune.explain.catalog import RULES
from tests.cli.completion.declared import described
from tests.cli.test_help import COMMANDS


class Imported(NamedTuple):
    """What a process knows of the verbs and rules at a TAB; its modules that were empty, and those at the end."""

    verbs: dict[str, Any]
    empty: set[str]
    rules: dict[str, str]
    left: set[str]


@pytest.fixture(scope="module")
def imported() -> Imported:
    program = [sys.executable, "-m", "tests.cli.completion.declared"]
    found, empty, rules, left = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    return Imported(found, set(empty), rules, set(left))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_declared_as_in_the_whole_program(verb: str, imported: Imported) -> None:
    assert imported.verbs[verb] == json.loads(json.dumps(described(verb, COMMANDS[verb])))


def test_nothing_behind_the_verbs_is_imported_and_no_empty_module_is_left(
    imported: Imported,
) -> None:
    empty, left = imported.empty, imported.left
    assert {"cachetune.plan.model", "cachetune.service.plans", "cachetune.cli.show.console", "lxml"} <= empty
    assert not empty & left


def test_the_rules_are_those_of_the_whole_program(imported: Imported) -> None:
    assert imported.rules == {name: rule.summary for name, rule in RULES.items()}
