"""Samples as they are shown, and the repair that the good one is."""

import difflib
import re

import pytest

from cachetune.explain.catalog import RULES
from cachetune.explain.samples import NOT_RUN, bad_sample, checked_with, good_sample, pretty
from cachetune.findings import Rule

XML = [rule for rule in RULES.values() if rule.bad.startswith("<") and rule.good.startswith("<")]
each_rule = pytest.mark.parametrize("rule", XML, ids=lambda rule: rule.id)
REQUESTS = ("cache", "node", "monitor")

# What the good sample can no longer request, with the reason.
WITHOUT = {
    "CT208": "node: this host has no bandwidth control, so the repair is to count instead",
    "CT214": "monitor: this host counts nothing",
}


def requested(sample: str) -> set[str]:
    return {name for name in REQUESTS if re.search(rf"<{name}[ />]", sample)}


@each_rule
def test_the_good_sample_still_requests_what_the_bad_one_requested(rule: Rule) -> None:
    lost = requested(rule.bad) - requested(rule.good)
    assert lost == ({WITHOUT[rule.id].partition(":")[0]} if rule.id in WITHOUT else set())


@each_rule
def test_the_good_sample_is_the_bad_one_with_at_most_a_few_lines_changed(rule: Rule) -> None:
    bad, good = (pretty(sample).split("\n") for sample in (rule.bad, rule.good))
    changed = [line.strip() for line in difflib.ndiff(bad, good) if line.startswith("+ ")]
    # Another root, or one level less, indents the lines below it.
    changed = [line for line in changed if line.removeprefix("+").strip() not in {each.strip() for each in bad}]
    assert len(changed) <= 3
    assert bad != good


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES.values() if rule.host not in NOT_RUN], ids=lambda rule: rule.id
)
def test_a_sample_that_is_run_shows_the_finding_of_its_rule(rule: Rule) -> None:
    sample = bad_sample(rule)
    assert sample.finding
    assert sample.finding.rule == rule.id
    assert checked_with(rule) or rule.host == "live"
    marked = [line for line in sample.lines if line.marked[1]]
    assert len(marked) == (1 if sample.finding.line else 0)
    for line in marked:
        start, end = line.marked
        assert line.number == sample.finding.line
        assert start == sample.finding.column - 1 or sample.finding.column > len(line.text)
        assert line.text[start:end].strip()


@each_rule
def test_an_attribute_that_is_at_fault_is_marked_with_its_value(rule: Rule) -> None:
    if rule.host in NOT_RUN:
        return
    sample = bad_sample(rule)
    name = sample.finding.path.rpartition("/@")[2] if sample.finding else ""
    for line in sample.lines:
        start, end = line.marked
        if end and "/@" in sample.finding.path:
            assert re.fullmatch(rf"{name}='[^']*'", line.text[start:end])


@each_rule
def test_a_sample_is_at_most_forty_lines(rule: Rule) -> None:
    assert len(bad_sample(rule).lines) <= 40
    assert len(good_sample(rule).lines) <= 40


def test_lines_that_are_left_out_of_a_long_sample_are_counted() -> None:
    sample = bad_sample(RULES["CT213"])
    whole = pretty(RULES["CT213"].bad).split("\n")
    left_out = sum(int(line.text.split()[1]) for line in sample.lines if not line.number)
    assert left_out + sum(1 for line in sample.lines if line.number) == len(whole)


def test_the_lines_that_the_repair_changed_are_known() -> None:
    changed = [line.text.strip() for line in good_sample(RULES["CT003"]).lines if line.changed]
    assert changed == ["<cache id='0' level='3' type='both' size='3' unit='MiB'/>"]
