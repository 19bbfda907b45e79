"""Guests and snapshots are distinguished by their content, and one that is broken keeps no other from being used."""

import io
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune import documents
from cachetune.host.model import Host, Identity
from cachetune.service.fleet_files import find_files, read_candidates
from tests.fleet.domains import caches, guest_xml
from tests.fleet.random_fleet import random_fleet

(HOST,) = random_fleet(1, profiles=["skylake-2s"])
XML = guest_xml("web", caches("0=2ways")).encode()


def snapshot(path: Path, host: Host = HOST, **identity: object) -> str:
    path.parent.mkdir(exist_ok=True)
    assert host.identity
    named = replace(host, identity=replace(host.identity, **identity))
    path.write_bytes(documents.encode(named))
    return str(path)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    xml, json = tmp_path / "guest.json", Path(snapshot(tmp_path / "host.xml"))
    xml.write_bytes(b"\xef\xbb\xbf\n " + XML)
    found = find_files([str(xml), str(json)])
    assert [guest.domain.name for guest in found.guests] == ["web"]
    assert [each.file for each in found.snapshots] == [str(json)]
    assert not found.unusable


def test_a_tuning_file_is_called_like_its_guest(tmp_path: Path) -> None:
    file = tmp_path / "db-1.xml"
    file.write_text("<cputune>" + caches("0=2ways") + "</cputune>")
    assert find_files([str(file)]).guests[0].domain.name == "db-1"


def test_a_broken_file_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    directory = tmp_path / "hosts"
    for i in range(5):
        snapshot(directory / f"{i}.json", hostname=f"node-{i}")
    (directory / "5.json").write_text('{"schema_version": 1, "groups"')
    (directory / "6.json").write_text("[]")
    (directory / "7.json").symlink_to("nowhere")
    os.mkfifo(directory / "8.json")
    found = find_files([str(directory)])
    read = read_candidates(found.snapshots)
    assert [each.name for each in read.candidates] == [f"node-{i}" for i in range(5)]
    assert [Path(each.file).name for each in read.unusable] == ["5.json", "6.json", "7.json", "8.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"[defaults]", None),
        (b"name: web\n", "neither domain XML nor a snapshot"),
        (b"\x7fELF\0\0", "neither domain XML nor a snapshot"),
        (b"<domain><name>web</name>", None),
        (guest_xml("/..", caches("0=2ways")).encode(), "no characters for a group name"),
    ],
)
def test_what_is_neither_is_refused_by_name(tmp_path: Path, content: bytes, reason: str | None) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    found = find_files([str(file)])
    unusable = (*found.unusable, *read_candidates(found.snapshots).unusable)
    assert [each.file for each in unusable] == [str(file)]
    assert reason is None or reason in unusable[0].reason


def test_a_guest_in_two_files_is_used_once(tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_bytes(XML)
    found = find_files([str(tmp_path / "a.xml"), str(tmp_path / "b.xml")])
    assert len(found.guests) == 1
    assert "a.xml already" in found.unusable[0].reason


def test_standard_input_is_one_guest_or_one_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (XML, documents.encode(HOST)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        found = find_files(["-", "-"])
        read = read_candidates(found.snapshots)
        assert [g.file for g in found.guests] + [c.file for c in read.candidates] == ["<stdin>"]


def test_a_tuning_file_on_standard_input_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"<cputune/>")))
    (unusable,) = find_files(["-"]).unusable
    assert unusable.reason == "it does not name its guest"


def test_simulated_hosts_are_candidates_and_an_unknown_one_is_named() -> None:
    read = read_candidates(find_files(["sim:milan", "sim:nowhere", "sim:milan"]).snapshots)
    assert [each.name for each in read.candidates] == ["sim:milan"]
    assert [each.file for each in read.unusable] == ["sim:nowhere"]


def test_the_newest_snapshot_of_a_host_counts(tmp_path: Path) -> None:
    names = [snapshot(tmp_path / f"{taken}.json", hostname="n1", taken=float(taken)) for taken in (3, 9, 5)]
    read = read_candidates(find_files(names).snapshots)
    assert [(each.name, each.taken) for each in read.candidates] == [("n1", 9.0)]
    assert read.older == {names[1]: (names[0], names[2])}


def test_a_snapshot_without_identity_is_called_like_its_file(tmp_path: Path) -> None:
    file = tmp_path / "node-9.json"
    file.write_bytes(documents.encode(replace(HOST, identity=None)))
    (candidate,) = read_candidates(find_files([str(file)]).snapshots).candidates
    assert (candidate.name, candidate.taken) == ("node-9", None)


def test_a_hostile_host_name_is_only_a_name(tmp_path: Path) -> None:
    name = "\x1b[31m../../etc\n"
    file = tmp_path / "n.json"
    file.write_bytes(documents.encode(replace(HOST, identity=Identity(hostname=name, taken=1.0))))
    assert read_candidates(find_files([str(file)]).snapshots).candidates[0].name == name
