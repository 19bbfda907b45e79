"""``cachetune set`` and ``export`` on real kernels: each change is in the kernel, and the export plans to no change."""

import json

import pytest

from cachetune.host.resctrl.schemata import parse
from cachetune.plan.group_state import GroupState
from tests.kernel.conftest import Scenario
from tests.kernel.hosts import host
from tests.kernel.scenarios.one_value import Outcome

pytestmark = pytest.mark.kernel
GROUP = "cachetune-web-vcpus_0-1"


@pytest.fixture(scope="module", params=["6.1", "newest, AMD"])
def outcome(scenario: Scenario, request: pytest.FixtureRequest) -> Outcome:
    found: Outcome = scenario("one_value", Outcome, machine=host(request.param, registers=False))[0]
    return found


def ways(groups: dict[str, dict[str, str]], cache_id: int) -> int:
    mask = parse(groups[GROUP]["schemata"]).masks.at("L3", cache_id)
    assert mask
    return mask.bit_count()


def test_a_new_group_has_the_ways_and_the_threads(outcome: Outcome) -> None:
    assert outcome.made.code == 0, outcome.made.err
    assert ways(outcome.groups_made, 0) == 2
    vcpus = outcome.guest.vcpus
    assert {int(tid) for tid in outcome.groups_made[GROUP]["tasks"].split()} == {vcpus[0], vcpus[1]}


def test_a_measurement_gives_the_group_each_size_and_then_its_ways_back(outcome: Outcome) -> None:
    """Counters of a virtual machine count nothing, so only the masks are compared."""
    assert outcome.measured.code == 0, outcome.measured.err
    (curve,) = json.loads(outcome.measured.out)["curves"]
    assert [point["ways"] for point in curve["points"]] == [1, 2]
    changes = json.loads(outcome.logged.out)["changes"]
    given = [
        GroupState.from_json(change["groups"][0]["after"]["state"]).masks.at("L3", 0)
        for change in changes
        if change["program"] == "advise"
    ]
    assert [mask.bit_count() for mask in given if mask] == [1, 2]
    assert outcome.groups_measured[GROUP]["schemata"] == outcome.groups_made[GROUP]["schemata"]


def test_other_values_are_changed_and_a_monitor_is_added(outcome: Outcome) -> None:
    assert outcome.resized.code == 0, outcome.resized.err
    assert [ways(outcome.groups_resized, cache_id) for cache_id in (0, 1)] == [1, 1]
    monitor = outcome.groups_resized[f"{GROUP}/mon_groups/cachetune-web-vcpus_0"]
    assert monitor["tasks"].split() == [str(outcome.guest.vcpus[0])]


def test_one_limit_is_set_and_on_amd_it_is_that_of_slow_memory(outcome: Outcome) -> None:
    assert outcome.limited.code == 0, outcome.limited.err
    before, after = (
        parse(groups[GROUP]["schemata"]).bandwidth for groups in (outcome.groups_resized, outcome.groups_limited)
    )
    changed = [entry for entry in after.entries() if before.at(*entry[:2]) != entry[2]]
    assert changed == [("SMBA", 0, 64) if after.row("SMBA") else ("MB", 0, 50)]


def test_planning_the_export_changes_nothing(outcome: Outcome) -> None:
    assert (outcome.exported.code, outcome.exported.err) == (0, "")
    assert outcome.diff.code == 0, outcome.diff.out + outcome.diff.err


def test_clearing_the_group_restores_the_kernel(outcome: Outcome) -> None:
    assert outcome.cleared.code == 0, outcome.cleared.err
    assert outcome.differences == ()
