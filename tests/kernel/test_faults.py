"""Apply that fails in the middle, on a real kernel: the tree is as found afterwards, whatever step it was."""

import json

import pytest

from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.domains import FAULTS_TWO_CACHES, ONE_VCPU
from tests.kernel.hosts import NO_MBM, host
from tests.kernel.scenarios import limbo, rollback

pytestmark = pytest.mark.kernel
LATER = ["newest, AMD", "newest, SNC"]
HOSTS = ["6.1", LATER[0], pytest.param(LATER[1], marks=pytest.mark.soak)]


@pytest.fixture(scope="module", params=HOSTS)
def failures(request: pytest.FixtureRequest, scenario: Scenario, file_of: FileOf) -> rollback.Outcome:
    machine = host(request.param, registers=False)
    found: rollback.Outcome = scenario("rollback", rollback.Outcome, file_of(FAULTS_TWO_CACHES), machine=machine)[0]
    return found


def test_a_failure_at_any_change_is_rolled_back(failures: rollback.Outcome) -> None:
    # groups made, schemata of two groups and the default one written, threads moved
    assert len(failures.failed) >= 4 + 3 + 4
    assert [attempt.differs for attempt in failures.failed if attempt.differs] == []
    assert {attempt.ran.code for attempt in failures.failed} == {1}


def test_without_a_failure_the_same_plan_is_applied(failures: rollback.Outcome) -> None:
    assert failures.applied.ran.code == 0
    assert failures.applied.differs


@pytest.mark.parametrize("what", ["CLOSIDs", "RMIDs"])
def test_apply_rolls_back_when_another_program_takes_the_last_ids(what: str, failures: rollback.Outcome) -> None:
    crowded = failures.crowded[what]
    report = json.loads(crowded.ran.out)
    assert crowded.ran.code == 1
    assert report["outcome"] == "rolled back"
    assert "ENOSPC" in report["error"]
    assert f"Out of {what}" in report["error"]
    assert crowded.differs == ()


@pytest.mark.parametrize("name", [HOSTS[0], *(pytest.param(name, marks=pytest.mark.soak) for name in LATER)])
def test_rmids_in_limbo_are_waited_for(name: str, scenario: Scenario, file_of: FileOf) -> None:
    rmids = 16 if "SNC" in name else 8  # each of two nodes has its own
    machine = host(name, sockets=1, append=NO_MBM, rdt={"rmids": rmids, "counters": "kept"})
    outcome, _ = scenario("limbo", limbo.Outcome, file_of(ONE_VCPU), machine=machine)
    assert outcome.refused == ("EBUSY",)
    assert outcome.report.outcome == "done"
