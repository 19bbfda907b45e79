"""Counters that a plan assigns: undone at any failure, recovered after any death, and only those of the guest's groups.

The host is an EPYC with four counters for each L3; two are the default group's.
"""

import errno
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger
from cachetune.apply.steps import StepRunner
from cachetune.errors import ApplyRefusedError
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import CreateGroup, RemoveGroup, Step, WriteFile, effect_of
from cachetune.service.plans import plan_requests
from cachetune.sim import SimulatedResctrl
from cachetune.sim.faults import Operation
from cachetune.watch import read_counters
from tests.plan.counted import guest, tune
from tests.samples import GUEST, host_with_guest

WEB = "cachetune-web-vcpus_0-1"
M0, M1 = (f"{WEB}/mon_groups/cachetune-web-vcpus_{n}" for n in (0, 1))
FILE = "mbm_L3_assignments"
TWO_MONITORS = guest(tune("0-1", "0", "1"))
WITHOUT_MONITORS = guest(tune("0-1"))
STEPS = 10  # of the plan for TWO_MONITORS


@pytest.fixture
def sim() -> SimulatedResctrl:
    return host_with_guest("turin-few-counters", "7.3")


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    save_ledger(Ledger(boot_id=journal.boot_id()), tmp_path)
    return Connection(sim, tmp_path)


def planned(connection: Connection, domain: object = TWO_MONITORS, *, assign: bool = True) -> Plan:
    ledger = load_ledger(connection.run)
    options = Options(assign_counters=assign)
    return plan_requests([GuestRequest(domain, GUEST)], connection.look(ledger), ledger, options)  # type: ignore[arg-type]


def applied(connection: Connection, domain: object = TWO_MONITORS, *, assign: bool = True) -> Report:
    report = apply(planned(connection, domain, assign=assign), connection)
    assert report.outcome == "done", report
    return report


def counters(sim: SimulatedResctrl, path: str) -> str:
    """The events of a group that have counters on every cache, such as "total local"."""
    rows = (line.partition(":") for line in sim.read(f"{path}/{FILE}").split())
    return " ".join(event.split("_")[1] for event, _, entries in rows if "_" not in entries)


def killed_after(connection: Connection, plan: Plan, taken: int) -> None:
    """A run of the plan that was killed after this many steps."""
    written = Journal.begin(connection.run, plan, connection.resctrl.source)
    runner = StepRunner(connection.resctrl, None, plan.guests)
    for step in plan.steps[:taken]:
        written.taking(step)
        runner.take(step)
    written.keep()


def with_steps(connection: Connection, *steps: Step) -> Plan:
    """A plan of the guest with other steps."""
    return msgspec.structs.replace(planned(connection), steps=steps)


def refusal(connection: Connection, *steps: Step) -> str:
    with pytest.raises(ApplyRefusedError) as caught:
        apply(with_steps(connection, *steps), connection)
    return str(caught.value)


def test_monitors_get_counters_and_read_numbers(sim: SimulatedResctrl, connection: Connection) -> None:
    applied(connection)
    assert [counters(sim, path) for path in (WEB, M0, M1)] == ["", "total", "total"]
    assert planned(connection).steps == ()
    found = {c.event: c.state for c in read_counters(sim, read_host(sim), [M0])[0].counters}
    assert (found["mbm_total_bytes"], found["mbm_local_bytes"]) == ("ok", "Unassigned")


@pytest.mark.parametrize("kernel", ["6.18", "7.3"])
def test_a_cache_without_counters_does_not_keep_monitors_from_those_of_other_caches(
    kernel: str, tmp_path: Path
) -> None:
    """Linux 6.18 gives a new group no counters on the caches after the first one that has none left."""
    sim = host_with_guest("turin-few-counters", kernel)
    connection = Connection(sim, tmp_path)
    ids = list(connection.look(Ledger()).caches[0].size_bytes)
    sim.mkdir("theirs")
    for event in ("mbm_total_bytes", "mbm_local_bytes"):
        sim.write(f"theirs/{FILE}", f"{event}:" + ";".join(f"{i}=_" for i in ids[1:]) + "\n")
    applied(connection, guest(tune("0-1", "0-1")))
    rest = ";".join(f"{i}=e" for i in ids[1:])
    assert sim.read(f"{WEB}/{FILE}").split() == [f"mbm_{event}_bytes:{ids[0]}=_;{rest}" for event in ("total", "local")]


