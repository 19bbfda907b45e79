"""Another program at work during an apply, on a real kernel: apply is done or undone, and what is not ours is left."""

import pytest

from tests.kernel import vm
from tests.kernel.conftest import Count, FileOf, Scenario
from tests.kernel.domains import FAULTS
from tests.kernel.scenarios.meddlers import INTERFERENCES, Outcome

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def outcome(scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = vm.Machine(sockets=1, registers=False)
    found: Outcome = scenario("meddlers", Outcome, file_of(FAULTS), machine=machine)[0]
    return found


def test_apply_is_done_or_undone_whatever_another_program_does_before_any_change(
    outcome: Outcome, record_property: Count
) -> None:
    record_property("foreign changes", len(outcome.meddled))
    assert len(outcome.meddled) == outcome.changes * len(INTERFERENCES)
    assert {run.outcome for run in outcome.meddled} == {"done", "rolled back"}
    for run in outcome.meddled:
        assert run.theirs, run
        assert not run.journal, run
        assert bool(run.owned) == (run.outcome == "done"), run
        assert run.again == (), run


def test_an_undone_run_leaves_no_group_of_ours(outcome: Outcome) -> None:
    undone = [run for run in outcome.meddled if run.outcome == "rolled back"]
    assert {run.interference for run in undone} == {"remove_group"}
    assert {run.ours for run in undone} == {()}
    assert all("ENOENT" in run.error for run in undone)


def test_the_rest_is_undone_when_a_group_is_removed_while_its_file_is_open(outcome: Outcome) -> None:
    assert outcome.written.outcome == "rolled back"
    assert "ENODEV" in outcome.written.error
    assert (outcome.written.ours, outcome.written.journal, outcome.written.again) == ((), False, ())


def test_a_group_removed_while_it_is_read_is_left_out(outcome: Outcome) -> None:
    assert outcome.read == "cannot read foreign/schemata: ENODEV"
    assert outcome.seen == (".",)
