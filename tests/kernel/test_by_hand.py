"""Compaction with three guests, one of them exclusive, and changes of the default group, on real kernels: each leaves
one of two states, whatever fails and wherever it is killed.

Runs are killed before the first change and after one of each kind, drawn with CACHETUNE_SEED; with CACHETUNE_DEATHS=all
after every change. 6.1 is in ``make soak``: ``make test`` has it in test_compaction, test_default_group and
test_deaths.
"""

import functools
import operator
import os
import signal

import pytest

from cachetune.host.resctrl.schemata import parse
from tests.kernel.conftest import Count, Scenario, fresh_seed
from tests.kernel.hosts import host
from tests.kernel.scenarios.by_hand import Outcome
from tests.kernel.scenarios.deaths import last_record

pytestmark = pytest.mark.kernel
CASES = ("compaction", "default group", "reset")
each_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module", params=["newest", pytest.param("6.1", marks=pytest.mark.soak)])
def outcome(request: pytest.FixtureRequest, scenario: Scenario) -> Outcome:
    machine = host(request.param, sockets=1, registers=False)
    extent = "all" if os.environ.get("CACHETUNE_DEATHS") == "all" else "sample"
    words = (extent, f"{fresh_seed()} {request.param}")
    found: Outcome = scenario("by_hand", Outcome, *words, machine=machine, cpu_limit=3000)[0]
    return found


def masks(groups: dict[str, dict[str, str]]) -> dict[str, int]:
    """The ways of L3 cache 0 of the groups with vCPUs, by guest, "." for the default group."""
    found = {path.removeprefix("cachetune-").removesuffix("-vcpus_0"): mask_in(of) for path, of in groups.items()}
    return {name: mask for name, mask in found.items() if mask is not None and "late-" not in name}


def mask_in(files: dict[str, str]) -> int | None:
    """The ways of L3 cache 0 of a control group."""
    return parse(files["schemata"]).masks.at("L3", 0) if "schemata" in files else None


def limit(files: dict[str, str]) -> int | None:
    """The memory bandwidth of node 0 in percent."""
    return parse(files["schemata"]).bandwidth.at("MB", 0)


def test_compaction_makes_room_by_moving_groups_and_leaves_the_exclusive_one_exclusive(outcome: Outcome) -> None:
    result = outcome.cases["compaction"]
    assert masks(result.before) == {".": 0x780, "web": 0x003, "db": 0x010, "mail": 0x060}
    after = masks(result.after)
    assert after["late"].bit_count() == 4
    assert after["."] & 0x600 == 0x600
    assert sum(after.values()) == functools.reduce(operator.or_, after.values()), "no way is in two groups"
    assert {name: after[name].bit_count() for name in ("web", "db", "mail")} == {"web": 2, "db": 1, "mail": 2}
    assert any(after[name] != masks(result.before)[name] for name in ("web", "db", "mail"))
    assert result.after["cachetune-mail-vcpus_0"]["mode"] == "exclusive\n"


def test_threads_that_are_no_vcpus_get_separate_groups(outcome: Outcome) -> None:
    groups = outcome.cases["compaction"].after
    (iothreads,) = (files for path, files in groups.items() if "late" in path and "iothreads" in path)
    (emulator,) = (files for path, files in groups.items() if "late" in path and "emulator" in path)
    tids = {name: {int(tid) for tid in files["tasks"].split()} for name, files in (("io", iothreads), ("em", emulator))}
    main, iothread = outcome.others
    assert tids == {"io": {iothread}, "em": {main}}
    assert set(map(int, groups["cachetune-late-vcpus_0"]["tasks"].split())) == set(outcome.vcpus)
    assert (limit(iothreads), limit(emulator)) == (50, 30)


def test_the_default_group_is_set_and_gets_its_first_values_back(outcome: Outcome) -> None:
    small, reset = outcome.cases["default group"], outcome.cases["reset"]
    assert masks(small.after)["."] == 0x700
    assert limit(small.after["."]) == 50
    assert masks(reset.before)["."] == 0x700
    assert masks(reset.after)["."] == 0x780
    assert limit(reset.after["."]) == 100


@each_case
def test_a_failure_at_any_change_is_rolled_back(case: str, outcome: Outcome) -> None:
    failed = outcome.cases[case].failed
    assert len(failed) >= len(outcome.cases[case].plan.steps) > 0
    assert {attempt.outcome for attempt in failed} == {"rolled back"}
    assert [attempt.differs for attempt in failed if attempt.differs] == []


@each_case
def test_after_a_kill_anywhere_recover_reaches_one_of_two_states(
    case: str, outcome: Outcome, record_property: Count
) -> None:
    found = outcome.cases[case]
    lost = [d for d in found.deaths if d.ended not in ("before", "after") or d.again != ("nothing to do",)]
    record_property(f"kills during {case}", len(found.deaths))
    record_property("states lost", len(lost))
    assert lost == []
    assert {death.killed_by for death in found.deaths} == {signal.SIGKILL}
    done = last_record(found.changes)
    for death in found.deaths:
        assert death.ended == ("before" if death.number <= done else "after"), death
    assert any(death.left for death in found.deaths)


def test_the_tree_is_as_found_without_the_guests(outcome: Outcome) -> None:
    assert outcome.differs == ()
