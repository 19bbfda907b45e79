"""Compaction on a real kernel: two guests move for a third, every moment is legal, nothing is lost on the way."""

import pytest

from tests.kernel import vm
from tests.kernel.conftest import Scenario
from tests.kernel.scenarios.compaction import Outcome

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def outcome(scenario: Scenario) -> Outcome:
    machine = vm.Machine(sockets=1, registers=False)
    found: Outcome = scenario("compaction", Outcome, machine=machine, cpu_limit=3000)[0]
    return found


def test_without_compact_the_request_is_refused_with_the_option_that_helps(outcome: Outcome) -> None:
    assert outcome.refused == "plan with --compact: cachetune-db-vcpus_0 and cachetune-mail-vcpus_0 would move"


def test_both_guests_move_and_the_third_gets_all_free_ways(outcome: Outcome) -> None:
    assert [moved.guest for moved in outcome.plan.moved] == ["db", "mail"]
    last = outcome.masks[-1]
    taken = [int(mask, 16) for mask in last.values()]
    assert len(taken) == 4
    assert sum(taken) == max(taken) | (max(taken) & -max(taken)) - 1  # all ways, each of one group


def test_no_moment_of_any_run_or_recovery_is_illegal(outcome: Outcome) -> None:
    assert outcome.illegal == ()
    assert len(outcome.masks) >= 4


def test_a_failure_at_any_change_is_rolled_back(outcome: Outcome) -> None:
    assert len(outcome.failed) == len(outcome.plan.steps)
    assert {of for of, _ in outcome.failed} == {"rolled back"}
    assert [differs for _, differs in outcome.failed if differs] == []


def test_a_death_at_any_change_is_recovered_to_before_or_after(outcome: Outcome) -> None:
    assert len(outcome.deaths) == len(outcome.changes) + 1
    assert [death for death in outcome.deaths if all(death)] == []
    ended = ["before" if not before else "after" for before, _ in outcome.deaths]
    assert set(ended) == {"before", "after"}


def test_the_command_compacts_the_cache(outcome: Outcome) -> None:
    assert outcome.compact.code == 0, outcome.compact
    assert "largest hole" in outcome.compact.out or "No changes" in outcome.compact.out
