"""Assignable counters on the newest kernel, on an EPYC that has four for each cache: two are the default group's.

The guest's control group takes the other two when it is created, although both its vCPUs are in monitor groups.
"""

import dataclasses
import json
from typing import Any

import pytest

from cachetune.plan.steps import WriteFile
from tests.kernel import vm
from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.scenarios import counter_deaths, counters

pytestmark = pytest.mark.kernel

CONTROL = "cachetune-web-vcpus_0-1"
MONITORS = [f"{CONTROL}/mon_groups/cachetune-web-vcpus_{n}" for n in (0, 1)]
DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='8' unit='MiB'/>
      <monitor level='3' vcpus='0'/>
      <monitor level='3' vcpus='1'/>
    </cachetune>
  </cputune>
</domain>
"""
_AMD = vm.MACHINES["amd"]
FOUR_COUNTERS = dataclasses.replace(
    _AMD, kernel="newest", rdt=dataclasses.replace(_AMD.rdt, amd=vm.Amd(counters=4, io_alloc=True))
)


@pytest.fixture(scope="module")
def outcome(scenario: Scenario, file_of: FileOf) -> counters.Outcome:
    found: counters.Outcome = scenario("counters", counters.Outcome, file_of(DOMAIN), machine=FOUR_COUNTERS)[0]
    return found


@pytest.fixture(scope="module")
def deaths(scenario: Scenario, file_of: FileOf) -> counter_deaths.Outcome:
    machine = dataclasses.replace(FOUR_COUNTERS, registers=False)
    found: counter_deaths.Outcome = scenario(
        "counter_deaths", counter_deaths.Outcome, file_of(DOMAIN), machine=machine
    )[0]
    return found


def values(outcome: counters.Outcome, path: str, event: str) -> list[Any]:
    """What the two readings have for this event of a group on cache 0."""
    found = []
    for ran in outcome.monitor:
        (reading,) = (one for one in json.loads(ran.out)["monitors"] if one["path"] == path)
        found += [c for c in reading["counters"] if (c["id"], c["event"]) == (0, event)]
    return found


def test_the_plan_says_who_has_the_counters_and_which_are_available(outcome: counters.Outcome) -> None:
    assert outcome.left[0] == "0=2;1=2"
    assert outcome.plain.code == 0
    assert "will read 'Unassigned' for mbm_total_bytes and mbm_local_bytes: " in outcome.plain.err
    assert "2 of 4 counters left on L3 caches 0-1, held by the default group [CT230]" in outcome.plain.err
    assert f"hint: --assign-counters takes counters from {CONTROL}, whose vCPUs are all in" in outcome.plain.err


def test_the_monitors_get_the_counters_that_the_control_group_does_not_need(outcome: counters.Outcome) -> None:
    assert (outcome.apply.code, outcome.left[1]) == (0, "0=0;1=0"), outcome.apply.err
    both, one = (f"mbm_total_bytes:0={a};1={a}\nmbm_local_bytes:0={b};1={b}\n" for a, b in ("ee", "e_"))
    assert outcome.counters == {
        ".": both,
        CONTROL: both.replace("e;", "_;").replace("=e\n", "=_\n"),
        **dict.fromkeys(MONITORS, one),
    }
    assert outcome.diff.code == 0, outcome.diff.out


def test_the_monitors_read_numbers_and_the_control_group_their_sum(outcome: counters.Outcome) -> None:
    for path in (CONTROL, *MONITORS):
        first, second = values(outcome, path, "mbm_total_bytes")
        assert (first["state"], second["state"], second["partial"]) == ("ok", "ok", False)
        assert first["value"] < second["value"]
    for path in MONITORS:
        assert [one["state"] for one in values(outcome, path, "mbm_local_bytes")] == ["Unassigned"] * 2


def test_removing_the_guest_leaves_the_tree_as_found(outcome: counters.Outcome) -> None:
    assert (outcome.remove.code, outcome.differs) == (0, ())


def test_a_failed_last_step_gives_every_counter_back(deaths: counter_deaths.Outcome) -> None:
    assert isinstance(deaths.plan.steps[-1], WriteFile)
    assert (deaths.failed.outcome, deaths.differs) == ("rolled back", ())


def test_a_run_killed_while_it_assigns_counters_is_recovered_to_before_or_after(
    deaths: counter_deaths.Outcome,
) -> None:
    assert deaths.changes.count("write mbm_L3_assignments") == len(MONITORS) + 1
    assert [death for death in deaths.deaths.values() if all(death)] == []
    ended = ["before" if not before else "after" for before, _ in deaths.deaths.values()]
    assert ended == sorted(ended, reverse=True)
    assert set(ended) == {"before", "after"}
    assert deaths.left == ()
