"""Merging the sources: which one wins, what is reported if they disagree, and guests by name."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cachetune.errors import (
    AmbiguousGuestError,
    GuestNotFoundError,
    GuestVcpusUnknownError,
    InputError,
    SourceUnavailableError,
)
from cachetune.guests import RunningGuest
from cachetune.guests.find import guest_named, look, running_guests
from cachetune.guests.merge import combine
from cachetune.guests.proc.processes import emulators
from cachetune.guests.sources import NAMES, SourceName, cgroup, libvirt, threads
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.sources.sighting import Search, Seen, Sighting
from tests.guests.lookalike import add_process, search, status_xml

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
OTHER = "0d2ef530-2fd9-4b0a-8a0c-5b9b5d1f3b10"
KVM = {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "CPU 1/KVM"}
UNNAMED = {40: "qemu-kvm", 41: "qemu-kvm", 42: "qemu-kvm"}
ARGUMENTS = ("qemu-kvm", "-name", "guest=web,debug-threads=on", "-uuid", UUID)


class Machine:
    """A /proc, libvirt's status files and cgroups, all in one directory."""

    def __init__(self, directory: Path) -> None:
        self.source_options = SourceOptions(
            proc=directory / "proc", libvirt_run=directory / "run/qemu", cgroup=directory / "cgroup"
        )
        self.source_options.proc.mkdir()
        self.source_options.libvirt_run.mkdir(parents=True)

    def process(self, threads: Mapping[int, str], arguments: tuple[str, ...] = ARGUMENTS, pid: int = 40) -> None:
        add_process(self.source_options.proc, pid, threads, arguments=arguments)

    def status(self, vcpus: Mapping[int, int], name: str = "web", uuid: str = UUID, pid: int = 40) -> None:
        (self.source_options.libvirt_run / f"{name}.xml").write_text(status_xml(name, uuid, pid, vcpus))

    def cgroups(self, vcpus: Mapping[int, int], number: int = 7, pid: int = 40) -> None:
        scope = f"machine.slice/machine-qemu\\x2d{number}\\x2dweb.scope"
        (self.source_options.proc / str(pid) / "cgroup").write_text(f"0::/{scope}/libvirt/emulator\n")
        for vcpu, tid in vcpus.items():
            directory = self.source_options.cgroup / scope / "libvirt" / f"vcpu{vcpu}"
            directory.mkdir(parents=True)
            (directory / "cgroup.threads").write_text(f"{tid}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def only(machine: Machine, source: SourceName | None = None) -> RunningGuest:
    (guest,) = running_guests(machine.source_options, source)
    return guest


def vcpus(guest: RunningGuest) -> dict[int, int]:
    return {thread.vcpu: thread.tid for thread in guest.guest.threads if thread.vcpu is not None}


def test_the_order_is_the_documented_one() -> None:
    assert NAMES == ("libvirt-status", "libvirt", "qmp", "threads", "cgroup")


def test_sources_that_agree_make_one_guest_without_disagreements(machine: Machine) -> None:
    machine.process(KVM)
    machine.status({0: 41, 1: 42})
    machine.cgroups({0: 41, 1: 42})
    guest = only(machine)
    assert (guest.name, guest.uuid, guest.source, guest.libvirt_id) == ("web", UUID, "libvirt-status", 7)
    assert vcpus(guest) == {0: 41, 1: 42}
    assert [(thread.tid, thread.start_time) for thread in guest.guest.threads] == [(40, 1000), (41, 1000), (42, 1000)]
    assert (guest.guest.pid, guest.disagreements, guest.problem) == (40, (), "")
    assert guest.xml


@pytest.mark.parametrize(
    ("source", "has_xml", "number"), [("libvirt-status", True, 7), ("threads", False, None), ("cgroup", False, 7)]
)
def test_a_single_source_provides_what_it_knows(
    source: SourceName, has_xml: bool, number: int | None, machine: Machine
) -> None:
    machine.process(KVM)
    machine.status({0: 41, 1: 42})
    machine.cgroups({0: 41, 1: 42})
    guest = only(machine, source)
    assert vcpus(guest) == {0: 41, 1: 42}
    assert (guest.source, guest.xml is not None, guest.libvirt_id) == (source, has_xml, number)


def test_threads_come_from_the_first_source_that_knows_them_and_the_others_fill_in(machine: Machine) -> None:
    machine.process(UNNAMED)
    machine.status({})
    machine.cgroups({0: 41, 1: 42})
    guest = only(machine)
    assert (guest.source, vcpus(guest)) == ("cgroup", {0: 41, 1: 42})
    assert guest.xml
    assert guest.problem == ""


def test_different_threads_are_reported_and_the_first_source_wins(machine: Machine) -> None:
    machine.process(KVM)
    machine.status({0: 42, 1: 41})
    machine.cgroups({0: 42})
    guest = only(machine)
    assert vcpus(guest) == {0: 42, 1: 41}
    assert guest.disagreements == (
        "libvirt's status file and its process list different threads for vCPU 0 and vCPU 1: 42 and 41, 41 and 42",
        "libvirt's status file and its cgroup list different threads for vCPU 1: 41 and none",
    )


def test_many_differences_are_counted(machine: Machine) -> None:
    names = {40 + n: f"CPU {n - 1}/KVM" for n in range(1, 11)}
    machine.process({40: "qemu-kvm", **names})
    machine.status({n: 50 - n for n in range(10)})
    (sentence,) = only(machine).disagreements
    assert "vCPU 3 and 6 more: 50 and 41" in sentence


def test_a_different_domain_id_and_an_ended_thread_are_reported(machine: Machine) -> None:
    machine.process(KVM, ("qemu-kvm", "-uuid", UUID))
    machine.status({0: 41, 1: 42, 2: 43})
    machine.cgroups({0: 41, 1: 42}, number=8)
    assert only(machine).disagreements == (
        "libvirt's status file lists threads for vCPU 2 that its process does not have",
        "libvirt's status file gives its domain id as 7, its cgroup as 8",
    )


def test_a_different_uuid_or_name_is_reported(machine: Machine) -> None:
    machine.process(KVM)
    (process,) = emulators(machine.source_options.proc)
    first = Sighting(source="libvirt", process=process, name="web", uuid=UUID, vcpus={0: 41})
    second = Sighting(source="qmp", process=process, name="db", uuid=OTHER, vcpus={0: 41})
    guest = combine([first, second], machine.source_options.proc)
    assert guest
    assert guest.disagreements == (
        "libvirt gives its name as 'web', QEMU's monitor as 'db'",
        f"libvirt gives its uuid as '{UUID}', QEMU's monitor as '{OTHER}'",
    )


def test_a_guest_that_changes_during_the_search_is_looked_at_twice(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.process(KVM)
    machine.status({0: 41, 1: 42})
    asked = []

    def plugged_meanwhile(*source_options: object) -> Seen:
        asked.append(source_options)
        if len(asked) == 1:
            (process,) = emulators(machine.source_options.proc)
            return Seen((Sighting(source="cgroup", process=process, vcpus={0: 41}),))
        return Seen()

    monkeypatch.setattr(cgroup, "look", plugged_meanwhile)
    assert only(machine).disagreements == ()
    assert len(asked) == 2


@pytest.mark.parametrize("threads_too", [False, True])
def test_one_thread_for_all_vcpus_is_refused_even_if_another_source_lists_threads(
    threads_too: bool, machine: Machine
) -> None:
    machine.process({40: "qemu-system-x86", 41: "ALL CPUs/TCG"})
    machine.cgroups({3: 41})
    if threads_too:
        machine.status({0: 41, 1: 41})
    guest = only(machine)
    assert guest.problem == "all its vCPUs run in one thread, so they cannot be tuned individually"
    assert vcpus(guest) == {}
    with pytest.raises(GuestVcpusUnknownError, match="all its vCPUs run in one thread"):
        guest_named("web", machine.source_options)
    assert guest_named("web", machine.source_options, per_vcpu=False) == guest, "enough for groups of the whole process"


def test_unnamed_threads_are_a_problem_with_a_hint(machine: Machine) -> None:
    machine.process(UNNAMED)
    guest = only(machine)
    assert "debug-threads=on" in guest.problem
    with pytest.raises(GuestVcpusUnknownError, match=r"guest 'web' \(process 40\): its threads") as caught:
        guest_named("web", machine.source_options)
    assert "--qmp SOCKET" in caught.value.hint


def test_two_threads_named_after_one_vcpu_identify_neither(machine: Machine) -> None:
    machine.process({40: "qemu-kvm", 41: "CPU 0/KVM", 42: "CPU 0/KVM"})
    assert only(machine).problem == "two of its threads have the name of the same vCPU"


def test_a_process_that_has_ended_or_whose_pid_was_reused_is_not_a_guest(machine: Machine) -> None:
    machine.process(KVM)
    sightings = threads.look(search(proc=machine.source_options.proc)).sightings
    assert combine(sightings, machine.source_options.proc)
    add_process(machine.source_options.proc, 40, KVM, start=2000)
    assert combine(sightings, machine.source_options.proc) is None
    add_process(machine.source_options.proc, 40, KVM, state="Z")
    assert combine(sightings, machine.source_options.proc) is None


# by name


def test_a_guest_is_found_by_its_name_or_uuid_in_any_form(machine: Machine) -> None:
    machine.process(KVM)
    for key in ("web", UUID, UUID.upper(), UUID.replace("-", "")):
        assert guest_named(key, machine.source_options).guest.pid == 40


def test_an_unknown_name_gets_a_suggestion_and_the_notes(machine: Machine) -> None:
    machine.process(KVM)
    (machine.source_options.libvirt_run / "db.xml").write_text("<half")
    with pytest.raises(GuestNotFoundError, match="guest 'wbe' is not running") as caught:
        guest_named("wbe", machine.source_options)
    assert "did you mean 'web'?" in caught.value.hint
    assert "rejected" in caught.value.hint


def test_an_empty_name_does_not_match_guests_without_a_name(machine: Machine) -> None:
    machine.process(KVM, ("qemu-kvm",))
    with pytest.raises(GuestNotFoundError, match="guest '' is not running"):
        guest_named("", machine.source_options)


def test_two_guests_with_one_name_are_refused_with_their_pids(machine: Machine) -> None:
    machine.process(KVM)
    machine.process({50: "kvm", 51: "CPU 0/KVM"}, ("kvm", "-name", "web"), pid=50)
    with pytest.raises(AmbiguousGuestError, match=r"2 guests called 'web': process 40 \(user 0\), process 50 "):
        guest_named("web", machine.source_options)
    assert guest_named(UUID, machine.source_options).guest.pid == 40


def test_libvirts_guest_takes_precedence_over_a_process_that_claims_its_name(machine: Machine) -> None:
    machine.process(KVM)
    machine.status({0: 41, 1: 42})
    machine.process({30: "kvm", 31: "CPU 0/KVM"}, ("kvm", "-name", "web", "-uuid", UUID), pid=30)
    assert guest_named("web", machine.source_options).guest.pid == 40
    assert guest_named(UUID, machine.source_options).guest.pid == 40


# which sources take part


def test_qmp_needs_a_socket(machine: Machine) -> None:
    with pytest.raises(InputError, match="needs a socket") as caught:
        look(machine.source_options, "qmp")
    assert caught.value.hint == "pass --qmp SOCKET"


def test_a_named_socket_that_does_not_answer_is_an_error(machine: Machine, tmp_path: Path) -> None:
    source_options = SourceOptions(
        proc=machine.source_options.proc, libvirt_run=machine.source_options.libvirt_run, qmp=tmp_path / "no"
    )
    with pytest.raises(SourceUnavailableError, match="cannot connect"):
        look(source_options)


def test_an_unreadable_status_directory_is_a_note_unless_requested(machine: Machine) -> None:
    machine.process(KVM)
    source_options = SourceOptions(
        proc=machine.source_options.proc, libvirt_run=machine.source_options.proc / "40" / "stat"
    )
    found = look(source_options)
    assert len(found.guests) == 1
    assert "cannot list" in found.notes[0]
    with pytest.raises(SourceUnavailableError, match="cannot list"):
        look(source_options, "libvirt-status")


@pytest.mark.parametrize(
    ("runs", "told", "installed", "asked"),
    [(True, False, True, True), (False, False, True, False), (True, True, True, False), (True, False, False, False)],
)
def test_libvirts_api_is_used_if_libvirt_runs_and_an_emulator_is_unknown(
    runs: bool, told: bool, installed: bool, asked: bool, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.process(KVM)
    if runs:
        (machine.source_options.libvirt_run.parent / "libvirt-sock-ro").touch()
    if told:
        machine.status({0: 41, 1: 42})
    uris = []

    def answer(search: Search) -> Seen:
        uris.append(search.options.connect)
        raise SourceUnavailableError("libvirt", "no answer")

    monkeypatch.setattr(libvirt, "look", answer)
    monkeypatch.setattr(libvirt, "is_installed", lambda: installed)
    found = look(machine.source_options)
    assert uris == [None] * asked
    assert found.notes == ("source libvirt: no answer",) * asked, "it was not requested"
    source_options = SourceOptions(
        proc=machine.source_options.proc, libvirt_run=machine.source_options.libvirt_run, connect="qemu:///session"
    )
    with pytest.raises(SourceUnavailableError, match="no answer"):
        look(source_options)
