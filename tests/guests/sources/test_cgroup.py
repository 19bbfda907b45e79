"""libvirt's cgroups: the layouts of v1 and v2, with and without systemd, and threads that are not vCPUs."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.guests.proc.processes import emulators
from cachetune.guests.sources.cgroup import look
from cachetune.guests.sources.sighting import Sighting
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, add_process, search

SCOPE = "machine-qemu\\x2d3\\x2dweb.scope"
SLICE = f"machine.slice/{SCOPE}"
UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """One guest: process 40, unnamed threads 41 and 42, and a kernel thread 43."""
    proc = tmp_path / "proc"
    add_process(proc, 40, {40: "qemu-kvm", 41: "qemu-kvm", 42: "qemu-kvm", 43: "kvm-nx-lpage-re"})
    return proc


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def put(directory: Path, file: str, *tids: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file).write_text("".join(f"{tid}\n" for tid in tids))


def found(root: Path, proc: Path, line: str) -> Sighting | None:
    (proc / "40" / "cgroup").write_text(line)
    sightings = look(search(cgroup=root, proc=proc)).sightings
    return sightings[0] if sightings else None


@pytest.mark.parametrize(
    ("line", "place", "file"),
    [
        (f"0::/{SLICE}/libvirt/emulator\n", f"{SLICE}/libvirt", "cgroup.threads"),
        (f"0::/{SLICE}/libvirt/emulator\n", f"unified/{SLICE}/libvirt", "cgroup.threads"),
        (f"0::/production.slice/{SCOPE}/emulator\n", f"production.slice/{SCOPE}", "cgroup.threads"),
        (f"4:cpu,cpuacct:/{SLICE}/libvirt/emulator\n", f"cpu,cpuacct/{SLICE}/libvirt", "tasks"),
        (f"4:cpu,cpuacct:/{SLICE}/emulator\n", f"cpuacct/{SLICE}", "tasks"),
        (f"9:name=systemd:/\n3:cpuset:/{SLICE}\n", f"cpuset/{SLICE}", "tasks"),
        ("3:cpu:/machine/qemu-3-web.libvirt-qemu/emulator\n", "cpu/machine/qemu-3-web.libvirt-qemu", "tasks"),
    ],
)
def test_every_layout_of_libvirt_provides_threads_and_domain_id(
    line: str, place: str, file: str, root: Path, proc: Path
) -> None:
    put(root / place / "vcpu0", file, 41)
    put(root / place / "vcpu1", file, 42)
    put(root / place / "emulator", file, 40, 43)
    guest = found(root, proc, line)
    assert guest
    assert (guest.vcpus, guest.libvirt_id, guest.process.pid) == ({0: 41, 1: 42}, 3, 40)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "0::/\n",
        "0::/user.slice/session-1.scope\n",
        f"0::/../../{SLICE}\n",
        f"0::/../cgroup/{SLICE}\n",
        f"0::/\0/{SLICE}\n",
        f"4:cpu\0:/{SLICE}\n",
        f"0::{SLICE}\n",
        "0::/machine.slice/machine-lxc\\x2d3\\x2dweb.scope\n",
        "0::/machine.slice/machine-qemu\\x2dx\\x2dweb.scope\n",
        "what is this\n",
        f"0::/elsewhere/{SCOPE}\n",
    ],
)
def test_a_process_outside_libvirts_cgroups_is_not_seen(line: str, root: Path, proc: Path) -> None:
    put(root / "machine.slice" / SCOPE / "vcpu0", "cgroup.threads", 41)
    assert found(root, proc, line) is None


LINE = f"0::/{SLICE}\n"


def vcpu(root: Path, number: int, *tids: int) -> None:
    put(root / "machine.slice" / SCOPE / "libvirt" / f"vcpu{number}", "cgroup.threads", *tids)


def test_among_several_threads_the_one_with_the_vcpus_name_counts(root: Path, proc: Path) -> None:
    add_process(proc, 40, {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "CPU 1/KVM", 43: "kvm-nx-lpage-re"})
    vcpu(root, 0, 41, 43)
    vcpu(root, 1, 42)
    guest = found(root, proc, LINE)
    assert guest
    assert guest.vcpus == {0: 41, 1: 42}


def test_two_unnamed_threads_identify_no_vcpu(root: Path, proc: Path) -> None:
    vcpu(root, 0, 41, 43)
    guest = found(root, proc, LINE)
    assert guest
    assert (guest.vcpus, guest.why_no_vcpus) == ({}, "its cgroups do not have one thread per vCPU")


def test_threads_of_other_processes_and_lines_without_a_number_are_left_out(root: Path, proc: Path) -> None:
    vcpu(root, 0, 999)
    vcpu(root, 1, 42)
    (root / "machine.slice" / SCOPE / "libvirt" / "vcpu0" / "cgroup.threads").write_text("x\n-41\n 4 1\n")
    (root / "machine.slice" / SCOPE / "libvirt" / "vcpux").mkdir()
    (root / "machine.slice" / SCOPE / "libvirt" / "vcpu2").touch()
    guest = found(root, proc, LINE)
    assert guest
    assert guest.vcpus == {1: 42}


def test_one_thread_in_two_vcpus_is_one_thread_for_all(root: Path, proc: Path) -> None:
    vcpu(root, 0, 41)
    vcpu(root, 1, 41)
    guest = found(root, proc, LINE)
    assert guest
    assert (guest.vcpus, guest.one_thread) == ({}, True)


# a real hierarchy


@pytest.fixture
def threaded() -> Iterator[tuple[Path, Path]]:
    """The cgroup mount, and a machine's directory in a real cgroup2, removed after the test."""
    mounts = re.findall(r"^\S+ (\S+) cgroup2 ", Path("/proc/self/mounts").read_text(), re.MULTILINE)
    if not mounts or not os.access(mounts[0], os.W_OK):
        pytest.skip("there is no cgroup2 that this user may write to")
    root = Path(mounts[0])
    machine = root / f"cachetune-test-{os.getpid()}.slice" / SCOPE
    made = [machine.parent, machine, machine / "libvirt", *(machine / "libvirt" / f"vcpu{n}" for n in (0, 1))]
    try:
        for directory in made:
            directory.mkdir()
        yield root, machine
    except OSError as error:
        pytest.skip(f"this cgroup2 does not allow new groups: {error}")
    finally:
        for directory in reversed(made):
            if directory.exists():
                directory.rmdir()


def test_the_threads_of_a_real_process_in_a_real_hierarchy_are_found(threaded: tuple[Path, Path]) -> None:
    root, machine = threaded
    for number in (0, 1):
        (machine / "libvirt" / f"vcpu{number}" / "cgroup.type").write_text("threaded")
    with NamedThreads("a", "b", arguments=["-uuid", UUID], program="qemu-kvm") as process:
        (machine / "libvirt" / "cgroup.procs").write_text(str(process.pid))
        for number, name in enumerate(("a", "b")):
            (machine / "libvirt" / f"vcpu{number}" / "cgroup.threads").write_text(str(process.tids[name]))
        mine = [one for one in emulators(PROC) if one.pid == process.pid]
        (guest,) = look(search(mine, cgroup=root)).sightings
    assert (guest.vcpus, guest.libvirt_id) == ({0: process.tids["a"], 1: process.tids["b"]}, 3)
