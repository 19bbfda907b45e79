"""cachetune explain, and docs/reference/rules.md, which is made from the same tables."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.cli.show.rules import RULES, SECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rules.md"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["explain", *arguments])


def test_the_rules_page_matches_the_table() -> None:
    assert PAGE.read_text() == run("--markdown").stdout, "run: cachetune explain --markdown > docs/reference/rules.md"


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_each_rule_is_explained_with_its_fix_and_samples(rule) -> None:
    result = run(rule.id.lower())
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{rule.id} ({rule.severity})\n{rule.summary}\n")
    assert "{" not in result.stdout
    assert "breaks it:" in result.stdout
    assert "satisfies it:" in result.stdout
    assert rule.why in result.stdout


def test_without_a_rule_all_rules_are_listed_by_section() -> None:
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  CT")] == sorted(RULES)
    assert len([line for line in lines if not line.startswith(" ")]) == len(SECTIONS)


def test_every_rule_has_a_section() -> None:
    assert {rule[:3] for rule in RULES} == set(SECTIONS)


def test_json_has_the_fields_of_the_rule() -> None:
    document = json.loads(run("--json", "CT104").stdout)
    assert document["schema_version"] == 1
    (rule,) = document["rules"]
    assert rule["id"] == "CT104"
    assert {"severity", "summary", "message", "fix", "bad", "good"} <= set(rule)
    assert [rule["id"] for rule in json.loads(run("--json").stdout)["rules"]] == sorted(RULES)


def test_an_unknown_rule_gets_a_suggestion() -> None:
    result = run("CT1044")
    assert result.exit_code != 0
    assert "no such rule: 'CT1044'" in str(result.exception)
    assert "CT104" in result.exception.hint
