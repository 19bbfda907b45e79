"""Every rule about documents and plans has a sample that breaks it and one that breaks no rule, and both run.

A sample is a document in the rule's table, or a scene in scenes.py where a document is not enough.
"""

import re
from pathlib import Path

import pytest

import cachetune
from cachetune.apply import rules as apply_rules
from cachetune.domain import rules as domain_rules
from cachetune.findings import Rule
from cachetune.plan import rules as plan_rules
from tests.rules.judges import broken_by
from tests.rules.scenes import SCENES

TABLES = (domain_rules.RULES, plan_rules.RULES, apply_rules.RULES)
RULES = [rule for table in TABLES for rule in table.values()]

# Rules that cannot be broken alone: the first thousand findings are of another rule, and what has no children also
# has no effect.
NEVER_ALONE = {"CT011": {"CT006"}, "CT306": {"CT152"}}

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


@each_rule
def test_the_bad_sample_breaks_its_rule_and_no_other(rule: Rule, tmp_path: Path) -> None:
    broken = broken_by(rule, "bad", tmp_path)
    assert broken.get(rule.id) == rule.severity
    assert set(broken) - NEVER_ALONE.get(rule.id, set()) == {rule.id}


@each_rule
def test_the_good_sample_breaks_no_rule(rule: Rule, tmp_path: Path) -> None:
    assert broken_by(rule, "good", tmp_path) == {}


@each_rule
def test_a_rule_has_both_samples_and_all_its_texts(rule: Rule) -> None:
    assert re.fullmatch(r"CT[0-5][0-9]{2}", rule.id)
    assert all(text.strip() for text in (rule.summary, rule.message, rule.fix, rule.bad, rule.good))
    assert rule.summary.endswith((".", ")."))
    assert not rule.message.endswith(".")


def test_no_two_tables_have_the_same_rule() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_exactly_the_rules_with_host_scene_have_a_scene() -> None:
    assert set(SCENES) == {rule.id for rule in RULES if rule.host == "scene"}


def test_the_code_uses_every_rule_and_no_other() -> None:
    package = Path(cachetune.__file__).parent
    # The doctor's checks (CT6xx) are next to their rules; tests/doctor has their samples.
    code = (p for p in package.rglob("*.py") if p.name != "rules.py" and not p.is_relative_to(package / "doctor"))
    used = {rule for path in code for rule in re.findall(r'"(CT[0-9]{3})"', path.read_text())}
    assert used == {rule.id for rule in RULES}
