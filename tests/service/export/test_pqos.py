"""The script for pqos: classes with the masks, the bandwidth and the threads of the groups."""

import re
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.host.model import Host
from cachetune.idset import parse_cpu_list
from cachetune.service.applied import AppliedGuest, applied_guests
from cachetune.service.export import export_guests
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests.service.export.drawn import host_with_guests
from tests.service.test_applied import EMPTY, host_of

RESOURCES = {"llc": "L3", "l2": "L2", "mba": "MB", "mba_max": "MB"}
TYPES = {"": "", "c": "CODE", "d": "DATA"}


def script(host: Host, guests: tuple[AppliedGuest, ...], *, default: bool = True) -> str:
    (text,) = export_guests(guests, host, "pqos", default=default).texts
    return text.text


def classes(text: str, host: Host) -> dict[int, dict[tuple[str, int], int]]:
    """What the script sets, by class: resource and id to value."""
    found: dict[int, dict[tuple[str, int], int]] = {}
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        for item in words[3].split(";") if "-e" in words else ():
            match = re.fullmatch(r"(\w+)(?:@([0-9,-]+))?:(\d+)([cd]?)=(\w+)", item)
            assert match, item
            resource = RESOURCES[match[1]] + TYPES[match[4]]
            every = next((c.size_bytes for c in host.caches if c.name == resource), None)
            ids = parse_cpu_list(match[2]) if match[2] else every or host.bandwidths[0].ids
            values = found.setdefault(int(match[3]), {})
            values.update({(resource, i): int(match[5], 0) for i in ids})
    return found


@settings(max_examples=30)
@given(st.sampled_from(profile_names()), st.integers(0, 10**6))
def test_the_classes_have_the_values_of_the_groups(
    tmp_path_factory: pytest.TempPathFactory, profile: str, seed: int
) -> None:
    host, guests = host_with_guests(profile, seed, tmp_path_factory.mktemp("run"))
    paths = [p for guest in guests for p in guest.groups if (g := host.group(p)) and g.kind == "control"]
    text = script(host, guests)
    found = classes(text, host)
    numbers = {path: int(re.search(rf": {re.escape(path)} is class (\d+)", text)[1]) for path in paths}  # type: ignore[index]
    most = {b.name: b.max_bandwidth for b in host.bandwidths}
    for path, number in numbers.items():
        group = host.group(path)
        assert group
        limits = {(n, i): v for n, i, v in group.bandwidth.entries() if n == "MB" and v != most[n]}
        masks = {(n, i): int(mask) for n, i, mask in group.masks.entries()}
        assert found.get(number, {}) == masks | limits
        threads = re.search(rf"^pqos -I -a 'pid:{number}=(.*)'$", text, re.MULTILINE)
        assert (parse_cpu_list(threads[1]) if threads else frozenset()) == set(group.tids)
    assert all(len(line.split(";")) <= 16 for line in text.splitlines())


def test_classes_in_use_by_pqos_are_skipped(sim: SimulatedResctrl) -> None:
    for path in ("COS1", "COS2", "cachetune-web"):
        sim.mkdir(path)
    sim.write("COS1/tasks", "4711")
    sim.write("cachetune-web/schemata", "MB:0=50\n")
    host = host_of(sim)
    assert "# web: cachetune-web is class 2\n" in script(host, applied_guests(host, EMPTY))


def test_the_default_group_is_class_0_if_it_has_less_than_everything(sim: SimulatedResctrl) -> None:
    host = host_of(sim)
    assert "class 0" not in script(host, ())
    sim.write("schemata", "L3:0=7f8\n")
    host = host_of(sim)
    assert "pqos -I -e 'llc@0:0=0x7f8;llc@1:0=0x7ff'\n" in script(host, ())
    assert "class 0" not in script(host, (), default=False)


def test_a_host_in_mbps_has_mba_max_and_names_its_mount_option() -> None:
    sim = SimulatedResctrl(load_profile("sapphire-rapids-mbps"))
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "MB:0=5000\n")
    host = host_of(sim)
    text = script(host, applied_guests(host, EMPTY))
    assert "mba_max:1=5000'" in text
    assert "# resctrl must be mounted with the options mba_MBps\n" in text


def test_names_cannot_leave_their_comment(tmp_path: Path, sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "MB:0=50\n")
    host = host_of(sim)
    (guest,) = applied_guests(host, EMPTY)
    evil = f"web\ntouch {tmp_path}/touched\r\n'$(touch {tmp_path}/touched)"
    renamed = msgspec.structs.replace(guest, domain=msgspec.structs.replace(guest.domain, name=evil))
    (tmp_path / "pqos").write_text("#!/bin/sh\n")
    (tmp_path / "pqos").chmod(0o755)
    file = tmp_path / "set.sh"
    file.write_text(script(host, (renamed,)))
    subprocess.run(["/bin/sh", "-e", str(file)], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert not (tmp_path / "touched").exists()
    assert [line for line in file.read_text().splitlines() if not line.startswith(("#", "pqos -I -"))] == []


def test_slow_memory_is_left_out_with_one_note() -> None:
    sim = SimulatedResctrl(load_profile("turin"))
    for path in ("cachetune-db", "cachetune-web"):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", "MB:0=128\n")
    host = host_of(sim)
    assert export_guests(applied_guests(host, EMPTY), host, "pqos", default=True).notes == ()
    for path in ("cachetune-db", "cachetune-web", "."):
        sim.write(f"{path}/schemata", "SMBA:0=64\n")
    host = host_of(sim)
    guests = applied_guests(host, EMPTY)
    left_out = "the bandwidth of slow memory (SMBA) is left out, which limits "
    assert export_guests(guests, host, "pqos", default=False).notes == (f"{left_out}cachetune-db and cachetune-web",)
    (note,) = export_guests(guests, host, "pqos", default=True).notes
    assert note == f"{left_out}the default group, cachetune-db and cachetune-web"
    assert "64" not in script(host, guests)


def test_monitor_groups_are_left_out_with_a_note(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "MB:0=50\n")
    sim.mkdir("cachetune-web/mon_groups/cachetune-web-vcpus_0")
    host = host_of(sim)
    notes = export_guests(applied_guests(host, EMPTY), host, "pqos", default=True).notes
    assert notes == ("1 monitor group left out: pqos creates them when it monitors",)
