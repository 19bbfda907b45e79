"""libvirt's status files: accepted only if /proc confirms them, and parsed as untrusted input."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachetune.errors import SourceUnavailableError
from cachetune.guests.proc.processes import emulators
from cachetune.guests.sources.libvirt_status import look
from cachetune.guests.sources.sighting import Seen
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, add_process, search, status_xml

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
OTHER = "0d2ef530-2fd9-4b0a-8a0c-5b9b5d1f3b10"
BOOTED = 1_700_000_000


def written(directory: Path, text: str | bytes, name: str = "web.xml", at: float = BOOTED + 1e6) -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """One guest, web: process 40, vCPUs 41 and 42, started 10 seconds after the boot."""
    proc = tmp_path / "proc"
    arguments = ["qemu-kvm", "-name", "guest=web,debug-threads=on", "-uuid", UUID]
    add_process(proc, 40, {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "CPU 1/KVM"}, arguments=arguments)
    (proc / "stat").write_text(f"cpu 1 2 3\nbtime {BOOTED}\n")
    return proc


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def seen(run: Path, proc: Path) -> Seen:
    return look(search(libvirt_run=run, proc=proc))


def test_a_real_process_is_found_with_threads_domain_id_and_live_xml(run: Path) -> None:
    arguments = ["-name", "guest=web", "-uuid", UUID]
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", arguments=arguments) as process:
        vcpus = {0: process.tids["CPU 0/KVM"], 1: process.tids["CPU 1/KVM"]}
        (run / "web.xml").write_text(status_xml("web", UUID.upper(), process.pid, vcpus, "<vcpu>2</vcpu>"))
        found = seen(run, PROC)
    assert found.notes == ()
    (guest,) = found.sightings
    assert (guest.name, guest.uuid, guest.libvirt_id, guest.process.pid) == ("web", UUID, 7, process.pid)
    assert guest.vcpus == vcpus
    assert guest.xml
    assert guest.xml.startswith("<domain type='kvm' id='7'>".replace("'", '"'))
    assert guest.xml.endswith("</domain>")


@pytest.mark.parametrize("name", ["web server", "dömäne", "a&b<c>'d\"", "..dots..", "-lead", "x" * 200, "web.xml"])
def test_a_name_may_be_any_text(name: str, run: Path, tmp_path: Path) -> None:
    add_process(tmp_path / "p", 40, {40: "main"}, arguments=["kvm", "-name", f"guest={name.replace(',', ',,')}"])
    written(run, status_xml(name, UUID, 40, {0: 40}), f"{name}.xml")
    assert [one.name for one in seen(run, tmp_path / "p").sightings] == [name]


def test_one_thread_for_all_vcpus_is_reported_and_identifies_no_vcpu(run: Path, proc: Path) -> None:
    written(run, status_xml("web", UUID, 40, {0: 41, 1: 41}))
    (guest,) = seen(run, proc).sightings
    assert (guest.one_thread, guest.vcpus) == (True, {})


def test_an_ended_thread_is_reported_for_its_vcpu(run: Path, proc: Path) -> None:
    written(run, status_xml("web", UUID, 40, {0: 41, 1: 42, 2: 43}))
    (guest,) = seen(run, proc).sightings
    assert (guest.vcpus, guest.ended) == ({0: 41, 1: 42}, (2,))


def test_a_domain_without_vcpus_has_a_reason(run: Path, proc: Path) -> None:
    written(run, status_xml("web", UUID, 40, {}))
    (guest,) = seen(run, proc).sightings
    assert (guest.vcpus, guest.why_no_vcpus) == ({}, "libvirt's status file lists no vCPU threads")


def test_a_guest_in_libvirts_pid_namespace_is_found_by_its_uuid(run: Path, tmp_path: Path) -> None:
    proc = tmp_path / "p"
    arguments = ["kvm", "-uuid", UUID]
    add_process(proc, 4000, {4000: "m", 4001: "a", 4002: "b"}, arguments=arguments, inside={4000: 5, 4001: 6, 4002: 8})
    add_process(proc, 5, {5: "another program"}, arguments=["sh"])
    written(run, status_xml("web", UUID, 5, {0: 6, 1: 8}))
    (guest,) = seen(run, proc).sightings
    assert (guest.process.pid, guest.vcpus) == (4000, {0: 4001, 1: 4002})


# files that outlived their guest


def test_without_its_process_a_guest_has_ended(run: Path, proc: Path) -> None:
    written(run, status_xml("old", OTHER, 99, {0: 100}), "old.xml")
    found = seen(run, proc)
    assert found.sightings == ()
    assert found.notes == (f"rejected {run}/old.xml: process 99 is not this guest's, so the guest has ended",)


@pytest.mark.parametrize(
    "arguments",
    [["sh"], ["qemu-kvm", "-uuid", OTHER], ["qemu-kvm", "-name", "guest=db"], ["sh", "-uuid", UUID, "-name", "db"]],
)
def test_if_its_pid_was_reused_a_guest_has_ended(arguments: list[str], run: Path, tmp_path: Path) -> None:
    add_process(tmp_path / "p", 40, {40: "main", 41: "other"}, arguments=arguments)
    written(run, status_xml("web", UUID, 40, {0: 41}))
    assert seen(run, tmp_path / "p").sightings == ()


def test_an_emulator_without_name_and_uuid_must_be_older_than_the_file(run: Path, proc: Path) -> None:
    (proc / "40" / "cmdline").write_bytes(b"qemu-kvm\0")
    text = status_xml("web", UUID, 40, {0: 41, 1: 42})
    written(run, text, at=BOOTED + 20)
    assert len(seen(run, proc).sightings) == 1
    written(run, text, at=BOOTED + 5)
    found = seen(run, proc)
    assert found.sightings == ()
    assert "younger than the file" in found.notes[0]


def test_a_changed_clock_does_not_lose_a_guest_whose_uuid_and_threads_match(run: Path, proc: Path) -> None:
    written(run, status_xml("web", UUID, 40, {0: 41, 1: 42}), at=BOOTED - 3600)
    assert len(seen(run, proc).sightings) == 1
    written(run, status_xml("web", UUID, 40, {0: 41, 1: 43}), at=BOOTED - 3600)
    assert seen(run, proc).sightings == (), "a missing thread suggests that the file is old"


# invalid files

BOMB = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
GOOD = status_xml("web", UUID, 40, {0: 41, 1: 42})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not XML"),
        (GOOD[: len(GOOD) // 2], "not XML"),
        ("\0" * 100, "not XML"),
        (BOMB + GOOD.replace("web", "&b;"), "document type declaration"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd">' + GOOD, "document type declaration"),
        ("<domstatus>" + "<a>" * 100_000, "not XML"),
        ("<domain id='7'><name>web</name></domain>", "its root is not <domstatus>"),
        (GOOD.replace("domain", "network"), "it has no <domain>"),
        (GOOD.replace("<name>web</name>", ""), "its <domain> has no name"),
        (GOOD.replace("<name>web</name>", "<name>db</name>"), "it describes guest 'db'"),
        (GOOD.replace("pid='40'", ""), "it names no process"),
        (GOOD.replace("pid='40'", "pid='-40'"), "it names no process"),
        (GOOD.replace("pid='40'", "pid='99999999999999999999'"), "it names no process"),
        (GOOD.replace("pid='40'", "pid='٤٠'"), "it names no process"),
        (b" " * (16 << 20) + GOOD.encode(), "larger than 16 MiB"),
    ],
    ids=range(15),
)
def test_an_invalid_status_file_is_a_note(text: str | bytes, why: str, run: Path, proc: Path) -> None:
    written(run, text)
    found = seen(run, proc)
    assert found.sightings == ()
    assert len(found.notes) == 1
    assert why in found.notes[0]


def test_invalid_vcpus_are_left_out(run: Path, proc: Path) -> None:
    odd = "<vcpu id='x' pid='42'/><vcpu pid='42'/><vcpu id='2'/><vcpu id='3' pid='0'/><vcpu id='4' pid='4 2'/>"
    written(run, GOOD.replace("<vcpus>", f"<vcpus>{odd}"))
    assert seen(run, proc).sightings[0].vcpus == {0: 41, 1: 42}


def test_an_invalid_file_does_not_hide_a_valid_one(run: Path, proc: Path) -> None:
    written(run, GOOD)
    written(run, "<half", "bad.xml")
    (run / "link.xml").symlink_to(run / "web.xml")
    os.mkfifo(run / "pipe.xml")
    (run / "dir.xml").mkdir()
    (run / "web.pid").write_text("40")
    found = seen(run, proc)
    assert [one.name for one in found.sightings] == ["web"]
    assert sorted(note.split(".xml")[0].rpartition("/")[2] for note in found.notes) == ["bad", "dir", "link", "pipe"]


def test_a_link_is_not_followed_even_to_a_valid_file(run: Path, proc: Path, tmp_path: Path) -> None:
    (run / "web.xml").symlink_to(written(tmp_path, GOOD))
    found = seen(run, proc)
    assert (found.sightings, len(found.notes)) == ((), 1)


def test_a_missing_directory_has_no_guests(run: Path, proc: Path) -> None:
    assert seen(run / "nothing", proc) == Seen()


def test_a_file_instead_of_the_directory_is_an_error(run: Path, proc: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="cannot list"):
        seen(written(run, GOOD), proc)


@contextmanager
def nobody() -> Iterator[None]:
    """Run as an unprivileged user."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_file_is_a_note_and_an_unreadable_directory_is_an_error(proc: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        written(run, GOOD).chmod(0o000)
        processes = emulators(proc)
        run.chmod(0o755)
        with nobody():
            found = look(search(processes, libvirt_run=run, proc=proc))
        run.chmod(0o000)
        with nobody(), pytest.raises(SourceUnavailableError, match="cannot list"):
            look(search(processes, libvirt_run=run, proc=proc))
        run.chmod(0o700)
    assert (found.sightings, found.notes) == ((), (f"cannot read {run}/web.xml: only root may",))
