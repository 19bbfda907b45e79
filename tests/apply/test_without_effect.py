"""A step that fails before it changes anything is neither done nor undone, and nothing is written for it."""

import errno
from pathlib import Path

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import GuestEntry, Ledger, load_ledger, save_ledger
from cachetune.apply.steps import StepRunner
from cachetune.cli.show.report import show_report
from cachetune.errors import ResctrlError
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.apply.test_step_kinds import masks_of_a_new_group, plan_of
from tests.samples import TIDS, host_with_guest

WEB = "cachetune-web"
STEPS: tuple[Step, ...] = (
    CreateGroup(f"{WEB}-vcpus_0"),
    WriteSchemata(WEB, "L3:0=003\n", "L3:0=001\n"),
    WriteFile(f"{WEB}/mode", "shareable", "exclusive"),
    MoveTasks(WEB, ".", TIDS[:2]),
    RemoveGroup(WEB, "L3:0=003;1=003\nMB:0=100;1=100\n"),
)
ERRNOS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
# A group that does not exist is removed already: that is no failure.
FAILURES = [
    (step, number) for step in STEPS for number in ERRNOS if (type(step), number) != (RemoveGroup, errno.ENOENT)
]


def prepared(run: Path, *options: str) -> tuple[SimulatedResctrl, Connection]:
    sim = host_with_guest("skylake-2s")
    if options:
        sim = SimulatedResctrl(sim.profile.mounted(*options))
        for tid in TIDS:
            sim.add_task(tid)
    sim.write("schemata", "L3:0=030;1=030\n")
    sim.mkdir(WEB)
    sim.write(f"{WEB}/schemata", "L3:0=003;1=003\n")
    save_ledger(Ledger(boot_id=journal.boot_id(), guests={WEB: GuestEntry("web", None, (WEB,))}), run)
    sim.operations.clear()
    return sim, Connection(sim, run)


@pytest.mark.parametrize(("step", "number"), FAILURES)
def test_a_first_step_without_effect_is_reported_as_nothing_changed(
    step: Step, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sim, connection = prepared(tmp_path)
    before = sim.tree()
    plan = plan_of(connection.look(load_ledger(tmp_path)), *masks_of_a_new_group(step))
    sim.fail(number, times=99)
    report = apply(plan, connection)
    assert (report.outcome, report.done, report.undone, report.undo_errors) == ("rolled back", (), (), ())
    assert report.exit_code == 1
    assert sim.tree() == before
    assert len(sim.operations) == 1  # the failed one: nothing is written to undo it
    assert not journal.exists(tmp_path)
    show_report(report)
    shown = capsys.readouterr()
    assert shown.out == "Failed: nothing was changed.\n"
    assert errno.errorcode[number] in shown.err
    assert "undone" not in shown.err


@pytest.mark.parametrize("step", STEPS)
def test_a_later_step_without_effect_is_not_among_the_undone(step: Step, tmp_path: Path) -> None:
    sim, connection = prepared(tmp_path)
    before = sim.tree()
    first = MoveTasks(WEB, ".", TIDS[2:])
    steps = (first, *masks_of_a_new_group(step))
    sim.fail(errno.EACCES, at=2)
    report = apply(plan_of(connection.look(load_ledger(tmp_path)), *steps), connection)
    assert (report.outcome, report.done, report.undone) == ("rolled back", steps[:1], steps[:1])
    assert sim.tree() == before


def test_a_write_that_ends_with_an_input_output_error_may_have_had_an_effect(tmp_path: Path) -> None:
    sim, connection = prepared(tmp_path)
    before = sim.tree()
    step = WriteSchemata(WEB, "L3:0=003\n", "L3:0=001\n")
    sim.fail(errno.EIO, operation="write", after=True)
    report = apply(plan_of(connection.look(load_ledger(tmp_path)), step), connection)
    assert (report.outcome, report.undone) == ("rolled back", (step,))
    assert sim.tree() == before


@pytest.mark.parametrize(("options", "changed"), [((), False), (("mba_MBps",), True)])
def test_bandwidths_are_set_one_by_one_only_in_mib_per_second(
    options: tuple[str, ...], changed: bool, tmp_path: Path
) -> None:
    sim, _ = prepared(tmp_path, *options)
    before = sim.tree()
    runner = StepRunner(sim, None)
    old = "MB:0=4294967295\n" if options else "MB:0=100\n"
    step = WriteSchemata(WEB, old, "MB:0=50;9=50\n")
    with pytest.raises(ResctrlError, match="EINVAL"):
        runner.take(step)
    assert runner.changed == (sim.tree() != before) == changed
    if changed:
        runner.undo(step, ())
        assert sim.tree() == before


@pytest.mark.parametrize(("inside", "changed"), [(0, True), (1, False)])
def test_a_list_of_threads_that_is_refused_part_way_has_moved_those_before(
    inside: int, changed: bool, tmp_path: Path
) -> None:
    # a monitor group refuses a thread of another control group
    sim, _ = prepared(tmp_path)
    sim.mkdir(f"{WEB}/mon_groups/m")
    sim.write(f"{WEB}/tasks", f"{TIDS[inside]}\n")
    before = sim.tree()
    runner = StepRunner(sim, None)
    with pytest.raises(ResctrlError, match="different control group"):
        runner.take(MoveTasks(f"{WEB}/mon_groups/m", WEB, TIDS[:2]))
    assert runner.changed == (sim.tree() != before) == changed
