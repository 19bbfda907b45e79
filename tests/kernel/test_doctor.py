"""``cachetune doctor`` on a real kernel: what it finds, and that the commands it shows fix it."""

import pytest

from cachetune.doctor.model import CheckResult
from tests.kernel import vm
from tests.kernel.conftest import Scenario
from tests.kernel.scenarios.doctor import Look, Outcome

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def outcome(scenario: Scenario) -> Outcome:
    found: Outcome = scenario("doctor", Outcome, machine=vm.Machine(registers=False))[0]
    return found


def results(look: Look) -> dict[str, CheckResult]:
    return {result.id: result for result in look.diagnosis.checks}


def problems(look: Look) -> dict[str, str]:
    return {each.id: each.text for each in look.diagnosis.checks if each.status in ("warn", "fail")}


@pytest.mark.parametrize("when", ["healthy", "healthy again", "after the fix"])
def test_a_healthy_kernel_has_no_problems(when: str, outcome: Outcome) -> None:
    look = outcome.looks[when]
    assert problems(look) == {}
    assert look.code == 0
    assert results(look)["CT601"].status == results(look)["CT611"].status == "ok"
    assert results(look)["CT621"].text == "resctrl is mounted at /sys/fs/resctrl"


def test_without_root_the_same_is_found(outcome: Outcome) -> None:
    look = outcome.looks["not root"]
    assert problems(look) == {}
    assert results(look)["CT633"].text == results(outcome.looks["healthy"])["CT633"].text


def test_empty_groups_are_found_and_removed_by_the_command(outcome: Outcome) -> None:
    look = outcome.looks["groups of pqos"]
    assert look.code == 1
    assert problems(look) == {
        "CT633": "all 8 CLOSIDs are used: 7 of pqos",
        "CT641": "empty groups hold 7 of 8 CLOSIDs: 7 of pqos",
    }
    assert outcome.commands["groups of pqos"] == 0


def test_a_read_only_mount_is_found_and_remounted_by_the_command(outcome: Outcome) -> None:
    assert set(problems(outcome.looks["read-only"])) == {"CT623"}
    assert outcome.commands["read-only"] == 0


def test_resctrl_that_is_not_mounted_is_found_and_mounted_with_fix(outcome: Outcome) -> None:
    look = outcome.looks["unmounted"]
    assert problems(look) == {"CT621": "resctrl is not mounted at /sys/fs/resctrl"}
    assert results(look)["CT621"].command == "mount -t resctrl resctrl /sys/fs/resctrl"
    assert results(look)["CT602"].text == "resctrl is not mounted"
    fixed = outcome.looks["fixed"]
    assert fixed.code == 0
    assert fixed.diagnosis.fixed == ("CT621: ran mount -t resctrl resctrl /sys/fs/resctrl",)


def test_l3_that_the_command_line_switches_off_is_named(scenario: Scenario) -> None:
    machine = vm.Machine(append="rdt=!l3cat", registers=False)
    found: Outcome = scenario("doctor", Outcome, "once", machine=machine)[0]
    look = found.looks["healthy"]
    assert problems(look) == {"CT602": "the processor has cat_l3, but resctrl has no L3"}
    assert results(look)["CT602"].fix == "remove !l3cat from rdt= and reboot"
    assert results(look)["CT612"].text == "rdt= switches off l3cat"
