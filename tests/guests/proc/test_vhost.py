"""vhost workers: threads of the guest's process, or kernel threads that are named after one of its threads."""

from pathlib import Path

import pytest

from cachetune.guests import find_process, is_same_thread
from cachetune.guests.find import running_guests
from cachetune.guests.model import Thread
from cachetune.guests.proc.vhost import with_workers
from cachetune.guests.sources.options import SourceOptions
from tests.guests.lookalike import add_kernel_thread, add_process

THREADS = {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "vhost-40", 43: "IO iothread1"}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    add_process(tmp_path, 40, THREADS, arguments=["qemu-kvm", "-name", "guest=web"], start=1000)
    return tmp_path


def workers(proc: Path) -> dict[int, str | None]:
    (guest,) = running_guests(SourceOptions(proc=proc, libvirt_run=proc, cgroup=proc))
    assert guest.guest.threads == with_workers(find_process(40, proc), proc).threads or guest.guest.pid != 40
    return {thread.tid: thread.vhost for thread in guest.guest.threads if thread.vhost}


def test_a_worker_of_linux_6_4_is_a_thread_of_the_process(proc: Path) -> None:
    assert workers(proc) == {42: "thread"}


def test_an_older_worker_is_a_kernel_thread_that_is_named_after_the_process(proc: Path) -> None:
    add_kernel_thread(proc, 7, "vhost-40", start=1000)
    add_kernel_thread(proc, 99, "vhost-41", start=5000)
    assert workers(proc) == {7: "kernel thread", 42: "thread", 99: "kernel thread"}


@pytest.mark.parametrize("name", ["vhost-39", "vhost-4", "vhost-040x", "xvhost-40", "vhost-", "kworker/0:1"])
def test_other_kernel_threads_are_left_out(name: str, proc: Path) -> None:
    add_kernel_thread(proc, 7, name, start=2000)
    assert workers(proc) == {42: "thread"}


def test_another_users_process_cannot_pass_for_a_worker(proc: Path) -> None:
    add_process(proc, 50, {50: "vhost-40", 51: "vhost-40"}, arguments=["vhost-40"], start=2000, user=1000)
    add_process(proc, 60, {60: "vhost-40"}, arguments=[], start=2000, user=1000)
    assert workers(proc) == {42: "thread"}


def test_a_worker_of_an_earlier_process_with_this_id_is_left_out(proc: Path) -> None:
    add_kernel_thread(proc, 7, "vhost-40", start=999)
    assert workers(proc) == {42: "thread"}


def test_two_guests_get_their_own_workers(proc: Path) -> None:
    add_process(proc, 80, {80: "qemu-kvm", 81: "CPU 0/KVM"}, arguments=["qemu-kvm", "-name", "guest=db"])
    add_kernel_thread(proc, 7, "vhost-40")
    add_kernel_thread(proc, 8, "vhost-80")
    found = running_guests(SourceOptions(proc=proc, libvirt_run=proc, cgroup=proc))
    assert {guest.name: [t.tid for t in guest.guest.threads if t.vhost] for guest in found} == {
        "web": [42, 7],
        "db": [8],
    }


WORKER = Thread(7, 2000, "vhost-40", vhost="kernel thread")


def test_a_kernel_thread_stays_the_same_while_it_serves_the_process(proc: Path) -> None:
    add_kernel_thread(proc, 7, "vhost-40", start=2000)
    assert is_same_thread(WORKER, proc, 40)


def test_a_kernel_thread_is_another_one_if_anything_about_it_differs(proc: Path) -> None:
    assert not is_same_thread(WORKER, proc, 40), "it has ended"
    add_kernel_thread(proc, 7, "vhost-40", start=2001)
    assert not is_same_thread(WORKER, proc, 40), "it has started later"
    add_kernel_thread(proc, 7, "vhost-41", start=2000)
    assert not is_same_thread(WORKER, proc, 40), "it serves another thread"
    add_process(proc, 7, {7: "vhost-40"}, arguments=["vhost-40"], start=2000)
    assert not is_same_thread(WORKER, proc, 40), "it is a user's process"
    add_kernel_thread(proc, 7, "vhost-40", start=2000)
    assert not is_same_thread(WORKER, proc, 80), "it serves another process"
    assert not is_same_thread(WORKER, proc, None), "without a process it serves none"


def test_a_plan_cannot_make_any_kernel_thread_pass_for_a_worker(proc: Path) -> None:
    add_kernel_thread(proc, 7, "kswapd0", start=2000)
    assert not is_same_thread(Thread(7, 2000, "kswapd0", vhost="kernel thread"), proc, 40)


def test_a_worker_may_not_be_older_than_the_thread_that_it_serves(proc: Path) -> None:
    add_kernel_thread(proc, 7, "vhost-40", start=500)
    assert not is_same_thread(Thread(7, 500, "vhost-40", vhost="kernel thread"), proc, 40)
