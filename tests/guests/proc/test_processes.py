"""Emulators in /proc: identified by program or threads, named by their arguments, in any pid namespace."""

import os
import subprocess
import uuid
from pathlib import Path

import pytest

from cachetune.errors import UnreadableFileError
from cachetune.guests.proc.processes import emulators, read_process, tids_at, with_uuid
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, add_process

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"


def test_a_real_process_with_vcpu_threads_is_an_emulator_whatever_its_program() -> None:
    arguments = ["-name", "guest=web,debug-threads=on", "-uuid", UUID.upper()]
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", arguments=arguments) as process:
        (found,) = [one for one in emulators(PROC) if one.pid == process.pid]
    assert (found.name, found.uuid) == ("web", UUID)
    assert found.tids == {process.pid, *process.tids.values()}


def test_other_processes_are_left_out() -> None:
    assert os.getpid() not in {one.pid for one in emulators(PROC)}


@pytest.mark.parametrize(
    ("program", "is_one"),
    [
        ("/usr/bin/qemu-system-x86_64", True),
        ("/usr/libexec/qemu-kvm", True),
        ("kvm", True),
        ("/usr/bin/qemu-img", False),
        ("/usr/sbin/libvirtd", False),
        ("/bin/qemu-system-x86_64/../sh", False),
        ("kvm-clock", False),
    ],
)
def test_the_program_identifies_an_emulator_without_named_threads(program: str, is_one: bool, tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: "main", 41: "worker"}, arguments=[program])
    assert bool(emulators(tmp_path)) is is_one


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["-name", "guest=web,debug-threads=on"], "web"),
        (["-name", "web"], "web"),
        (["-name", "web,debug-threads=on"], "web"),
        (["--name", "debug-threads=on,guest=web"], "web"),
        (["-name", "guest=a,,b=c,process=x"], "a,b=c"),
        (["-name", "guest=web server"], "web server"),
        (["-name", "guest=dömäne"], "dömäne"),
        (["-name", "guest=first", "-name", "guest=last"], "last"),
        (["-name", "debug-threads=on"], ""),
        (["-append", "-name web"], ""),
        (["-name"], ""),
        ([], ""),
    ],
)
def test_the_name_is_the_one_that_qemu_was_given(arguments: list[str], name: str, tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: "main"}, arguments=["qemu-kvm", *arguments])
    assert [one.name for one in emulators(tmp_path)] == [name]


def test_arguments_that_are_not_text_are_harmless(tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: "main"})
    (tmp_path / "40" / "cmdline").write_bytes(b"qemu-kvm\0-name\0guest=\xff\x1b[31m\0-uuid\0\xfe\0")
    (found,) = emulators(tmp_path)
    assert (found.name, found.uuid) == ("\ufffd\x1b[31m", None)


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID),
        (UUID.replace("-", ""), UUID),
        ("00000000-0000-0000-0000-000000000000", None),
        ("web", None),
        ("", None),
    ],
)
def test_a_uuid_is_compared_in_one_form(text: str, uuid: str | None) -> None:
    assert canonical_uuid(text) == uuid


def test_kernel_threads_and_ended_processes_are_left_out(tmp_path: Path) -> None:
    add_process(tmp_path, 2, {2: "CPU 0/KVM"}, arguments=[])
    add_process(tmp_path, 40, {40: "main", 41: "CPU 0/KVM"}, state="Z")
    (tmp_path / "41").mkdir()
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "cmdline").write_bytes(b"qemu-kvm\0")
    (tmp_path / "uptime").touch()
    assert emulators(tmp_path) == ()


def test_a_proc_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"cannot read .*nothing"):
        emulators(tmp_path / "nothing")


def test_two_processes_with_one_uuid_match_nothing(tmp_path: Path) -> None:
    for pid in (40, 50):
        add_process(tmp_path, pid, {pid: "main"}, arguments=["kvm", "-uuid", UUID])
    found = emulators(tmp_path)
    assert with_uuid(UUID, found) is None
    assert with_uuid(UUID, found[:1]) == found[0]
    assert with_uuid(None, found) is None


def test_a_thread_id_of_another_namespace_is_translated(tmp_path: Path) -> None:
    add_process(tmp_path, 4000, {4000: "main", 4001: "CPU 0/KVM"}, inside={4000: 7, 4001: 9})
    (found,) = emulators(tmp_path)
    assert tids_at(found, None, tmp_path) == {7: 4000, 9: 4001}
    assert tids_at(found, 7, tmp_path) == {7: 4000, 9: 4001}
    assert tids_at(found, 4000, tmp_path) == {4000: 4000, 4001: 4001}
    assert tids_at(found, 8, tmp_path) is None


def test_a_thread_that_ends_while_its_ids_are_read_has_no_ids(tmp_path: Path) -> None:
    add_process(tmp_path, 4000, {4000: "main", 4001: "CPU 0/KVM"}, inside={4000: 7, 4001: 9})
    (found,) = emulators(tmp_path)
    (tmp_path / "4000" / "task" / "4001" / "status").unlink()
    assert tids_at(found, None, tmp_path) == {7: 4000}


def test_a_kernel_without_namespaces_has_one_id_per_thread(tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: "main", 41: "CPU 0/KVM"})
    for path in tmp_path.rglob("status"):
        path.write_text("Tgid:\t40\n")
    (found,) = emulators(tmp_path)
    assert tids_at(found, None, tmp_path) == {40: 40, 41: 41}


def need_namespaces() -> list[str]:
    """The command prefix that creates a pid namespace; skips if that is not allowed."""
    words = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid():
        words[1:1] = ["--user", "--map-root-user"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make pid namespaces")
    return words


def test_a_real_process_has_pid_1_in_its_own_namespace() -> None:
    known_by = str(uuid.uuid4())  # the same test may run at the same time
    with NamedThreads("CPU 0/KVM", before=need_namespaces(), arguments=["-uuid", known_by]) as process:
        (found,) = [one for one in emulators(PROC) if one.uuid == known_by]
        inside = tids_at(found, None, PROC)
        (vcpu,) = [thread.tid for thread in found.threads if thread.vcpu == 0]
    assert found.pid != process.pid, "that one is unshare"
    assert inside == {1: found.pid, process.tids["CPU 0/KVM"]: vcpu}


def test_only_a_process_can_be_read() -> None:
    found = read_process(os.getpid(), PROC)
    assert found
    assert found.pid == os.getpid()
    assert read_process(4194305, PROC) is None
    assert read_process(0, PROC) is None
