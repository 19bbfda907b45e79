"""Apply that fails or dies in the middle, on a real kernel: the tree is as found afterwards, whatever step it was."""

import json
import signal
from pathlib import Path

import pytest

from tests.kernel.conftest import Scenario
from tests.kernel.scenarios import recovery, rollback

pytestmark = pytest.mark.kernel

# Two control groups, a monitor in one and one of the default group: 5 groups and steps of every kind.
DOMAIN = """\
<domain type='kvm'>
  <name>faults</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='7680' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
    <cachetune vcpus='2'>
      <cache id='1' level='3' type='both' size='3840' unit='KiB'/>
    </cachetune>
    <memorytune vcpus='2'>
      <node id='0' bandwidth='50'/>
    </memorytune>
    <cachetune vcpus='3'>
      <monitor level='3' vcpus='3'/>
    </cachetune>
  </cputune>
</domain>
"""


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("domain") / "faults.xml"
    path.write_text(DOMAIN)
    return path


@pytest.fixture(scope="module")
def failures(domain: Path, scenario: Scenario) -> rollback.Outcome:
    outcome: rollback.Outcome = scenario("rollback", rollback.Outcome, str(domain))[0]
    return outcome


@pytest.fixture(scope="module")
def deaths(domain: Path, scenario: Scenario) -> recovery.Outcome:
    outcome: recovery.Outcome = scenario("recovery", recovery.Outcome, str(domain))[0]
    return outcome


def test_a_failure_at_any_change_is_rolled_back(failures: rollback.Outcome) -> None:
    # groups made, schemata of two groups and the default one written, threads moved
    assert len(failures.failed) >= 4 + 3 + 4
    assert [attempt.differs for attempt in failures.failed if attempt.differs] == []
    assert {attempt.ran.code for attempt in failures.failed} == {1}


def test_without_a_failure_the_same_plan_is_applied(failures: rollback.Outcome) -> None:
    assert failures.applied.ran.code == 0
    assert failures.applied.differs


def test_a_writer_who_takes_the_last_closids_in_the_middle_makes_apply_roll_back(failures: rollback.Outcome) -> None:
    report = json.loads(failures.crowded.ran.out)
    assert failures.crowded.ran.code == 1
    assert report["outcome"] == "rolled back"
    assert "ENOSPC" in report["error"]
    assert "Out of CLOSIDs" in report["error"]
    assert failures.crowded.differs == ()


def test_recover_undoes_what_a_killed_run_left_at_any_change(deaths: recovery.Outcome) -> None:
    assert len(deaths.attempts) >= 4 + 3 + 4
    assert {attempt.killed_by for attempt in deaths.attempts} == {signal.SIGKILL}
    assert any(attempt.left for attempt in deaths.attempts)
    assert [attempt.differs for attempt in deaths.attempts if attempt.differs] == []
    assert {attempt.recover.code for attempt in deaths.attempts} == {0}


def test_after_recover_the_same_plan_is_applied(deaths: recovery.Outcome) -> None:
    assert deaths.applied == 0
