"""Every rule against hosts, guests and at apply has a case that breaks it and one that does not."""

import inspect
from collections.abc import Iterable

import pytest

from cachetune.apply.rules import RULES as APPLY_RULES
from cachetune.domain import load
from cachetune.findings import Rule
from cachetune.plan import check
from cachetune.plan.rules import RULES
from cachetune.service.hosts import load_host
from tests.apply import test_apply, test_guard
from tests.plan import test_plan

SAMPLED = [rule for rule in RULES.values() if rule.bad]
# Rules about groups and threads that exist already need a scene, not a sample; these tests are the scenes.
SCENES = {
    "CT216": "test_a_group_of_somebody_else_with_the_name_that_we_need_is_never_changed",
    "CT217": "test_ways_shared_with_io_are_used_as_libvirt_does_but_with_a_warning",
    "CT218": "test_a_cache_of_unknown_size_cannot_be_shared_out_in_bytes",
    "CT219": "test_the_default_group_in_mode_exclusive_cannot_be_shared",
    "CT222": "test_drift_from_what_libvirt_has_set_is_planned_with_a_warning",
    "CT401": "test_threads_that_are_missing_or_of_no_use_are_reported",
    "CT402": "test_threads_are_not_taken_out_of_groups_of_others_unless_told_to",
    "CT403": "test_threads_that_are_missing_or_of_no_use_are_reported",
    "CT404": "test_a_whole_process_group_cannot_be_planned_from_single_threads",
    "CT405": "test_threads_that_are_missing_or_of_no_use_are_reported",
    "CT501": "test_a_plan_for_a_host_that_has_changed_since_says_what_has_changed",
    "CT502": "test_a_copy_of_a_tree_is_never_written_to",
    "CT503": "test_an_interrupted_run_comes_first",
    "CT504": "test_an_edited_plan_cannot_touch_what_is_not_ours",
    "CT505": "test_two_guests_cannot_share_a_machine_name",
    "CT506": "test_a_damaged_journal_is_refused_and_kept",
    "CT507": "test_a_journal_of_another_resctrl_is_left_alone",
    "CT508": "test_what_libvirt_made_is_changed_only_on_request",
}


def found(xml: str, rule: Rule) -> Iterable[str]:
    from pathlib import Path

    loaded = load(xml.encode(), "sample.xml")
    assert loaded.domain is not None, loaded.findings
    return [f.rule for f in check(loaded.domain, load_host(rule.host, Path("/nowhere"), Path("/nowhere")))]


@pytest.mark.parametrize("rule", SAMPLED, ids=lambda rule: rule.id)
def test_the_bad_sample_breaks_the_rule_and_the_good_one_does_not(rule: Rule) -> None:
    assert rule.id in found(rule.bad, rule)
    assert rule.id not in found(rule.good, rule)


def test_every_rule_has_a_sample_or_a_scene() -> None:
    assert {r.id for r in SAMPLED} | set(SCENES) == {*RULES, *APPLY_RULES}


@pytest.mark.parametrize(("rule", "scene"), SCENES.items())
def test_a_scene_is_a_test_that_looks_for_its_rule(rule: str, scene: str) -> None:
    (test,) = [f for m in (test_plan, test_guard, test_apply) if (f := getattr(m, scene, None))]
    marks = "".join(str(mark.args) for mark in getattr(test, "pytestmark", ()))
    assert rule in inspect.getsource(test) + marks


@pytest.mark.parametrize("rule", [*RULES.values(), *APPLY_RULES.values()], ids=lambda rule: rule.id)
def test_every_rule_has_all_its_parts(rule: Rule) -> None:
    assert rule.summary.endswith(".")
    assert rule.message
    assert rule.fix