def test_every_step_is_read_back(
    sim: SimulatedResctrl, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = sim.write
    monkeypatch.setattr(sim, "write", lambda path, text: None if path.endswith(FILE) else write(path, text))
    report = apply(planned(connection), connection)
    assert report.outcome == "rolled back"
    assert f"{FILE}: wrote 'mbm_total_bytes:0=_" in report.error


@pytest.mark.parametrize("failing", range(1, STEPS + 1))
def test_a_failure_of_any_step_restores_every_counter(
    failing: int, sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    assert len(planned(connection).steps) == STEPS
    sim.fail(errno.EIO, at=failing)
    assert apply(planned(connection), connection).outcome == "rolled back"
    assert sim.tree() == before


@pytest.mark.parametrize("failing", range(1, 4))
def test_counters_of_groups_that_exist_are_restored_too(
    failing: int, sim: SimulatedResctrl, connection: Connection
) -> None:
    applied(connection, assign=False)
    before = sim.tree()
    plan = planned(connection)
    assert [type(step) for step in plan.steps] == [WriteFile] * 3
    sim.fail(errno.EIO, at=failing)
    assert apply(plan, connection).outcome == "rolled back"
    assert sim.tree() == before


@pytest.mark.parametrize("taken", range(STEPS + 1))
def test_a_run_killed_after_any_step_is_undone(taken: int, sim: SimulatedResctrl, connection: Connection) -> None:
    before = sim.tree()
    killed_after(connection, planned(connection), taken)
    report = recover(connection)
    notes = () if taken else ("the run was interrupted before it changed anything",)
    assert (report.outcome, report.notes, sim.tree()) == ("done", notes, before)


def test_a_write_that_the_kernel_takes_in_part_is_undone(sim: SimulatedResctrl, connection: Connection) -> None:
    """The kernel assigns entry by entry: what comes before the one that fails remains."""
    applied(connection, assign=False)
    step = next(step for step in planned(connection).steps if isinstance(step, WriteFile) and step.path.startswith(WEB))
    killed_after(connection, with_steps(connection, step), 1)
    sim.write(f"{WEB}/{FILE}", "mbm_total_bytes:0=e;1=e\n")
    report = recover(connection)
    assert (report.undone, report.notes) == ((step,), ())
    assert counters(sim, WEB) == "total local"


def test_removing_the_guest_leaves_the_tree_as_found(sim: SimulatedResctrl, connection: Connection) -> None:
    before = sim.tree()
    applied(connection)
    ledger = load_ledger(connection.run)
    guests = [PlanGuest("web", "cachetune-web")]
    removal = plan_removal(connection.look(ledger), guests, ledger.groups_of("cachetune-web"), ledger.shrunk)
    assert apply(removal, connection).outcome == "done"
    assert sim.tree() == before


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_failed_removal_gives_each_group_its_counters_again(
    failing: int, sim: SimulatedResctrl, connection: Connection
) -> None:
    applied(connection)
    before = sim.tree()
    ledger = load_ledger(connection.run)
    guests = [PlanGuest("web", "cachetune-web")]
    removal = plan_removal(connection.look(ledger), guests, ledger.groups_of("cachetune-web"), ledger.shrunk)
    sim.fail(errno.EIO, at=failing)
    report = apply(removal, connection)
    assert report.outcome == ("rolled back" if failing <= len(removal.steps) else "done")
    assert sim.tree() == before or report.outcome == "done"


def test_counters_come_back_to_the_control_group_with_the_option(sim: SimulatedResctrl, connection: Connection) -> None:
    applied(connection)
    applied(connection, WITHOUT_MONITORS)
    assert counters(sim, WEB) == "total local"


def test_a_write_that_fails_half_way_is_undone(sim: SimulatedResctrl, connection: Connection) -> None:
    """Another program takes all free counters but one, so the kernel assigns the first entry and refuses the second."""
    applied(connection, assign=False)

    def strike(operation: Operation) -> None:
        if operation.path == f"{M0}/{FILE}" and not sim.exists("batch"):
            sim.mkdir("batch")
            sim.write(f"batch/{FILE}", "mbm_total_bytes:0=_\n")

    sim.before_operation = strike
    report = apply(planned(connection), connection)
    assert f"to {M0}/{FILE}: ENOSPC" in report.error
    assert "=e" not in sim.read(f"{M0}/{FILE}")
    assert report.outcome == "rollback incomplete", "the control group cannot get back what another program has"
    assert recover(connection).outcome == "done"
    assert sim.read(f"{WEB}/{FILE}").split()[0].startswith("mbm_total_bytes:0=e;1=_")


# -- other programs -----------------------------------------------------------------------------------------------


def test_recover_leaves_counters_to_a_group_that_has_them_now(sim: SimulatedResctrl, connection: Connection) -> None:
    applied(connection, assign=False)
    plan = planned(connection)
    killed_after(connection, plan, 1)
    sim.mkdir("batch")
    assert counters(sim, "batch") == "total local"
    report = recover(connection)
    assert report.outcome == "done"
    assert f"{WEB}/{FILE} gets back 'mbm_total_bytes:0=_;" in report.notes[0]
    assert "its other counters are in use by other groups now" in report.notes[0]
    assert (counters(sim, WEB), counters(sim, "batch")) == ("", "total local")


def test_a_removed_group_comes_back_without_counters_that_others_have(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    applied(connection, WITHOUT_MONITORS)
    host = connection.look(load_ledger(connection.run))
    guests = [PlanGuest("web", "cachetune-web")]
    removal = plan_removal(host, guests, load_ledger(connection.run).groups_of("cachetune-web"))
    killed_after(connection, removal, len(removal.steps))
    assert isinstance(removal.steps[-1], RemoveGroup)
    sim.mkdir("batch")
    report = recover(connection)
    assert (report.outcome, len(report.notes)) == ("done", 1)
    assert (counters(sim, WEB), counters(sim, "batch")) == ("", "total local")


def test_counters_taken_from_a_killed_run_do_not_keep_its_new_groups(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    before = set(sim.tree())
    plan = planned(connection)
    released = next(n for n, step in enumerate(plan.steps, 1) if isinstance(step, WriteFile))
    killed_after(connection, plan, released)
    sim.mkdir("batch")
    report = recover(connection)
    assert (report.outcome, report.notes) == ("done", ())
    assert {path for path in sim.tree() if not path.startswith("batch")} == before


# -- the guard ----------------------------------------------------------------------------------------------------


def row(entry: str) -> str:
    """A value in which every event and cache has the same."""
    entries = ";".join(f"{i}={entry}" for i in range(8))
    return f"mbm_total_bytes:{entries} mbm_local_bytes:{entries}"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (WriteFile(FILE, row("e"), row("_")), "which no plan may change"),
        (WriteFile(f"./{FILE}", row("e"), row("_")), "which no plan may change"),
        (WriteFile(f"batch/{FILE}", row("_"), row("e")), "which is not this guest's"),
        (WriteFile(f"{WEB}/{FILE}", row("_"), row("e")), "from a value that it does not have"),
        (WriteFile(f"{WEB}/{FILE}", row("e"), row("x")), "to 'mbm_total_bytes:0=x"),
        (WriteFile(f"{WEB}/{FILE}", row("e"), ""), "to ''"),
        (WriteFile(f"{WEB}/{FILE}", row("e"), "mbm_total_bytes:0=_"), "but it has other events or caches"),
        (WriteFile(f"{WEB}/{FILE}", row("e"), row("_").replace("7=_", "9=_")), "but it has other events or caches"),
        (WriteFile(f"{M0}/{FILE}", row("_"), row("e")), "but no counter is left on L3 caches 0-7"),
        (RemoveGroup(M0, ""), "with values that it does not have"),
    ],
)
def test_apply_refuses_other_counters(step: Step, reason: str, sim: SimulatedResctrl, connection: Connection) -> None:
    applied(connection, assign=False)
    sim.mkdir("batch")
    assert reason in refusal(connection, step)


def test_the_dry_run_follows_counters_from_step_to_step(sim: SimulatedResctrl, connection: Connection) -> None:
    applied(connection, assign=False)
    release = WriteFile(f"{WEB}/{FILE}", row("e"), row("_"))
    take = WriteFile(f"{M0}/{FILE}", row("_"), row("e"))
    assert "no counter is left" in refusal(connection, release, take, WriteFile(f"{M1}/{FILE}", row("_"), row("e")))
    third = f"{WEB}/mon_groups/cachetune-web-vcpus_3"
    made = (release, CreateGroup(third))  # the kernel gives it the counters that are free now
    assert "from a value that it does not have" in refusal(
        connection, *made, WriteFile(f"{third}/{FILE}", row("_"), row("e"))
    )
    assert apply(with_steps(connection, *made, RemoveGroup(M0, "", assignments=row("_"))), connection).outcome == "done"
    assert counters(sim, third) == "total local"
    assert effect_of(release).written == WEB


def test_a_plan_is_refused_once_mbm_assign_on_mkdir_has_changed(sim: SimulatedResctrl, connection: Connection) -> None:
    plan = planned(connection)
    sim.write("info/L3_MON/mbm_assign_on_mkdir", "0\n")
    with pytest.raises(ApplyRefusedError, match="CT501"):
        apply(plan, connection)
