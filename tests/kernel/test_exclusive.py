"""Exclusive groups on real kernels: the kernel accepts the plan and keeps others out, and a failure or a death at any
change leaves one of two states.

"newest, CDP" has code and data apart, "newest, L2" also has masks of the L2 caches. Deaths are after a change of each
kind; in ``make soak`` they are also on 6.1, everywhere, and there are some of recover.
"""

import json
import signal

import pytest

from cachetune.plan.steps import WriteFile, WriteSchemata
from tests.kernel.conftest import Count, Scenario, fresh_seed
from tests.kernel.hosts import HOSTS, host
from tests.kernel.scenarios.deaths import last_record
from tests.kernel.scenarios.exclusive import GROUP, Outcome

pytestmark = pytest.mark.kernel
VERBS = ("exclusive", "shareable")
MORE = ", more kills"
DEATHS = {"newest, CDP": "few", f"6.1{MORE}": "ends", f"newest, CDP{MORE}": "sample"}
WITH_DEATHS = [pytest.param(name, marks=[pytest.mark.soak] if name.endswith(MORE) else []) for name in DEATHS]
WITHOUT = [pytest.param(f"newest, {kind}", marks=pytest.mark.soak) for kind in ("AMD", "SNC", "L2")]


@pytest.fixture(scope="module", params=[*WITH_DEATHS, *WITHOUT])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def host_name(name: str) -> str:
    return name.removesuffix(MORE)


@pytest.fixture(scope="module")
def outcome(name: str, host_name: str, scenario: Scenario) -> Outcome:
    kernel, _, kind = host_name.partition(", ")
    machine = host(host_name if host_name in HOSTS else kernel, registers=False)
    words = (DEATHS.get(name, "none"), f"{fresh_seed()} {name}")
    found: Outcome = scenario("exclusive", Outcome, *words, machine=machine, cdp=kind == "CDP", cpu_limit=3000)[0]
    return found


# With the fixture's own parameters, in their order, so that the machines are shared with the other tests.
where_runs_are_killed = pytest.mark.parametrize("name", WITH_DEATHS, indirect=True, scope="module")


def test_the_group_is_exclusive_after_apply_and_the_host_matches(outcome: Outcome) -> None:
    walk = outcome.walk
    assert walk.apply.code == 0, walk.apply
    assert json.loads(walk.apply.out)["outcome"] == "done"
    assert walk.mode == "exclusive\n"
    assert "exclusive" in next(line for line in walk.show.out.splitlines() if GROUP in line)
    assert walk.same.code == 0, walk.same


def test_another_program_can_neither_take_the_ways_nor_start_with_them(host_name: str, outcome: Outcome) -> None:
    walk = outcome.walk
    (plan,) = [outcome.plans["exclusive"]]
    masks = {f"{resource}:{i}": mask for resource, i, mask in plan.groups[0].schemata.masks.entries()}
    assert masks.keys() == walk.foreign.keys()
    assert {resource.partition(":")[0] for resource in masks} == {
        "newest, CDP": {"L3CODE", "L3DATA"},
        "newest, L2": {"L2", "L3"},
    }.get(host_name, {"L3"})
    for place, first in walk.foreign.items():
        assert int(first, 16) & masks[place] == 0, place
    assert len(walk.refused) == 2 * len(masks)
    assert {(each.errno, each.says) for each in walk.refused.values()} == {
        ("EINVAL", "Overlaps with exclusive group\n")
    }


def test_a_changed_mode_is_a_difference_and_apply_repairs_it(outcome: Outcome) -> None:
    walk = outcome.walk
    assert walk.drifted.code == 1
    assert "shareable -> exclusive" in walk.drifted.out
    assert walk.repaired.code == 0
    assert json.loads(walk.repaired.out)["done"] == [
        {"kind": "write_file", "path": f"{GROUP}/mode", "before": "shareable", "after": "exclusive"}
    ]
    assert walk.mode_again == "exclusive\n"


def test_the_tree_is_as_found_after_remove(outcome: Outcome) -> None:
    assert outcome.walk.remove.code == 0, outcome.walk.remove
    assert outcome.walk.differs == ()
    assert outcome.differs == ()


def test_the_plans_write_masks_and_the_mode(outcome: Outcome) -> None:
    there, back = (outcome.plans[verb].steps for verb in VERBS)
    assert there[-1] == WriteFile(f"{GROUP}/mode", "shareable", "exclusive")
    assert back[0] == WriteFile(f"{GROUP}/mode", "exclusive", "shareable")
    for steps in (there, back):
        assert {step.path for step in steps if isinstance(step, WriteSchemata)} == {".", GROUP}


@pytest.mark.parametrize("verb", VERBS)
def test_a_failure_at_any_change_is_rolled_back(verb: str, outcome: Outcome) -> None:
    failed = outcome.failed[verb]
    assert len(failed) == len(outcome.plans[verb].steps)
    assert {attempt.outcome for attempt in failed} == {"rolled back"}
    assert [attempt.differs for attempt in failed if attempt.differs] == []


@where_runs_are_killed
def test_after_a_kill_anywhere_recover_reaches_one_of_two_states(outcome: Outcome, record_property: Count) -> None:
    deaths = [death for of in outcome.rounds.values() for death in of.deaths]
    lost = [d for d in deaths if d.ended not in ("before", "after") or d.again != ("nothing to do",)]
    record_property("kills", len(deaths))
    record_property("states lost", len(lost))
    assert {death.killed_by for death in deaths} == {signal.SIGKILL}
    assert lost == []


@where_runs_are_killed
@pytest.mark.parametrize("verb", VERBS)
def test_a_run_is_killed_around_the_change_of_the_mode(verb: str, outcome: Outcome) -> None:
    found = outcome.rounds[verb]
    after = [found.changes[death.number - 1] for death in found.deaths if death.number]
    assert {"write mode", "write schemata"} <= set(after)
    done = last_record(found.changes)
    for death in found.deaths:
        assert death.ended == ("before" if death.number <= done else "after"), death
    assert any(death.left for death in found.deaths)
