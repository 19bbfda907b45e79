"""Groups that libvirt is about to make: every run counts them until they expire."""

from pathlib import Path

import pytest

from cachetune.apply.run import Connection
from cachetune.apply.state import per_guest, reservations
from cachetune.apply.state.ledger import Ledger
from cachetune.cbm import Cbm, Masks
from cachetune.errors import StateFileError
from cachetune.host.model import Group
from cachetune.sim import SimulatedResctrl, load_profile

COMING = Group(path="qemu-3-web-vcpus_0", kind="control", owner="libvirt", masks=Masks({"L3": {0: Cbm(3)}}))


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    sim.write("schemata", "L3:0=7f0\n")
    return Connection(sim, tmp_path / "run")


def paths(connection: Connection) -> list[str]:
    return [group.path for group in connection.look(Ledger()).groups]


def test_a_reserved_group_is_seen_with_its_ways(connection: Connection) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    host = connection.look(Ledger())
    assert host.group(COMING.path) == COMING
    assert host.closids_used == 2


def test_a_group_that_libvirt_has_made_replaces_its_reservation(connection: Connection) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    connection.resctrl.mkdir(COMING.path)
    found = connection.look(Ledger()).group(COMING.path)
    assert found is not None
    assert found.masks["L3"][0] == 0x7FF, "what the kernel gives to a new group, and not what was reserved"
    assert paths(connection) == [".", COMING.path]


def test_a_withdrawn_reservation_is_dropped(connection: Connection) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    reservations.reserve(connection.run, "db", ())
    reservations.release(connection.run, "db")
    assert paths(connection) == [".", COMING.path]
    reservations.release(connection.run, "web")
    reservations.release(connection.run, "web")
    assert paths(connection) == ["."]


def test_a_reservation_expires_after_a_minute(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    then = reservations._now()
    monkeypatch.setattr(reservations, "_now", lambda: then + 59)
    assert paths(connection) == [".", COMING.path]
    monkeypatch.setattr(reservations, "_now", lambda: then + 61)
    assert paths(connection) == ["."]


def test_a_reservation_expires_with_the_boot(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    monkeypatch.setattr(per_guest, "boot_id", lambda: "another")
    assert paths(connection) == ["."]


@pytest.mark.parametrize("text", ["", "{", '{"boot_id": "", "until": 1e9, "groups": [7]}'])
def test_an_unreadable_reservation_reserves_nothing(connection: Connection, text: str) -> None:
    reservations.reserve(connection.run, "web", (COMING,))
    (note,) = (connection.run / "expected").iterdir()
    note.write_text(text)
    assert paths(connection) == ["."]


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 300, "", "a/b", "\udcff"])
def test_no_guest_name_leads_out_of_the_run_directory(connection: Connection, name: str) -> None:
    reservations.reserve(connection.run, name, (COMING,))
    assert [note.parent for note in connection.run.rglob("*.json")] == [connection.run / "expected"]
    reservations.release(connection.run, name)
    assert not list(connection.run.rglob("*.json"))


def test_a_reservation_that_cannot_be_written_is_an_error_with_the_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.write_text("a file in the way")
    with pytest.raises(StateFileError) as caught:
        reservations.reserve(run, "web", (COMING,))
    assert Path(caught.value.path).is_relative_to(run)
    assert caught.value.hint


@pytest.mark.parametrize("holder", [".", "COS1"])
def test_a_reservation_of_ways_that_another_group_has_reserves_nothing(connection: Connection, holder: str) -> None:
    """Found by random calls: recover took a group that was never made for one that shared the ways before the run."""
    monitor = Group(path=f"{COMING.path}/mon_groups/x", kind="monitor", owner="libvirt")
    reservations.reserve(connection.run, "web", (COMING, monitor))
    assert paths(connection) == [".", COMING.path, monitor.path]
    if holder != ".":
        connection.resctrl.mkdir(holder)
        connection.resctrl.write(f"{holder}/schemata", "L3:0=002\n")
    else:
        connection.resctrl.write("schemata", "L3:0=7fe\n")
    assert paths(connection) == list(dict.fromkeys([".", holder]))
