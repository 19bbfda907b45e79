"""Processes that claim to be another user's guest, and reused pids: the right threads are still found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.errors import AmbiguousGuestError, GuestNotFoundError
from cachetune.guests.find import guest_named, look
from cachetune.guests.merge import combine
from cachetune.guests.proc.processes import emulators, read_process
from cachetune.guests.sources import libvirt, threads
from cachetune.guests.sources import libvirt_status as status
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.sources.sighting import Search
from cachetune.service.connection import Location
from cachetune.service.requests import Document, Requests, make_requests
from cachetune.service.select import Selection
from tests.guests.lookalike import PROC, add_process, status_xml

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
WEB = ("qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-uuid", UUID)
LIBVIRTS = "<seclabel type='dynamic' model='dac'><label>+64055:+108</label></seclabel>"
CACHE = "<cache id='0' level='3' type='both' size='1' unit='MiB'/>"
TUNING = f"<cputune><cachetune vcpus='0'>{CACHE}</cachetune></cputune>".encode()


def qemu(proc: Path, pid: int, user: int, start: int = 1000, first: int = 1) -> None:
    add_process(proc, pid, {pid: "qemu", pid + first: "CPU 0/KVM"}, arguments=WEB, user=user, start=start)


@pytest.fixture
def source_options(tmp_path: Path) -> SourceOptions:
    for name in ("proc", "run", "cgroup"):
        (tmp_path / name).mkdir()
    (tmp_path / "proc" / "stat").write_text("btime 1700000000\n")
    return SourceOptions(proc=tmp_path / "proc", libvirt_run=tmp_path / "run" / "qemu", cgroup=tmp_path / "cgroup")


def write_status(source_options: SourceOptions, text: str, name: str = "web") -> None:
    source_options.libvirt_run.mkdir(exist_ok=True)
    path = source_options.libvirt_run / f"{name}.xml"
    path.write_text(text)
    os.utime(path, (1_800_000_000, 1_800_000_000))


def test_the_user_of_a_real_process_is_the_effective_one() -> None:
    asleep = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(asleep, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        found = read_process(process.pid, PROC)
        process.communicate()
    assert found is not None
    assert found.user == os.geteuid()


def request_of_web(source_options: SourceOptions) -> Requests:
    return make_requests(Selection(guest="web", sources=source_options), Document("t.xml", TUNING), Location())


def test_a_users_process_does_not_hide_roots_guest(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=1000)
    qemu(source_options.proc, 50, user=0)
    assert guest_named("web", source_options).guest.pid == 50
    assert guest_named(UUID, source_options).guest.pid == 50


def test_two_users_with_the_same_claim_are_both_refused_by_name(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=1000)
    qemu(source_options.proc, 50, user=64055)
    with pytest.raises(AmbiguousGuestError, match=r"process 40 \(user 1000\), process 50 \(user 64055\)"):
        guest_named("web", source_options)


@pytest.mark.parametrize(("user", "warned"), [(0, False), (1000, True)])
def test_an_unverified_guest_is_tuned_with_a_warning(user: int, warned: bool, source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user)
    found = request_of_web(source_options)
    assert [request.guest and request.guest.pid for request in found.requests] == [40]
    warning = "guest 'web': unverified: only process 40 (user 1000) claims to be this guest"
    assert found.notes == ((warning,) if warned else ())


def test_a_guest_that_libvirt_knows_needs_no_warning(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=64055)
    write_status(source_options, status_xml("web", UUID, 40, {0: 41}, f"<vcpu>1</vcpu>{LIBVIRTS}"))
    found = request_of_web(source_options)
    assert found.requests[0].guest is not None
    assert found.notes == ()


def searching(source_options: SourceOptions) -> Search:
    return Search(source_options, emulators(source_options.proc))


def test_a_process_of_another_user_than_libvirt_chose_is_not_its_guest(source_options: SourceOptions) -> None:
    """Everything else can be forged in a pid namespace while the old file exists: pid, threads, name, uuid."""
    inside = {4000: 40, 4001: 41}
    add_process(source_options.proc, 4000, {4000: "qemu", 4001: "CPU 0/KVM"}, arguments=WEB, inside=inside, user=1000)
    write_status(source_options, status_xml("web", UUID, 40, {0: 41}, LIBVIRTS))
    found = status.look(searching(source_options))
    assert found.sightings == ()
    assert "process 40 is not this guest's" in found.notes[0]
    add_process(source_options.proc, 4000, {4000: "qemu", 4001: "CPU 0/KVM"}, arguments=WEB, inside=inside, user=64055)
    assert status.look(searching(source_options)).sightings


def test_another_users_process_with_the_right_pid_is_not_libvirts_guest(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=1000)
    write_status(source_options, status_xml("web", UUID, 40, {0: 41}, LIBVIRTS))
    found = status.look(searching(source_options))
    assert found.sightings == ()
    assert "process 40 runs as user 1000, not 64055" in found.notes[0]


def test_a_copied_uuid_does_not_hide_libvirts_guest(
    source_options: SourceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = {4000: 40, 4001: 41}
    add_process(source_options.proc, 4000, {4000: "qemu", 4001: "CPU 0/KVM"}, arguments=WEB, inside=inside, user=64055)
    qemu(source_options.proc, 5000, user=1000)
    write_status(source_options, status_xml("web", UUID, 40, {0: 41}, LIBVIRTS))
    (by_file,) = status.look(searching(source_options)).sightings
    monkeypatch.setattr(libvirt, "is_installed", lambda: True)
    monkeypatch.setattr(libvirt, "_bounded", lambda _: [by_file.xml])
    (by_api,) = libvirt.look(searching(source_options)).sightings
    assert (by_file.process.pid, by_api.process.pid) == (4000, 4000)


@pytest.mark.parametrize("label", ["qemu:qemu", "+64055", "64055:108", "", "+x:+1", "+99999999999:+1"])
def test_a_label_without_a_uid_is_ignored(label: str, source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=1000)
    text = status_xml("web", UUID, 40, {0: 41}, LIBVIRTS.replace("+64055:+108", label))
    write_status(source_options, text)
    assert status.look(searching(source_options)).sightings


@pytest.mark.parametrize("first", [1, -1])  # after the pids wrap around, a thread can have a lower id than its process
def test_a_pid_reused_during_the_search_is_not_a_guest(first: int, source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=0, first=first)
    seen = threads.look(searching(source_options)).sightings
    assert combine(seen, source_options.proc) is not None
    qemu(source_options.proc, 40, user=0, start=2000, first=first)
    assert combine(seen, source_options.proc) is None


def test_a_tid_reused_during_the_search_is_not_a_vcpu(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=0)
    seen = threads.look(searching(source_options)).sightings
    stat = source_options.proc / "40" / "task" / "41" / "stat"
    stat.write_text(stat.read_text().replace(" 1000 ", " 1001 "))
    found = combine(seen, source_options.proc)
    assert found is not None
    assert [thread.vcpu for thread in found.guest.threads] == [None, None]


def test_an_empty_name_is_no_guests_name(source_options: SourceOptions) -> None:
    add_process(source_options.proc, 40, {40: "qemu", 41: "CPU 0/KVM"}, arguments=["qemu-kvm"])
    assert [guest.name for guest in look(source_options).guests] == [""]
    with pytest.raises(GuestNotFoundError, match="guest '' is not running"):
        guest_named("", source_options)


def test_a_guest_that_all_guests_leaves_out_is_reported(source_options: SourceOptions) -> None:
    qemu(source_options.proc, 40, user=0)
    write_status(source_options, status_xml("web", UUID, 40, {0: 41}, f"<vcpu>1</vcpu>{TUNING.decode()}"))
    write_status(source_options, "<half", "db")
    found = make_requests(Selection(all_guests=True, sources=source_options), None, Location())
    assert [request.domain.name for request in found.requests] == ["web"]
    assert found.notes[0].startswith(f"rejected {source_options.libvirt_run}/db.xml: ")


def test_control_characters_of_a_process_do_not_reach_the_terminal(source_options: SourceOptions) -> None:
    arguments = ["qemu-kvm", "-name", "guest=a\x1b[2Jb", "-uuid", UUID]
    add_process(source_options.proc, 4000, {4000: "qemu"}, arguments=arguments, inside={4000: 40})
    write_status(source_options, status_xml("web", UUID, 40, {0: 40}))
    (guest,) = look(source_options).guests
    assert guest.disagreements
    assert not [sentence for sentence in guest.disagreements if "\x1b" in sentence]
