"""Every kind of step, one row each: what it does, says, counts, and what undoes, journals, guards and recovers it.

A kind without a row fails the first test.
"""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import GuestEntry, Ledger, load_ledger, save_ledger
from cachetune.apply.steps import StepRunner
from cachetune.errors import ApplyRefusedError
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan.counts import summarize
from cachetune.plan.model import Plan, PlanGuest, Summary
from cachetune.plan.ownership import touched
from cachetune.plan.render import describe, render, summary_sentence
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata, effect_of
from cachetune.sim import SimulatedResctrl
from tests.samples import GUEST, TIDS, host_with_guest

WEB = "cachetune-web"
DB = "cachetune-db"


class Row(msgspec.Struct, frozen=True):
    """``step`` is accepted on a host with the group WEB and leaves ``file`` as ``after`` (None: not there).

    ``refused`` are steps of the kind that the guard refuses, with a part of the reason.
    """

    step: Step
    file: str
    after: str | None
    describes: str
    line: str
    touches: tuple[str, ...]
    counts: dict[str, int]
    refused: dict[str, Step]


ROWS = (
    Row(
        CreateGroup(f"{WEB}-vcpus_0"),
        f"{WEB}-vcpus_0/mode",
        "shareable\n",
        f"create {WEB}-vcpus_0",
        "",
        (),
        {"control_groups_created": 1},
        {
            "whose name does not begin with": CreateGroup("cachetune-db-vcpus_0"),
            "leaves the resctrl root": CreateGroup("../x"),
        },
    ),
    Row(
        WriteSchemata(WEB, "L3:0=003\n", "L3:0=001\n"),
        f"{WEB}/schemata",
        "    MB:0=100;1=100\n    L3:0=001;1=003\n",
        f"write L3:0=001 to {WEB}",
        f"~ {WEB}",
        (WEB,),
        {"groups_changed": 1},
        {
            f"give group {DB} the mask 80": WriteSchemata(DB, "L3:0=0c0\n", "L3:0=080\n"),
            "from values that it does not have": WriteSchemata(WEB, "L3:0=001\n", "L3:0=001\n"),
        },
    ),
    Row(
        WriteFile(f"{WEB}/mode", "shareable", "exclusive"),
        f"{WEB}/mode",
        "exclusive\n",
        f"write exclusive to {WEB}/mode",
        f"~ {WEB}/mode  shareable -> exclusive",
        (WEB,),
        {"groups_changed": 1},
        {
            f"write to {DB}/mode": WriteFile(f"{DB}/mode", "shareable", "exclusive"),
            "from a value that it does not have": WriteFile(f"{WEB}/mode", "exclusive", "shareable"),
        },
    ),
    Row(
        MoveTasks(WEB, ".", TIDS[1:2]),
        f"{WEB}/tasks",
        f"{TIDS[1]}\n",
        f"move 1 task from the default group to {WEB}",
        f"> thread {TIDS[1]} (vCPU 1): the default group -> {WEB}",
        (WEB, "."),
        {"tasks_moved": 1},
        {
            f"move threads to group {DB}": MoveTasks(DB, ".", TIDS[1:2]),
            "move thread 9000": MoveTasks(WEB, ".", (9000,)),
        },
    ),
    Row(
        RemoveGroup(WEB, "L3:0=003;1=003\nMB:0=100;1=100\n"),
        f"{WEB}/mode",
        None,
        f"remove {WEB}",
        f"- {WEB}",
        (WEB,),
        {"groups_removed": 1},
        {
            "in use by the guest 'db'": RemoveGroup(DB, ""),
            "with values that it does not have": RemoveGroup(WEB, ""),
        },
    ),
)
BY_KIND = pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row.step).__name__)


@pytest.fixture
def sim() -> SimulatedResctrl:
    """The default group, the guest's WEB, and DB of another guest."""
    sim = host_with_guest("skylake-2s")
    sim.write("schemata", "L3:0=030;1=030\n")
    for path, mask in ((WEB, "003"), (DB, "0c0")):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"L3:0={mask};1={mask}\n")
    sim.add_task(9000)
    return sim


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    guests = {WEB: GuestEntry("web", None, (WEB,)), DB: GuestEntry("db", None, (DB,))}
    save_ledger(Ledger(boot_id=journal.boot_id(), guests=guests), tmp_path)
    return Connection(sim, tmp_path)


