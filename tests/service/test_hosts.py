"""Connections and hosts: live trees, copies, snapshots and simulated hosts, and the notes about them."""

import io
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune import documents
from cachetune.errors import (
    ApplyRefusedError,
    DocumentError,
    InputError,
    NotMountedError,
    ProfileNotFoundError,
    UnreadableFileError,
)
from cachetune.host import SysfsResctrl
from cachetune.host.model import Identity
from cachetune.host.read import read_host
from cachetune.service import hosts
from cachetune.service.connection import Location, connect, open_resctrl
from cachetune.service.hosts import read_for_planning, read_for_snapshot, read_location
from cachetune.sim import SimulatedResctrl


def test_a_live_tree_is_connected_to(live: Path, tmp_path: Path) -> None:
    made = connect(Location(resctrl=live, run=tmp_path / "run", lock_timeout=2.5))
    assert (made.run, made.lock_timeout, made.resctrl.source) == (tmp_path / "run", 2.5, str(live))


def test_a_copy_of_a_tree_is_not_connected_to(root: Path) -> None:
    with pytest.raises(ApplyRefusedError) as refused:
        connect(Location(resctrl=root))
    assert refused.value.finding.rule == "CT502"


def test_a_directory_without_resctrl_is_not_a_host(tmp_path: Path) -> None:
    with pytest.raises(NotMountedError):
        read_location(Location(resctrl=tmp_path))


def test_a_snapshot_has_no_resctrl_to_read() -> None:
    with pytest.raises(InputError, match="has no counters"):
        open_resctrl(Location(host="node7.json"))


def test_a_simulated_host_is_read_by_name() -> None:
    assert read_location(Location(host="sim:milan")).host.source == "sim:milan"
    with pytest.raises(ProfileNotFoundError):
        read_location(Location(host="sim:milano"))


def test_a_copy_is_read_without_notes(root: Path, sim: SimulatedResctrl) -> None:
    reading = read_location(Location(resctrl=root, sysfs=root))
    assert [group.path for group in reading.host.groups] == [group.path for group in read_host(sim).groups]
    assert reading.notes == ()


def test_only_the_kernels_resctrl_is_that_of_this_machine(
    live: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: Xeon\n")
    for location in (Location(resctrl=live), Location(resctrl=root), Location(host="sim:milan")):
        assert read_for_snapshot(location).host.identity is None
    monkeypatch.setattr(hosts, "is_kernels", lambda _: True)
    reading = read_for_snapshot(Location(resctrl=live, proc=tmp_path, run=tmp_path))
    assert reading.host.identity is not None
    assert reading.host.identity.cpu_model == "Xeon"
    saved = tmp_path / "node7.json"
    saved.write_bytes(documents.encode(reading.host))
    assert read_for_snapshot(Location(host=str(saved))).host == reading.host


@pytest.mark.parametrize(("hours", "said"), [(23, ""), (25, "1 day"), (72, "3 days"), (-5, "")])
def test_planning_on_an_old_snapshot_is_a_note(hours: int, said: str, tmp_path: Path) -> None:
    saved = str(tmp_path / "node7.json")
    identity = Identity(hostname="node7", taken=time.time() - 3600 * hours)
    host = replace(read_location(Location(host="sim:milan")).host, identity=identity)
    Path(saved).write_bytes(documents.encode(host))
    expected = (f"{saved} was saved {said} ago; the host may have changed since",) if said else ()
    assert read_for_planning(Location(host=saved)).notes == expected
    assert read_location(Location(host=saved)).notes == ()


def test_a_held_lock_is_a_note(live: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hosts, "_LOCK_SECONDS", 0.01)
    with SysfsResctrl(live).lock(exclusive=True, timeout=0):
        reading = read_location(Location(resctrl=live, run=tmp_path / "run"))
    (note,) = reading.notes
    assert note.endswith("read without the lock, values may be inconsistent")
    assert reading.host.groups


def test_an_unreadable_ledger_is_a_note(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("rubbish")
    reading = read_location(Location(resctrl=root, run=tmp_path))
    (note,) = reading.notes
    assert note.startswith(f"cannot read {tmp_path}/ledger.json: ")
    assert reading.ledger.guests == {}


@pytest.mark.parametrize("stdin", [False, True])
def test_a_snapshot_is_its_host(
    stdin: bool, sim: SimulatedResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = read_host(sim)
    data = documents.encode(host)
    (tmp_path / "host.json").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    location = Location(host="-" if stdin else str(tmp_path / "host.json"))
    assert read_location(location).host == host
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_for_planning(location).host == host


def test_a_snapshot_must_be_a_readable_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(DocumentError):
        read_location(Location(host=str(tmp_path / "host.json")))
    with pytest.raises(UnreadableFileError) as unreadable:
        read_location(Location(host=str(tmp_path)))
    assert "--resctrl" in unreadable.value.hint
    monkeypatch.setattr(hosts, "_LARGEST_SNAPSHOT", 0)
    with pytest.raises(UnreadableFileError, match="too large"):
        read_location(Location(host=str(tmp_path / "host.json")))
