"""Finding threads in the real /proc, and in a fake one for the other cases."""

import os
import threading
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from cachetune.errors import (
    GuestVcpusUnknownError,
    InputError,
    NotAProcessError,
    ProcessNotFoundError,
    ThreadNotFoundError,
    ZombieProcessError,
)
from cachetune.guests import Thread, find_guest, find_process, is_same_thread, named_threads
from cachetune.idset import format_ids
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC


@pytest.fixture
def qemu() -> Iterator[NamedThreads]:
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", "CPU 10/TCG", "IO mon_iothread", "odd) S 1 (") as process:
        yield process


def test_thread_names_identify_the_vcpus_of_a_real_process(qemu: NamedThreads) -> None:
    guest = find_guest(qemu.pid, PROC)
    assert guest.pid == qemu.pid
    assert {t.vcpu: t.tid for t in guest.threads if t.vcpu is not None} == {
        0: qemu.tids["CPU 0/KVM"],
        1: qemu.tids["CPU 1/KVM"],
        10: qemu.tids["CPU 10/TCG"],
    }
    assert [t.tid for t in guest.threads] == sorted([qemu.pid, *qemu.tids.values()])


def test_parentheses_and_blanks_in_a_name_are_harmless(qemu: NamedThreads) -> None:
    odd = next(t for t in find_guest(qemu.pid, PROC).threads if t.tid == qemu.tids["odd) S 1 ("])
    ordinary = next(t for t in find_guest(qemu.pid, PROC).threads if t.tid == qemu.tids["CPU 0/KVM"])
    assert (odd.comm, odd.vcpu) == ("odd) S 1 (", None)
    assert 0 <= odd.start_time - ordinary.start_time < 1000, "clock ticks, and both started in the last ten seconds"


def test_named_threads_get_their_start_times_and_their_process(qemu: NamedThreads) -> None:
    tid = qemu.tids["IO mon_iothread"]
    guest = named_threads({3: tid}, PROC)
    assert guest.pid == qemu.pid
    assert [(t.tid, t.vcpu, t.comm) for t in guest.threads] == [(tid, 3, "IO mon_iothread")]
    assert is_same_thread(guest.threads[0], PROC)


def test_threads_of_two_processes_have_no_common_pid(qemu: NamedThreads) -> None:
    guest = named_threads({0: qemu.tids["CPU 0/KVM"], 1: threading.get_native_id()}, PROC)
    assert guest.pid is None
    assert len(guest.threads) == 2


def test_an_ended_thread_is_not_the_same() -> None:
    with NamedThreads("CPU 0/KVM") as process:
        thread = find_guest(process.pid, PROC).threads[-1]
        assert is_same_thread(thread, PROC)
    assert not is_same_thread(thread, PROC)


def test_a_reused_tid_is_not_the_same_thread(qemu: NamedThreads) -> None:
    thread = find_guest(qemu.pid, PROC).threads[0]
    assert not is_same_thread(Thread(thread.tid, thread.start_time - 1), PROC)
    assert is_same_thread(Thread(thread.tid, 0), PROC), "an unknown start time is not compared"


def test_a_thread_id_instead_of_a_pid_is_an_error_that_names_the_process(qemu: NamedThreads) -> None:
    with pytest.raises(NotAProcessError, match=f"is a thread of process {qemu.pid}") as caught:
        find_guest(qemu.tids["CPU 0/KVM"], PROC)
    assert caught.value.hint == f"use --pid {qemu.pid}"


def test_a_missing_process_is_an_error() -> None:
    with pytest.raises(ProcessNotFoundError, match="process 4194305 does not exist"):
        find_guest(4194305, PROC)


def test_a_thread_of_another_process_is_not_the_same_even_with_equal_tid_and_start_time(qemu: NamedThreads) -> None:
    thread = find_guest(qemu.pid, PROC).threads[-1]
    assert is_same_thread(thread, PROC, qemu.pid)
    assert not is_same_thread(thread, PROC, os.getpid())


def test_a_zombie_is_an_error() -> None:
    with NamedThreads("CPU 0/KVM") as process:
        thread = find_guest(process.pid, PROC).threads[0]
        process.process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        with pytest.raises(ZombieProcessError, match=f"process {process.pid} has ended"):
            find_process(process.pid, PROC)
        assert not is_same_thread(thread, PROC)


@pytest.mark.parametrize("pid", [0, -1])
def test_an_impossible_pid_is_an_error(pid: int) -> None:
    with pytest.raises(ProcessNotFoundError, match="does not exist"):
        find_process(pid, PROC)


def test_unnamed_threads_must_be_named_by_hand() -> None:
    with NamedThreads("qemu-system-x86", "call_rcu") as process:
        with pytest.raises(GuestVcpusUnknownError, match=r"no thread has a vCPU's name .*, among 3 threads") as caught:
            find_guest(process.pid, PROC)
        assert len(find_process(process.pid, PROC).threads) == 3, "enough for a group of the whole process"
    assert "--vcpu 0=TID" in caught.value.hint


def test_one_thread_for_all_vcpus_cannot_be_tuned_individually() -> None:
    with (
        NamedThreads("ALL CPUs/TCG") as process,
        pytest.raises(GuestVcpusUnknownError, match="all vCPUs run in one thread") as caught,
    ):
        find_guest(process.pid, PROC)
    assert "whole process" in caught.value.hint


def test_a_vcpus_thread_has_the_cpus_that_it_may_run_on() -> None:
    every, last = format_ids(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    with NamedThreads("worker", "CPU 0/KVM", "CPU 1/KVM") as process:
        os.sched_setaffinity(process.tids["CPU 0/KVM"], {last})
        guest = find_guest(process.pid, PROC)
        named = named_threads({0: process.tids["CPU 0/KVM"]}, PROC)
    assert {t.vcpu: t.cpus for t in guest.threads} == {None: "", 0: str(last), 1: every}
    assert named.threads[0].cpus == str(last)
    assert {t.cpus for t in guest.without_affinity().threads} == {""}


def test_a_missing_named_thread_is_an_error() -> None:
    with pytest.raises(ThreadNotFoundError, match="vCPU 2: thread 4194305 does not exist"):
        named_threads({2: 4194305}, PROC)


def test_one_thread_cannot_be_two_vcpus() -> None:
    with pytest.raises(InputError, match="vCPU 0 and vCPU 1 have the same thread 7"):
        named_threads({0: 7, 1: 7}, None)


def test_without_proc_threads_are_accepted_as_named() -> None:
    guest = named_threads({1: 11, 0: 10}, None)
    assert guest.pid is None
    assert [(t.vcpu, t.tid, t.start_time) for t in guest.threads] == [(0, 10, 0), (1, 11, 0)]


STAT = "{tid} ({comm}) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 4 0 {start} 0 0"


def task(fs: FakeFilesystem, pid: int, tid: int, comm: str) -> None:
    fs.create_file(f"/proc/{pid}/task/{tid}/stat", contents=STAT.format(tid=tid, comm=comm, start=tid * 10) + "\n")


def test_threads_that_end_during_the_search_are_left_out(fs: FakeFilesystem) -> None:
    fs.create_file("/proc/40/status", contents="Name:\tqemu\nTgid:\t40\n")
    task(fs, 40, 40, "qemu")
    task(fs, 40, 41, "CPU 0/KVM")
    fs.create_dir("/proc/40/task/42")
    fs.create_file("/proc/40/task/43/stat", contents="43 (half")
    assert [(t.tid, t.start_time, t.vcpu) for t in find_guest(40, PROC).threads] == [(40, 400, None), (41, 410, 0)]


@pytest.mark.parametrize(
    "comm", ["CPU 0/KVM ", "cpu 0/KVM", "CPU x/KVM", "CPU 0/XEN", "CPU 0/KVM/2", "CPU \u0661/KVM", "CPU 123456/KVM"]
)
def test_other_names_are_not_vcpus(comm: str, fs: FakeFilesystem) -> None:
    fs.create_file("/proc/40/status", contents="Tgid:\t40\n")
    task(fs, 40, 40, comm)
    assert find_process(40, PROC).threads[0].vcpu is None
