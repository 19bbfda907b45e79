"""``write_file`` in detail: which files and values apply accepts, and what recover leaves to other programs."""

import errno

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import GuestEntry, load_ledger, save_ledger
from cachetune.apply.steps import StepRunner
from cachetune.errors import ApplyRefusedError, ResctrlError, StepError
from cachetune.host.read import read_host
from cachetune.plan.model import Plan
from cachetune.plan.render import describe, render, summary_sentence
from cachetune.plan.steps import CreateGroup, RemoveGroup, Step, WriteFile, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.apply.test_step_kinds import DB, WEB, connection, plan_of, sim

__all__ = ["connection", "sim"]  # fixtures

MONITOR = f"{WEB}/mon_groups/{WEB}-vcpus_0"
IO_ALLOC = "info/L3/io_alloc"


def planned(connection: Connection, *steps: Step) -> Plan:
    return plan_of(connection.look(load_ledger(connection.run)), *steps)


def carry_out(connection: Connection, *steps: Step) -> str:
    return apply(planned(connection, *steps), connection).outcome


def refusal(connection: Connection, *steps: Step) -> str:
    with pytest.raises(ApplyRefusedError) as caught:
        carry_out(connection, *steps)
    return str(caught.value)


def killed_after(connection: Connection, *steps: Step) -> None:
    """A run that took these steps and was killed."""
    written = Journal.begin(connection.run, planned(connection, *steps), connection.resctrl.source)
    runner = StepRunner(connection.resctrl, None)
    for step in steps:
        written.taking(step)
        runner.take(step)
    written.keep()


