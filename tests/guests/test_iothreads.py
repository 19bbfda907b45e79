"""Iothreads: from QEMU's monitor, thread names or libvirt's cgroups, whichever knows them first."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cachetune.guests import RunningGuest, find_process
from cachetune.guests.find import running_guests
from cachetune.guests.proc.processes import emulators
from cachetune.guests.sources import qmp
from cachetune.guests.sources.options import SourceOptions
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, add_process, search
from tests.guests.sources.test_qmp import answering, said

NAMED = {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "IO iothread1", 43: "IO mon_iothread", 44: "worker"}
UNNAMED = dict.fromkeys(NAMED, "qemu-kvm")
SCOPE = "machine.slice/machine-qemu\\x2d7\\x2dweb.scope"


class Machine:
    """A /proc with one QEMU, and its cgroups."""

    def __init__(self, directory: Path) -> None:
        self.options = SourceOptions(proc=directory / "proc", libvirt_run=directory, cgroup=directory / "cgroup")

    def process(self, threads: Mapping[int, str], *words: str) -> None:
        add_process(self.options.proc, 40, threads, arguments=["qemu-kvm", "-name", "guest=web", *words])

    def cgroups(self, names: Mapping[str, str]) -> None:
        (self.options.proc / "40" / "cgroup").write_text(f"0::/{SCOPE}/libvirt/emulator\n")
        for name, tids in names.items():
            directory = self.options.cgroup / SCOPE / "libvirt" / name
            directory.mkdir(parents=True)
            (directory / "cgroup.threads").write_text(tids)

    def guest(self) -> RunningGuest:
        (guest,) = running_guests(self.options)
        return guest


def iothreads(guest: RunningGuest) -> dict[int, str]:
    return {thread.tid: thread.iothread for thread in guest.guest.threads if thread.iothread is not None}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_names_show_the_iothreads_but_not_qemus_own(machine: Machine) -> None:
    machine.process(NAMED)
    assert iothreads(machine.guest()) == {42: "iothread1"}
    assert machine.guest().guest.kinds_known


def test_a_name_that_the_kernel_may_have_cut_off_ends_in_an_ellipsis(machine: Machine) -> None:
    machine.process({**NAMED, 45: "IO iothread-vir", 46: "IO iothread-io1"[:15], 47: "IO io2"})
    assert iothreads(machine.guest()) == {42: "iothread1", 45: "iothread-vir…", 46: "iothread-io1…", 47: "io2"}


def test_without_names_the_kinds_of_threads_are_not_known(machine: Machine) -> None:
    machine.process(UNNAMED)
    assert iothreads(machine.guest()) == {}
    assert not machine.guest().guest.kinds_known
    assert not find_process(40, machine.options.proc).kinds_known


@pytest.mark.parametrize(("name", "known"), [("iothread-123", True), ("iothread-1234", False), ("fädenfürs12", False)])
def test_an_iothread_whose_name_qemu_cannot_set_makes_the_kinds_unknown(
    name: str, known: bool, machine: Machine
) -> None:
    machine.process({**NAMED, 45: "qemu-kvm"}, "-object", f"iothread,id={name}")
    assert machine.guest().guest.kinds_known == known
    assert find_process(40, machine.options.proc).kinds_known == known


def test_cgroups_show_the_iothreads_of_a_qemu_without_names(machine: Machine) -> None:
    machine.process(UNNAMED)
    machine.cgroups({"vcpu0": "41\n", "iothread1": "42\n", "iothread2": "44\n", "emulator": "40\n43\n"})
    assert iothreads(machine.guest()) == {42: "iothread1", 44: "iothread2"}
    assert machine.guest().guest.kinds_known


@pytest.mark.parametrize("inside", ["", "40\n42\n", "4711\n", "x\n"])
def test_a_cgroup_without_exactly_one_thread_of_the_guest_shows_nothing(inside: str, machine: Machine) -> None:
    machine.process(UNNAMED)
    machine.cgroups({"vcpu0": "41\n", "iothread1": inside})
    assert iothreads(machine.guest()) == {}


def test_a_disagreement_about_iothreads_is_reported_and_the_first_source_wins(machine: Machine) -> None:
    machine.process(NAMED)
    machine.cgroups({"vcpu0": "41\n", "iothread1": "44\n"})
    guest = machine.guest()
    assert iothreads(guest) == {42: "iothread1"}
    assert guest.disagreements == ("its process and its cgroup disagree on whether threads 42 and 44 are iothreads",)


def test_the_monitor_knows_the_whole_name_of_an_iothread_without_a_thread_name(tmp_path: Path) -> None:
    with NamedThreads("a", "b", program="qemu-system-x86_64", arguments=["-name", "guest=web"]) as process:
        answers = said({0: process.tids["a"]}, iothreads={"iothread-virtioscsi0": process.tids["b"], "gone": 4194304})
        with answering(tmp_path / "qmp", answers):
            (sighting,) = qmp.look(search(emulators(PROC), qmp=tmp_path / "qmp")).sightings
    assert sighting.iothreads == {process.tids["b"]: "iothread-virtioscsi0"}, "and only threads of the process"
