"""A run that is killed between any two changes that it makes, on real kernels: nothing is lost, nothing half done.

A change is a system call on a group, the journal or the ledger. Between two of them a run only looks, so a death there
is one after the first and before the second; with those at both ends each change has a death before and after it. In
``make test`` there is one after a change of each kind on 6.1, drawn with CACHETUNE_SEED (the newest kernel has
test_by_hand and test_exclusive); in ``make soak`` everywhere on 6.1 and AMD; with CACHETUNE_DEATHS=all everywhere.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.apply.state.per_guest import path_of
from cachetune.plan.model import Plan
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup
from tests.kernel.conftest import Count, FileOf, Scenario, fresh_seed
from tests.kernel.domains import FAULTS
from tests.kernel.hosts import host
from tests.kernel.scenarios.deaths import Outcome, kind_of, last_record

pytestmark = pytest.mark.kernel
ALL = os.environ.get("CACHETUNE_DEATHS") == "all"
SMALL = [("6.1", "sample")]  # a host, and at which changes runs are killed
LARGE = [("6.1", "ends"), ("6.12", "sample"), ("newest, AMD", "ends"), ("newest, SNC", "sample")]
RECORDS = [
    *("open ledger.json.new", "rename ledger.json.new"),
    *("open changes.jsonl", "write changes.jsonl"),
    "unlink journal.jsonl",
]


@pytest.fixture(
    scope="module",
    params=[*SMALL, *(pytest.param(large, marks=pytest.mark.soak) for large in LARGE)],
    ids="-".join,
)
def name_and_extent(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, extent = request.param
    return name, "all" if ALL else extent


@pytest.fixture(scope="module")
def extent(name_and_extent: tuple[str, str]) -> str:
    return name_and_extent[1]


@pytest.fixture(scope="module")
def outcome(name_and_extent: tuple[str, str], scenario: Scenario, file_of: FileOf) -> Outcome:
    name, extent = name_and_extent
    machine = host(name, sockets=1, registers=False)
    words = (file_of(FAULTS), extent, f"{fresh_seed()} {name}")
    found: Outcome = scenario("deaths", Outcome, *words, machine=machine, cpu_limit=3000)[0]
    return found


def test_after_a_kill_anywhere_recover_reaches_one_of_two_states_and_repeating_it_does_nothing(
    outcome: Outcome, record_property: Count
) -> None:
    deaths = [death for of in outcome.rounds.values() for death in of.deaths]
    lost = [d for d in deaths if d.ended not in ("before", "after") or d.again != ("nothing to do",)]
    record_property("kills", len(deaths))
    record_property("states lost", len(lost))
    assert {death.killed_by for death in deaths} == {signal.SIGKILL}
    assert lost == []


def test_no_death_of_a_run_loses_the_line_of_a_change(outcome: Outcome) -> None:
    for run, of in outcome.rounds.items():
        for death in of.deaths:
            has_changed = run.startswith("recover") or any(map(_is_on_a_group, of.changes[: death.number]))
            assert death.logged or not has_changed, (run, death)
            assert death.runs == len(death.logged[:1]), death
    seen = {death.logged for of in outcome.rounds.values() for death in of.deaths}
    assert seen >= {("undone",), ("finished",)}


def test_there_is_a_kill_before_and_after_changes_of_every_kind_of_apply_remove_and_recover(
    extent: str, outcome: Outcome
) -> None:
    assert {run.split()[0] for run in outcome.rounds} == {"apply", "remove", "recover"}
    for run, of in outcome.rounds.items():
        numbers = [death.number for death in of.deaths]
        if extent == "sample":
            assert numbers[0] == 0, run
            assert {kind_of(of.changes[number - 1]) for number in numbers[1:]} == set(map(kind_of, of.changes)), run
        else:
            assert numbers == list(range(len(of.changes) + 1)), run


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_the_changes_of_a_run_match_its_plan(verb: str, outcome: Outcome) -> None:
    plan: Plan = getattr(outcome, verb)
    assert _without_repeats(outcome.rounds[verb].changes) == list(_changes_for(plan))


def test_the_changes_of_a_recovery_undo_the_plan_or_finish_its_records(outcome: Outcome) -> None:
    done = last_record(outcome.rounds["apply"].changes)
    undoing = outcome.rounds[f"recover after {done} changes of apply"].changes
    made = [Path(step.path).name for step in outcome.apply.steps if isinstance(step, CreateGroup)]
    assert [f"rmdir {name}" for name in reversed(made)] == [change for change in undoing if change.startswith("rmdir")]
    assert outcome.rounds[f"recover after {done + 1} changes of apply"].changes == tuple(RECORDS)


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_run_is_undone_before_its_journal_is_complete_and_finished_after(verb: str, outcome: Outcome) -> None:
    found = outcome.rounds[verb]
    done = last_record(found.changes)
    assert {death.number <= done for death in found.deaths} == {True, False}
    for death in found.deaths:
        assert death.ended == ("before" if death.number <= done else "after"), death
    assert any(death.left for death in found.deaths)


def test_the_tree_is_restored(outcome: Outcome) -> None:
    assert outcome.differs == ()


def _changes_for(plan: Plan) -> Iterator[str]:
    """What the plan's steps need, as names of calls and files; the writes to one file in a row count as one."""
    yield from ("mkdir deaths", "open journal.jsonl", "write journal.jsonl")
    for step in plan.steps:
        yield "write journal.jsonl"
        match step:
            case CreateGroup(path):
                yield f"mkdir {Path(path).name}"
            case RemoveGroup(path):
                yield f"rmdir {Path(path).name}"
            case MoveTasks():
                yield "write tasks"
            case _:
                yield "write schemata"
    yield from ("write journal.jsonl", *RECORDS)
    if plan.groups:  # a guest that has groups has not departed
        yield from (f"unlink {path_of(Path(), guest.name).name}" for guest in plan.guests)


def _is_on_a_group(change: str) -> bool:
    verb, name = change.split()
    return name in ("schemata", "tasks") or (verb in ("mkdir", "rmdir") and name != "deaths")


def _without_repeats(changes: tuple[str, ...]) -> list[str]:
    """A kernel without lists of threads gets them one by one."""
    return [c for n, c in enumerate(changes) if n == 0 or c != "write tasks" or changes[n - 1] != c]