def plan_of(host: Host, *steps: Step) -> Plan:
    return Plan(
        guests=(PlanGuest("web", WEB, None, GUEST.pid, GUEST.threads),),
        host_fingerprint=host.fingerprint,
        groups=(),
        steps=steps,
        summary=summarize(steps, host),
    )


def masks_of_a_new_group(step: Step) -> tuple[Step, ...]:
    """apply refuses to leave a new group the masks that the kernel gives it."""
    created = effect_of(step).created
    return (step, WriteSchemata(created, "", "L3:0=300;1=300\n")) if created else (step,)


def test_every_kind_of_step_has_a_row() -> None:
    assert {type(row.step) for row in ROWS} == set(get_args(Step))


@BY_KIND
def test_a_step_takes_effect_and_is_undone_twice(row: Row, sim: SimulatedResctrl) -> None:
    before = sim.tree()
    runner = StepRunner(sim, None)
    runner.take(row.step)
    assert sim.tree().get(row.file) == row.after
    made = [path] if (path := effect_of(row.step).created) else []
    for _ in range(2):
        runner.undo(row.step, made)
        assert sim.tree() == before


@BY_KIND
def test_a_step_is_described_and_drawn(row: Row, sim: SimulatedResctrl) -> None:
    plan = plan_of(read_host(sim), row.step)
    assert describe(row.step) == row.describes
    lines = [line.text for line in render(plan)]
    assert row.line in [*lines, ""]
    assert not summary_sentence(plan).startswith("No changes")


@BY_KIND
def test_a_step_touches_and_counts(row: Row, sim: SimulatedResctrl) -> None:
    assert set(touched([row.step], [WEB, DB, "."])) == set(row.touches)
    summary = summarize([row.step], read_host(sim))
    none = summarize([], read_host(sim))
    changed = {
        name
        for name in Summary.__struct_fields__
        if name not in ("closids", "rmids") and getattr(summary, name) != getattr(none, name)
    }
    assert {name: getattr(summary, name) for name in changed} == row.counts


@BY_KIND
def test_a_step_comes_back_from_the_journal_and_from_a_saved_plan(
    row: Row, sim: SimulatedResctrl, tmp_path: Path
) -> None:
    plan = plan_of(read_host(sim), row.step)
    assert documents.decode(documents.encode(plan), Plan, "plan") == plan
    written = Journal.begin(tmp_path, plan, "sim")
    written.taking(row.step)
    written.keep()
    unfinished = journal.read(tmp_path)
    assert unfinished
    assert unfinished.started == (row.step,)


@BY_KIND
def test_apply_accepts_a_step_of_ours(row: Row, sim: SimulatedResctrl, connection: Connection) -> None:
    steps = masks_of_a_new_group(row.step)
    report = apply(plan_of(connection.look(load_ledger(connection.run)), *steps), connection)
    assert (report.outcome, report.done) == ("done", steps)
    assert sim.tree().get(row.file) == row.after


@BY_KIND
def test_apply_refuses_a_step_that_is_not_ours(row: Row, connection: Connection) -> None:
    for reason, step in row.refused.items():
        with pytest.raises(ApplyRefusedError, match=r"CT50[45]") as caught:
            apply(plan_of(connection.look(load_ledger(connection.run)), step), connection)
        assert reason in str(caught.value)


@BY_KIND
@pytest.mark.parametrize("taken", [True, False])
def test_recover_undoes_a_step_of_a_killed_run(
    taken: bool, row: Row, sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    plan = plan_of(connection.look(load_ledger(connection.run)), row.step)
    written = Journal.begin(connection.run, plan, sim.source)
    written.taking(row.step)
    written.keep()
    if taken:
        StepRunner(sim, None).take(row.step)
    assert recover(connection).outcome == "done"
    assert sim.tree() == before
    assert recover(connection).outcome == "nothing to do"


@BY_KIND
def test_the_ledger_knows_the_groups_after_the_step(row: Row, connection: Connection) -> None:
    ledger = load_ledger(connection.run)
    after = ledger.after(plan_of(connection.look(ledger), row.step))
    effect = effect_of(row.step)
    assert after.groups_of(WEB) | {None} == {WEB, effect.created, None} - {effect.removed} | {None}
