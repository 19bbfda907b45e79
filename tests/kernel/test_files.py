"""``write_file`` on a real kernel: a group's mode and CPUs are written, read back and undone."""

import pytest

from cachetune.idset import parse_cpu_list
from tests.kernel import vm
from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.domains import ONE_VCPU
from tests.kernel.scenarios.files import Outcome

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def outcome(scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = vm.Machine(sockets=1, registers=False)
    found: Outcome = scenario("files", Outcome, file_of(ONE_VCPU), machine=machine)[0]
    return found


def test_a_failed_step_after_mode_and_cpus_list_undoes_both(outcome: Outcome) -> None:
    assert outcome.failed.outcome == "rolled back"
    assert outcome.failed.undone == outcome.plan.steps[1::-1]
    assert outcome.files["before"] == outcome.files["undone"]
    assert outcome.differs == ()


def test_the_kernel_has_the_values_while_they_are_written(outcome: Outcome) -> None:
    mode, cpus, default = outcome.files["during"]
    assert (mode, cpus) == ("exclusive\n", f"{outcome.plan.steps[1].after}\n")  # type: ignore[union-attr]
    whole = parse_cpu_list(outcome.files["before"][2])
    assert parse_cpu_list(cpus) | parse_cpu_list(default) == whole
    assert parse_cpu_list(cpus) != frozenset()
    assert outcome.files["after"] == outcome.files["during"]


def test_a_run_killed_anywhere_is_recovered_to_before_or_after(outcome: Outcome) -> None:
    assert len(outcome.deaths) == len(outcome.changes) + 1
    assert [death for death in outcome.deaths if all(death)] == []
    ended = ["before" if not before else "after" for before, _ in outcome.deaths]
    assert ended == sorted(ended, reverse=True)
    assert set(ended) == {"before", "after"}


def test_removing_the_guest_leaves_the_tree_as_found(outcome: Outcome) -> None:
    assert outcome.left == ()
