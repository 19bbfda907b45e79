"""Where the request of a guest that moves is from, and what the planner says about the result."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune import documents
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.errors import DocumentError, InputError
from cachetune.fleet.model import Candidate
from cachetune.fleet.move.model import MoveOptions
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import Options
from cachetune.service.fleet_files import SnapshotFile, read_candidate
from cachetune.service.move import MovedGuest, MoveRequest, move_guest
from cachetune.sim import SimulatedResctrl, load_profile

NODE7 = "examples/node7.json"
SHRINK = Options(shrink_default=True)


def move(b: str, options: Options = SHRINK, a: str = NODE7, **request: object) -> MovedGuest:
    found = read_candidate(SnapshotFile(b))
    assert isinstance(found, Candidate)
    return move_guest(MoveRequest(a=a, b=found, **request), MoveOptions(), options)  # type: ignore[arg-type]


def domain_of(cputune: str, name: str = "web") -> Domain:
    xml = f"<domain type='kvm' id='7'><name>{name}</name><vcpu>2</vcpu><cputune>{cputune}</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain, loaded.findings
    return loaded.domain


def snapshot(path: Path, *groups: str) -> str:
    """A snapshot of a skylake-2s on which these groups have half of the bandwidth."""
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    for group in groups:
        sim.mkdir(group)
        sim.write(f"{group}/schemata", "MB:0=50;1=50\n")
    path.write_bytes(documents.encode(read_host(sim)))
    return str(path)


def test_the_request_is_what_the_groups_have_and_the_result_is_a_tuning_file() -> None:
    moved = move("sim:icelake", guest="web")
    assert (moved.guest, moved.request_from, moved.exit_code, moved.fit.answer) == ("web", "groups", 0, "fits")
    assert "size='6912' unit='KiB'" in moved.a_tuning
    assert "size='9' unit='MiB'" in moved.b_tuning
    assert moved.b_tuning.startswith("<?xml-model ")
    again = load(moved.b_tuning.encode(), "web.xml", vcpus=2)
    assert (again.domain is not None, again.findings) == (True, ())
    assert (moved.a.hostname, moved.b.source) == ("node7", "sim:icelake")


def test_the_only_guest_of_a_snapshot_need_not_be_named() -> None:
    assert move("sim:icelake").guest == "web"


def test_without_room_the_missing_options_are_named() -> None:
    moved = move("sim:icelake", Options(), guest="web")
    assert (moved.exit_code, moved.fit.answer, moved.fit.missing) == (1, "possible", ("--shrink-default",))


def test_what_is_left_out_makes_the_exit_code_1() -> None:
    moved = move("sim:milan", guest="web")
    assert (moved.fit.answer, [lost.rule for lost in moved.lost], moved.exit_code) == ("fits", ["CT232"], 1)


def test_the_request_of_the_guests_xml_counts_and_keeps_its_units() -> None:
    own = domain_of("<cachetune vcpus='0'><cache id='0' level='3' type='both' size='20' unit='%'/></cachetune>")
    moved = move("sim:icelake", domain=own)
    assert (moved.request_from, "size='20' unit='%'" in moved.b_tuning) == ("file", True)
    assert "id=" not in moved.b_tuning.partition("<cachetune")[2].partition(">")[0], (
        "its number on A means nothing on B"
    )


def test_xml_without_a_request_says_where_the_vcpus_of_the_groups_are_pinned() -> None:
    pins = "<vcpupin vcpu='0' cpuset='16'/><vcpupin vcpu='1' cpuset='17'/>"
    moved = move("sim:turin", domain=domain_of(pins))
    assert moved.request_from == "groups"
    assert "<cache id='2' level='3'" in moved.b_tuning
    assert {value.rule for value in moved.values} == {"cpus"}


def test_of_two_programs_groups_of_one_guest_those_of_cachetune_count(tmp_path: Path) -> None:
    both = snapshot(tmp_path / "a.json", "qemu-7-web-vcpus_1", "cachetune-web-vcpus_0")
    moved = move("sim:icelake", a=both, guest="web")
    assert {value.group for value in moved.values} == {"vCPU 0"}
    assert "the groups called qemu-7-web are left out" in moved.notes


def test_a_guest_that_cannot_be_found_is_an_error(tmp_path: Path) -> None:
    two = snapshot(tmp_path / "two.json", "cachetune-web", "cachetune-db")
    with pytest.raises(InputError, match="has groups of 2 guests"):
        move("sim:icelake", a=two)
    with pytest.raises(InputError, match=r"two\.json has no groups of guest 'mail'"):
        move("sim:icelake", a=two, guest="mail")
    with pytest.raises(InputError, match="has no groups of guests"):
        move("sim:icelake", a="sim:milan")
    with pytest.raises(InputError, match="is that of guest 'web', not of 'db'"):
        move("sim:icelake", guest="db", domain=domain_of(""))


def test_a_snapshot_with_impossible_values_is_refused(tmp_path: Path) -> None:
    host = documents.decode(Path(NODE7).read_bytes(), Host, NODE7)
    (cache,) = host.caches
    hostile = replace(host, caches=(replace(cache, size_bytes={0: -1, 1: 0}),))
    (tmp_path / "bad.json").write_bytes(documents.encode(hostile))
    with pytest.raises(DocumentError):
        move("sim:icelake", a=str(tmp_path / "bad.json"), guest="web")
