"""Settling a host: which guests have ended, and which ways are unclaimed."""

import errno

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.settle import settle, settlement
from cachetune.apply.state import departures
from cachetune.apply.state.ledger import GuestEntry, Ledger, load_ledger, save_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.errors import StateFileError
from cachetune.plan.model import DefaultShrink
from cachetune.plan.steps import RemoveGroup
from cachetune.sim import SimulatedResctrl
from tests.samples import TIDS, plan_for, web

GROUP = "cachetune-web-vcpus_0-1"


def placed(connection: Connection) -> Connection:
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    return connection


def ended(sim: SimulatedResctrl) -> None:
    for tid in TIDS:
        sim.end_task(tid)


def test_a_host_on_which_nothing_is_unclaimed_is_left_alone(sim: SimulatedResctrl, connection: Connection) -> None:
    placed(connection)
    before = sim.tree()
    report = settle(connection)
    assert (report.outcome, report.machine_names) == ("nothing to do", ())
    assert sim.tree() == before


def test_a_guest_that_has_ended_is_removed_and_forgotten(sim: SimulatedResctrl, connection: Connection) -> None:
    fresh = sim.tree()
    placed(connection)
    ended(sim)
    for name in ("web", "other"):
        departures.record(connection.run, name)
    report = settle(connection)
    assert (report.outcome, report.machine_names) == ("done", ("cachetune-web",))
    assert {path: text for path, text in sim.tree().items() if "tasks" not in path} == {
        path: text for path, text in fresh.items() if "tasks" not in path
    }
    assert departures.departed(connection.run) == ()
    assert load_ledger(connection.run).guests == {}


def test_a_guest_stays_while_it_has_threads_unless_its_end_is_certain(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    placed(connection)
    departures.record(connection.run, "web")
    assert settle(connection).outcome == "nothing to do"
    assert departures.departed(connection.run) == ("web",)
    assert settle(connection, "db").outcome == "nothing to do"
    assert settle(connection, "web").outcome == "done"
    assert not sim.exists(GROUP)


def test_a_guest_with_a_monitor_group_of_another_program_stays(sim: SimulatedResctrl, connection: Connection) -> None:
    placed(connection)
    ended(sim)
    sim.mkdir(f"{GROUP}/mon_groups/theirs")
    departures.record(connection.run, "web")
    assert settle(connection).outcome == "nothing to do"
    assert sim.exists(f"{GROUP}/mon_groups/theirs")


def test_a_failure_keeps_the_departure_for_the_next_time(sim: SimulatedResctrl, connection: Connection) -> None:
    placed(connection)
    ended(sim)
    departures.record(connection.run, "web")
    sim.fail(errno.EIO, operation="rmdir")
    assert settle(connection).outcome == "rolled back"
    assert departures.departed(connection.run) == ("web",)
    assert settle(connection).outcome == "done"
    assert departures.departed(connection.run) == ()


def shrunk(connection: Connection, text: str, before: int, after: int) -> None:
    """The default group has given ways up, and no group has them."""
    connection.resctrl.write("schemata", text)
    tables = [Masks({"L3": {0: Cbm(mask)}}) for mask in (before, after)]
    connection.run.mkdir(exist_ok=True)
    save_ledger(Ledger(boot_id=load_boot_id(), shrunk=DefaultShrink(*tables)), connection.run)


def load_boot_id() -> str:
    from cachetune.apply.state.journal import boot_id

    return boot_id()


def test_unclaimed_ways_go_back(sim: SimulatedResctrl, connection: Connection) -> None:
    shrunk(connection, "L3:0=7f0\n", 0x7FF, 0x7F0)
    assert settle(connection, return_ways=False).outcome == "nothing to do"
    assert settle(connection).outcome == "done"
    assert "L3:0=7ff" in sim.read("schemata")
    assert load_ledger(connection.run).shrunk is None


def test_ways_beyond_those_that_a_group_has_stay_away(sim: SimulatedResctrl, connection: Connection) -> None:
    """The default group's mask must stay contiguous."""
    shrunk(connection, "L3:0=7f0\n", 0x7FF, 0x7F0)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=004\n")
    assert settle(connection).outcome == "done"
    assert "L3:0=7f8" in sim.read("schemata")
    assert settle(connection).outcome == "nothing to do"
    sim.rmdir("COS1")
    assert settle(connection).outcome == "done"
    assert "L3:0=7ff" in sim.read("schemata")


def test_a_default_group_that_another_program_changed_is_left_alone(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    shrunk(connection, "L3:0=7f0\n", 0x7FF, 0x7F0)
    sim.write("schemata", "L3:0=700\n")
    assert settle(connection).outcome == "nothing to do"
    assert "L3:0=700" in sim.read("schemata")


def test_a_guest_under_whose_machine_name_another_has_groups_has_none(connection: Connection) -> None:
    placed(connection)
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    web_groups = ledger.guests["cachetune-web"].groups
    other = Ledger(boot_id=ledger.boot_id, guests={"cachetune-web": GuestEntry("w-e-b", None, web_groups)})
    assert settlement(host, other, ["web"], "web").steps == ()
    assert settlement(host, other, ["!!!"], "!!!").steps == ()
    steps = settlement(host, other, ["w-e-b"], "w-e-b").steps
    assert steps == (), "its machine name is cachetune-w-e-b"
    removed = settlement(host, ledger, ["web"], "web").steps
    assert {step.path for step in removed if isinstance(step, RemoveGroup)} == set(web_groups)


def test_a_guest_that_is_given_groups_again_has_not_ended(sim: SimulatedResctrl, connection: Connection) -> None:
    """As with 'cachetune apply' for a guest that is yet to start: nothing runs in its groups."""
    departures.record(connection.run, "web")
    placed(connection)
    ended(sim)
    assert settle(connection).outcome == "nothing to do"
    assert sim.exists(GROUP)
    departures.record(connection.run, "web")
    assert not apply(plan_for(web("skylake-2s"), connection), connection).exit_code
    assert settle(connection).outcome == "nothing to do"
    assert sim.exists(GROUP)


def test_without_the_ledger_a_guest_that_runs_keeps_its_groups_when_one_with_the_same_machine_name_ends(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    placed(connection)
    (connection.run / "ledger.json").unlink()
    departures.record(connection.run, "w_eb")
    assert settle(connection, "w_eb").outcome == "nothing to do"
    assert sim.exists(GROUP)
    ended(sim)
    assert settle(connection).outcome == "done"
    assert not sim.exists(GROUP)


def test_what_is_no_record_does_not_keep_a_host_from_being_settled(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    shrunk(connection, "L3:0=7f0\n", 0x7FF, 0x7F0)
    (connection.run / "expected" / "directory").mkdir(parents=True)
    assert settle(connection).outcome == "done"
    assert "L3:0=7ff" in sim.read("schemata")


def test_a_record_that_cannot_be_deleted_is_an_error_of_ours(connection: Connection) -> None:
    departures.record(connection.run, "web")
    (record,) = (connection.run / "departed").iterdir()
    record.unlink()
    record.mkdir()
    with pytest.raises(StateFileError, match="cannot delete"):
        departures.forget(connection.run, "web")
