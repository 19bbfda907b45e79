"""Selections and readings: which groups belong to which guest, and what is refused."""

from pathlib import Path

import pytest

from cachetune.errors import HostError, InputError, InvalidDomainError
from cachetune.guests.model import Guest, RunningGuest
from cachetune.host.read import read_host
from cachetune.service import select
from cachetune.service.connection import Location
from cachetune.service.readings import read_monitors
from cachetune.service.requests import Document
from cachetune.service.select import Selection, doubts_about, select_groups, select_guests, warnings_about
from cachetune.sim import SimulatedResctrl

GROUPS = ("cachetune-web-vcpus_0", "cachetune-webb-vcpus_0", "qemu-3-web-vcpus_1", "COS1")


@pytest.fixture
def grouped(sim: SimulatedResctrl) -> SimulatedResctrl:
    for name in GROUPS:
        sim.mkdir(name)
    return sim


def running(**fields: object) -> RunningGuest:
    return RunningGuest(**{"name": "web", "uuid": None, "source": "threads", "guest": Guest(7, ()), **fields})  # type: ignore[arg-type]


def test_without_a_guest_the_default_group_and_those_of_libvirt_and_cachetune_are_selected(
    grouped: SimulatedResctrl,
) -> None:
    assert set(select_groups(read_host(grouped), Selection()).paths) == {".", *GROUPS[:3]}


def test_a_machine_name_selects_its_groups_only(grouped: SimulatedResctrl) -> None:
    assert select_groups(read_host(grouped), Selection(machine_name="cachetune-web")).paths == GROUPS[:1]


@pytest.mark.parametrize(("libvirt_id", "groups"), [(None, GROUPS[:1]), (3, (GROUPS[0], GROUPS[2]))])
def test_a_running_guest_selects_its_groups_and_libvirts(
    libvirt_id: int | None, groups: tuple[str, ...], grouped: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = running(libvirt_id=libvirt_id)
    monkeypatch.setattr(select, "guest_named", lambda *_, **__: guest)
    assert select_groups(read_host(grouped), Selection(guest="web")).paths == groups


def test_an_unknown_machine_name_is_refused_with_those_that_exist(grouped: SimulatedResctrl) -> None:
    with pytest.raises(InputError, match="no groups of 'cachetune-db'") as refused:
        select_groups(read_host(grouped), Selection(machine_name="cachetune-db"))
    assert refused.value.hint == "groups exist for cachetune-web, cachetune-webb, qemu-3-web"


def test_an_empty_selection_has_no_guests() -> None:
    assert Selection().is_empty
    assert not Selection(pid=7).is_empty
    assert select_guests(Selection()).guests == ()


def test_doubts_are_disagreements_and_unverified_names() -> None:
    assert doubts_about(running(user=0)) == ()
    assert doubts_about(running(user=1000)) == ("unverified: only process 7 (user 1000) claims to be this guest",)
    assert warnings_about(running(user=0, disagreements=("2 vCPUs or 4",))) == ("guest 'web': 2 vCPUs or 4",)


def test_the_counters_of_a_tree_are_read_with_its_notes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("rubbish")
    found = read_monitors(Location(resctrl=root, run=tmp_path), Selection())
    assert [reading.path for reading in found.readings.monitors] == ["."]
    assert len(found.notes) == 1


def test_a_host_without_monitoring_is_refused() -> None:
    with pytest.raises(HostError, match="no monitoring"):
        read_monitors(Location(host="sim:allocation-only"), Selection())


def test_doubts_about_a_selected_guest_come_with_its_groups(
    grouped: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "guest_named", lambda *_, **__: running(user=1000))
    found = select_groups(read_host(grouped), Selection(guest="web"))
    assert found.notes == ("guest 'web': unverified: only process 7 (user 1000) claims to be this guest",)


def test_invalid_xml_is_refused_with_its_findings() -> None:
    with pytest.raises(InvalidDomainError) as refused:
        read_monitors(Location(host="sim:skylake-2s"), Selection(), Document("web.xml", b"<domain"))
    assert [finding.rule for finding in refused.value.findings] == ["CT001"]