CPUS = WriteFile(f"{WEB}/cpus_list", "", "2-3,8")


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (WriteFile("mode", "shareable", "exclusive"), "no plan may change"),
        (WriteFile(f"{WEB}/tasks", "", "1"), "no plan may change"),
        (WriteFile(f"{WEB}/../mode", "shareable", "exclusive"), "leaves the resctrl root"),
        (WriteFile(f"/{WEB}/mode", "shareable", "exclusive"), "leaves the resctrl root"),
        (WriteFile("info/L3/cbm_mask", "7ff", "1"), "no plan may change"),
        (WriteFile("info/L3_MON/max_threshold_occupancy", "1", "2"), "no plan may change"),
        (WriteFile("info/L2/io_alloc", "disabled", "enabled"), "no plan may change"),
        (WriteFile("info/L3CODE/io_alloc", "disabled", "enabled"), "from a value that it does not have"),
        (WriteFile(IO_ALLOC, "enabled", "disabled"), "from a value that it does not have"),
        (WriteFile(IO_ALLOC, "disabled", "1"), "from 'disabled' to '1'"),
        (WriteFile(f"{WEB}/mode", "shareable", "pseudo-locksetup"), "from 'shareable' to 'pseudo-locksetup'"),
        (WriteFile(f"{WEB}/cpus_list", "", "3,2"), "from '' to '3,2'"),
        (WriteFile(f"{WEB}/cpus_list", "", "9000"), "CPUs 9000 are not free"),
        (WriteFile(f"{WEB}/cpus_list", "0", "1"), "from a value that it does not have"),
        (WriteFile(f"{MONITOR}/mode", "shareable", "exclusive"), "from a value that it does not have"),
    ],
)
def test_apply_refuses_other_files_and_other_values(
    step: WriteFile, reason: str, sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.mkdir(MONITOR)
    guests = {WEB: GuestEntry("web", None, (WEB, MONITOR))}
    save_ledger(msgspec.structs.replace(load_ledger(connection.run), guests=guests), connection.run)
    assert reason in refusal(connection, step)


def test_cpus_are_taken_from_the_default_group_only(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write(f"{DB}/cpus_list", "2\n")
    assert "CPUs 2 are not free" in refusal(connection, CPUS)
    sim.write(f"{DB}/cpus_list", "\n")
    sim.mkdir("mon_groups/other")
    sim.write("mon_groups/other/cpus_list", "8\n")
    assert "mon_groups/other would lose CPUs 8" in refusal(connection, CPUS)
    sim.rmdir("mon_groups/other")
    assert carry_out(connection, CPUS) == "done"
    assert sim.read(CPUS.path) == "2-3,8\n"


def test_the_dry_run_follows_cpus_from_step_to_step(sim: SimulatedResctrl, connection: Connection) -> None:
    other = f"{WEB}-vcpus_0"
    create = (CreateGroup(other), WriteSchemata(other, "", "L3:0=300;1=300\n"))
    less, theirs = WriteFile(CPUS.path, "2-3,8", "8"), WriteFile(f"{other}/cpus_list", "", "2-3")
    before = sim.tree()
    assert "CPUs 2-3 are not free" in refusal(connection, CPUS, *create, theirs)
    back = RemoveGroup(other, "")
    monitor = (CreateGroup(MONITOR), WriteFile(f"{MONITOR}/cpus_list", "", "8"))
    assert f"{MONITOR} would lose CPUs 8" in refusal(connection, CPUS, *monitor, less)
    sim.fail(errno.EIO, at=8)
    assert carry_out(connection, CPUS, less, *create, theirs, back, *monitor) == "rolled back"
    assert sim.tree() == before
    assert carry_out(connection, CPUS, less, *create, theirs, back, *monitor) == "done"
    assert sim.read(f"{MONITOR}/cpus_list") == "8\n"


def test_a_group_that_becomes_exclusive_is_undone_when_a_later_step_fails(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    mode = WriteFile(f"{WEB}/mode", "shareable", "exclusive")
    sim.fail(errno.ENOSPC, operation="mkdir")
    report = apply(planned(connection, mode, CPUS, CreateGroup(MONITOR)), connection)
    assert (report.outcome, report.undone) == ("rolled back", (CPUS, mode))
    assert sim.tree() == before


def test_a_file_that_reads_back_differently_rolls_the_run_back(
    sim: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim, "write", lambda *_: None)
    with pytest.raises(StepError, match=r"cpus_list: wrote '2-3,8' but read ''"):
        StepRunner(sim, None).take(CPUS)


def test_recover_leaves_a_file_that_another_program_has_changed_since(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    killed_after(connection, CPUS)
    sim.write(CPUS.path, "5\n")
    report = recover(connection)
    assert (report.outcome, report.undone) == ("done", ())
    assert report.notes == (f"{CPUS.path} was changed by another program since, so it stays 5",)
    assert sim.read(CPUS.path) == "5\n"


def test_recover_does_not_take_cpus_back_from_another_group(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write(CPUS.path, "2-3,8\n")
    killed_after(connection, WriteFile(CPUS.path, "2-3,8", "8"))
    sim.write(f"{DB}/cpus_list", "3\n")
    report = recover(connection)
    assert report.notes == (f"{CPUS.path} stays 8: CPUs 3 are not free",)
    assert (sim.read(CPUS.path), sim.read(f"{DB}/cpus_list")) == ("8\n", "3\n")


@pytest.mark.parametrize("taken", range(7))
def test_recover_undoes_files_of_groups_that_the_run_made_or_removed(
    taken: int, sim: SimulatedResctrl, connection: Connection
) -> None:
    other = f"{WEB}-vcpus_0"
    sim.write(CPUS.path, "2-3\n")
    before = sim.tree()
    text = "L3:0=003;1=003\nMB:0=100;1=100\n"
    steps: tuple[Step, ...] = (
        CreateGroup(other),
        WriteFile(CPUS.path, "2-3", ""),
        WriteFile(f"{other}/cpus_list", "", "2-3"),
        WriteSchemata(other, "", "L3:0=300;1=300\n"),
        WriteFile(f"{WEB}/mode", "shareable", "exclusive"),
        RemoveGroup(WEB, text, "2-3"),
    )
    killed_after(connection, *steps[:taken])
    assert recover(connection).outcome == "done"
    assert sim.tree() == before


def test_a_group_that_was_removed_since_has_no_files_to_undo(sim: SimulatedResctrl, connection: Connection) -> None:
    killed_after(connection, CPUS)
    sim.rmdir(WEB)
    report = recover(connection)
    assert report.outcome == "done"
    assert WEB in report.notes[0]


class WithIoAlloc:
    """A resctrl with io_alloc, which reads as words and takes a boolean, as AMD's does."""

    def __init__(self, sim: SimulatedResctrl) -> None:
        self._sim, self.enabled = sim, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._sim, name)

    def read(self, path: str) -> str:
        if path == IO_ALLOC:
            return "enabled\n" if self.enabled else "disabled\n"
        return self._sim.read(path)

    def write(self, path: str, text: str) -> None:
        if path != IO_ALLOC:
            self._sim.write(path, text)
        elif text not in ("0\n", "1\n"):
            raise ResctrlError(errno.EINVAL, "write", path, written=text)
        else:
            self.enabled = text == "1\n"


def test_io_alloc_is_a_setting_of_the_host_that_is_switched_and_put_back(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    fake = WithIoAlloc(sim)
    connection = msgspec.structs.replace(connection, resctrl=fake)
    step = WriteFile(IO_ALLOC, "disabled", "enabled")
    plan = plan_of(read_host(sim), step)
    assert summary_sentence(plan).startswith("1 host setting to change.")
    assert next(line.text for line in render(plan)) == f"~ {IO_ALLOC}  disabled -> enabled"
    assert describe(step) == f"write enabled to {IO_ALLOC}"
    sim.fail(errno.EIO, operation="mkdir")
    assert carry_out(connection, step, CreateGroup(MONITOR)) == "rolled back"
    assert not fake.enabled
    assert carry_out(connection, step) == "done"
    assert fake.enabled
    back = WriteFile(IO_ALLOC, "enabled", "disabled")
    killed_after(connection, back)
    assert not fake.enabled
    assert recover(connection).undone == (back,)
    assert fake.enabled
