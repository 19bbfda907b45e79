"""What recover leaves to programs that took something between the death of a run and its recovery."""

from itertools import count
from pathlib import Path

import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan import plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import MoveTasks, RemoveGroup, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.apply.dying import Killed, until_death
from tests.samples import TIDS, plan_for, web

GROUP = "cachetune-web-vcpus_0-1"
THEIRS = "qemu-10-mail-vcpus_0-1"


def killed_removal(sim: SimulatedResctrl, connection: Connection, after: type) -> None:
    """A guest is placed, and the run that removes its groups is killed when the last such step has been taken."""
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    ledger = load_ledger(connection.run)
    plan = plan_removal(connection.look(ledger), [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk)
    last = max(n for n, step in enumerate(plan.steps) if isinstance(step, after))

    def die(step: object) -> None:
        if plan.steps.index(step) > last:
            raise Killed

    died = until_death(sim, connection.run, lambda: apply(plan, connection, die), 10**6)
    assert died == (last < len(plan.steps) - 1)


def take(sim: SimulatedResctrl, masks: str) -> None:
    sim.mkdir(THEIRS)
    sim.write(f"{THEIRS}/schemata", f"{masks}\n")


def test_a_removed_group_whose_ways_another_program_has_now_stays_removed(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    """Found by random calls: recover gave both the same ways."""
    killed_removal(sim, connection, RemoveGroup)
    take(sim, "L3:0=3;1=7ff")
    theirs = sim.read(f"{THEIRS}/schemata")
    report = recover(connection)
    assert report.outcome == "done"
    assert not sim.exists(GROUP)
    assert sim.read(f"{THEIRS}/schemata") == theirs
    assert [note for note in report.notes if GROUP in note] == [
        f"group {GROUP} stays removed, because {THEIRS} has its ways of L3 cache 0 now"
    ]
    assert set(TIDS) <= set(map(int, sim.read("tasks").split()))
    assert load_ledger(connection.run).without_lost(connection.look(load_ledger(connection.run))).owned <= {
        "mon_groups/cachetune-web-vcpus_3"
    }


def test_a_removed_group_comes_back_beside_a_group_with_only_shared_ways(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    killed_removal(sim, connection, RemoveGroup)
    take(sim, "L3:0=400;1=7ff")
    assert recover(connection).notes == ()
    assert "L3:0=003;1=7ff" in sim.read(f"{GROUP}/schemata")
    assert set(TIDS[:2]) <= set(map(int, sim.read(f"{GROUP}/tasks").split()))


@pytest.mark.parametrize("after", [MoveTasks, WriteSchemata])
def test_a_removal_is_undone_or_finished_where_nothing_was_taken(
    after: type, sim: SimulatedResctrl, connection: Connection, tmp_path: Path
) -> None:
    fresh = sim.tree()
    killed_removal(sim, connection, after)
    report = recover(connection)
    if after is MoveTasks:
        assert set(TIDS[:2]) <= set(map(int, sim.read(f"{GROUP}/tasks").split()))
    else:
        assert (report.outcome, sim.tree()) == ("nothing to do", fresh)
    assert tmp_path in connection.run.parents


def test_of_a_run_killed_before_its_first_change_it_says_so(sim: SimulatedResctrl, connection: Connection) -> None:
    before = sim.tree()
    plan = plan_for(web("skylake-2s"), connection)
    found = []
    for number in count(1):
        until_death(sim, connection.run, lambda: apply(plan, connection), number)
        unfinished = journal.read(connection.run)
        if unfinished and unfinished.started:
            break
        if unfinished:
            found.append(unfinished.plan is not None)
            report = recover(connection)
            assert (report.outcome, report.notes) == ("done", ("the run was interrupted before it changed anything",))
        assert recover(connection).outcome == "nothing to do"
        assert sim.tree() == before
    assert set(found) == {False, True}, "both with a part of the plan in the journal and with all of it"
