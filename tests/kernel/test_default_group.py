"""The default group on a real kernel: set, reset, given ways back; a failure or a death at any change loses nothing."""

import json
import re
import signal

import pytest

from cachetune.plan.steps import WriteSchemata
from tests.kernel.conftest import Count, Scenario, fresh_seed
from tests.kernel.hosts import host
from tests.kernel.scenarios.deaths import last_record
from tests.kernel.scenarios.default_group import Outcome

pytestmark = pytest.mark.kernel
VERBS = ("set", "reset", "grow", "shrink")
# At which changes runs are killed, as in test_deaths.
EXTENTS = ["few", pytest.param("ends", marks=pytest.mark.soak)]


@pytest.fixture(scope="module", params=EXTENTS)
def outcome(request: pytest.FixtureRequest, scenario: Scenario) -> Outcome:
    words = (request.param, f"{fresh_seed()} default group")
    machine = host("6.1", registers=False)
    found: Outcome = scenario("default_group", Outcome, *words, machine=machine, cpu_limit=3000)[0]
    return found


def ways_in(schemata: str) -> int:
    """The ways that the default group has of the first cache."""
    found = re.search(r"L3[A-Z]*:\d+=([0-9a-f]+)", schemata)
    assert found
    return int(found[1], 16).bit_count()


def test_the_default_group_has_the_ways_that_are_set_and_show_says_what_gives_them_back(outcome: Outcome) -> None:
    walk = outcome.walk
    assert walk.set.code == 0, walk.set
    assert ways_in(walk.schemata) == 5
    assert "'cachetune default --reset' gives the default group" in walk.show.out


def test_a_guest_that_shrinks_gives_back_what_it_took_and_no_more(outcome: Outcome) -> None:
    assert outcome.walk.shrunk.code == 0, outcome.walk.shrunk
    assert json.loads(outcome.walk.shrunk.out)["done"][-1]["path"] == "."
    assert ways_in(outcome.walk.back) == 5


def test_the_ways_of_a_guest_are_refused_and_a_reset_brings_all_others_back(outcome: Outcome) -> None:
    assert outcome.walk.refused.code == 2
    assert [finding["rule"] for finding in json.loads(outcome.walk.refused.out)["findings"]] == ["CT239"]
    assert outcome.walk.reset.code == 0, outcome.walk.reset
    assert outcome.walk.differs == ()
    assert outcome.differs == ()


def test_each_plan_writes_to_the_default_group(outcome: Outcome) -> None:
    for verb in VERBS:
        paths = [step.path for step in outcome.plans[verb].steps if isinstance(step, WriteSchemata)]
        assert "." in paths, verb
    assert outcome.plans["shrink"].steps[-1].path == ".", "only when the guest has given the ways up"


@pytest.mark.parametrize("verb", VERBS)
def test_a_failure_at_any_change_is_rolled_back(verb: str, outcome: Outcome) -> None:
    failed = outcome.failed[verb]
    assert len(failed) == len(outcome.plans[verb].steps)
    assert {attempt.outcome for attempt in failed} == {"rolled back"}
    assert [attempt.differs for attempt in failed if attempt.differs] == []


def test_after_a_kill_anywhere_recover_reaches_one_of_two_states(outcome: Outcome, record_property: Count) -> None:
    deaths = [death for of in outcome.rounds.values() for death in of.deaths]
    lost = [d for d in deaths if d.ended not in ("before", "after") or d.again != ("nothing to do",)]
    record_property("kills", len(deaths))
    record_property("states lost", len(lost))
    assert {death.killed_by for death in deaths} == {signal.SIGKILL}
    assert lost == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_had_recorded_all_its_steps_is_finished_and_any_other_undone(verb: str, outcome: Outcome) -> None:
    found = outcome.rounds[verb]
    done = last_record(found.changes)
    for death in found.deaths:
        assert death.ended == ("before" if death.number <= done else "after"), death
