"""Groups that libvirt is about to make: counted by every run of ours, for a while."""

from pathlib import Path

import pytest

from cachetune.apply.run import Place
from cachetune.apply.state import ledger
from cachetune.apply.state import reservations as expected
from cachetune.cbm import Cbm
from cachetune.host.model import Group
from cachetune.sim import SimulatedResctrl, load_profile

COMING = Group(path="qemu-3-web-vcpus_0", kind="control", owner="libvirt", masks={"L3": {0: Cbm(3)}})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(SimulatedResctrl(load_profile("skylake-2s")), tmp_path / "run")


def paths(place: Place) -> list[str]:
    return [group.path for group in place.look(ledger.Ledger()).groups]


def test_a_group_that_is_expected_is_seen_with_its_ways(place: Place) -> None:
    expected.announce(place.run, "web", (COMING,))
    host = place.look(ledger.Ledger())
    assert host.group(COMING.path) == COMING
    assert host.closids_used == 2


def test_what_libvirt_has_made_takes_the_place_of_what_was_expected(place: Place) -> None:
    expected.announce(place.run, "web", (COMING,))
    place.resctrl.mkdir(COMING.path)
    found = place.look(ledger.Ledger()).group(COMING.path)
    assert found is not None
    assert found.masks["L3"][0] == 0x7FF
    assert paths(place) == [".", COMING.path]


def test_it_is_forgotten_when_withdrawn(place: Place) -> None:
    expected.announce(place.run, "web", (COMING,))
    expected.announce(place.run, "db", ())
    expected.withdraw(place.run, "db")
    assert paths(place) == [".", COMING.path]
    expected.withdraw(place.run, "web")
    expected.withdraw(place.run, "web")
    assert paths(place) == ["."]


def test_it_lapses_after_a_minute(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    expected.announce(place.run, "web", (COMING,))
    then = expected._now()
    monkeypatch.setattr(expected, "_now", lambda: then + 59)
    assert paths(place) == [".", COMING.path]
    monkeypatch.setattr(expected, "_now", lambda: then + 61)
    assert paths(place) == ["."]


def test_it_lapses_with_the_boot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    expected.announce(place.run, "web", (COMING,))
    monkeypatch.setattr(expected, "boot_id", lambda: "another")
    assert paths(place) == ["."]


@pytest.mark.parametrize("text", ["", "{", '{"boot_id": "", "until": 1e9, "groups": [7]}'])
def test_a_note_that_cannot_be_read_expects_nothing(place: Place, text: str) -> None:
    expected.announce(place.run, "web", (COMING,))
    (note,) = (place.run / "expected").iterdir()
    note.write_text(text)
    assert paths(place) == ["."]


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 300, "", "a/b", "\udcff"])
def test_no_name_of_a_guest_leads_out_of_the_run_directory(place: Place, name: str) -> None:
    expected.announce(place.run, name, (COMING,))
    assert [note.parent for note in place.run.rglob("*.json")] == [place.run / "expected"]
    expected.withdraw(place.run, name)
    assert not list(place.run.rglob("*.json"))
