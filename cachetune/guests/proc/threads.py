"""Find a guest's threads in /proc, and the vCPU that each one runs.

With ``-name guest=…,debug-threads=on``, which libvirt uses, QEMU names its threads ``CPU 0/KVM`` or ``CPU 0/TCG``.
Cloud Hypervisor (``vcpu0``), Firecracker (``fc_vcpu 0``) and crosvm (``crosvm_vcpu0``) always name theirs. Without
names, or with one TCG thread for all vCPUs (``ALL CPUs/TCG``), nothing in /proc identifies the vCPU threads, and the
user must name them. Threads may end during the search. A zombie has ended.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from cachetune.errors import (
    GuestVcpusUnknownError,
    InputError,
    NotAProcessError,
    ProcessNotFoundError,
    ThreadNotFoundError,
    UnreadableFileError,
    ZombieProcessError,
)
from cachetune.guests.model import Guest, Thread
from cachetune.guests.proc.content import content_of
from cachetune.guests.proc.programs import arguments_of, iothreads_in
from cachetune.guests.proc.stat import ONE_THREAD, have_names, named_thread, read_stat
from cachetune.guests.proc.vhost import is_same_worker
from cachetune.text import count

_BY_HAND = "name the threads: --vcpu 0=TID --vcpu 1=TID … (QEMU's query-cpus-fast lists them)"


def find_guest(pid: int, proc: Path) -> Guest:
    """Return all threads of a process whose thread names identify its vCPUs.

    Raises GuestVcpusUnknownError if no thread has the name of a vCPU, and as ``find_process`` does.
    """
    guest = find_process(pid, proc)
    if not any(thread.vcpu is not None for thread in guest.threads):
        raise _no_vcpus(pid, guest.threads)
    return with_affinity(guest, proc)


def find_process(pid: int, proc: Path) -> Guest:
    """Return all threads of a process, ascending by tid; enough for groups of the whole process.

    Raises ProcessNotFoundError if there is no such process, if it has ended (ZombieProcessError), or if ``pid`` is a
    thread of another process (NotAProcessError); UnreadableFileError if this user may not see it.
    """
    leader = _leader(pid, proc)
    if leader is None:
        raise ProcessNotFoundError(pid)
    if leader != pid:
        raise NotAProcessError(pid, leader)
    threads = _threads(pid, proc)
    if not threads:
        raise ZombieProcessError(pid)
    names = iothreads_in(arguments_of(proc / str(pid)))
    return Guest(pid=pid, threads=threads, kinds_known=have_names(threads, names))


def named_threads(vcpus: Mapping[int, int], proc: Path | None) -> Guest:
    """Return a guest of which only the vCPU threads are known, from vCPU number to tid.

    Their start times are read from ``proc``; with None they are 0 (a guest on another host). ``pid`` is set if all
    threads belong to one process.

    Raises ThreadNotFoundError, and InputError if two vCPUs have the same thread.
    """
    by_tid: dict[int, int] = {}
    for vcpu, tid in vcpus.items():
        if by_tid.setdefault(tid, vcpu) != vcpu:
            raise InputError(
                f"vCPU {by_tid[tid]} and vCPU {vcpu} have the same thread {tid}",
                hint="with TCG and thread=single, tune the whole process (no vcpus attribute)",
            )
    if proc is None:
        threads = tuple(Thread(tid=tid, vcpu=vcpu) for vcpu, tid in sorted(vcpus.items()))
        return Guest(pid=None, threads=threads)
    found = tuple(_named_thread(vcpu, tid, proc) for vcpu, tid in sorted(vcpus.items()))
    leaders = {_leader(thread.tid, proc) for thread in found}
    return with_affinity(Guest(pid=leaders.pop() if len(leaders) == 1 else None, threads=found), proc)


def with_affinity(guest: Guest, proc: Path) -> Guest:
    """Return the guest with the CPUs that each vCPU's thread may run on."""
    vcpus = {thread.tid: _cpus(thread.tid, proc) for thread in guest.threads if thread.vcpu is not None}
    return replace(guest, threads=tuple(replace(t, cpus=vcpus.get(t.tid, "")) for t in guest.threads))


def is_same_thread(thread: Thread, proc: Path, pid: int | None = None) -> bool:
    """Whether the thread still runs, in the process ``pid`` if given, and its tid has not been reused.

    If ``start_time`` is 0 (unknown), it is enough that the tid exists. A kernel thread is a separate process, and
    must be a vhost worker of the process ``pid``.
    """
    if thread.vhost == "kernel thread":
        return is_same_worker(thread, proc, pid)
    now = read_thread(proc / str(thread.tid) if pid is None else proc / str(pid) / "task" / str(thread.tid), thread.tid)
    return now is not None and thread.start_time in {0, now.start_time}


def _threads(pid: int, proc: Path) -> tuple[Thread, ...]:
    try:
        tids = sorted(int(name) for name in os.listdir(f"{proc}/{pid}/task") if name.isdecimal())  # noqa: PTH208 - fast
    except FileNotFoundError:
        return ()
    except PermissionError as error:
        raise UnreadableFileError(error.filename, error.strerror, hint="only root may see this process") from None
    found = (read_thread(f"{proc}/{pid}/task/{tid}", tid) for tid in tids)
    return tuple(thread for thread in found if thread)


def _named_thread(vcpu: int, tid: int, proc: Path) -> Thread:
    thread = read_thread(proc / str(tid), tid)
    if thread is None:
        raise ThreadNotFoundError(tid, vcpu)
    return Thread(tid=tid, start_time=thread.start_time, comm=thread.comm, vcpu=vcpu)


def read_thread(directory: Path | str, tid: int) -> Thread | None:
    """Read a thread of a guest's process from its directory; None if there is no such thread, or if it is a zombie."""
    stat = read_stat(directory)
    return None if stat is None else named_thread(tid, stat)


def _leader(tid: int, proc: Path) -> int | None:
    """The process of a thread (Tgid); None if there is no such thread."""
    leader = _status(tid, proc, "Tgid")
    return int(leader) if leader.isdecimal() else None


def _cpus(tid: int, proc: Path) -> str:
    """The CPUs that a thread may run on; "" if it has ended."""
    cpus = _status(tid, proc, "Cpus_allowed_list")
    return cpus if re.fullmatch(r"[0-9,-]+", cpus) else ""


def _status(tid: int, proc: Path, field: str) -> str:
    """A field of a thread's status file; "" if there is no such thread."""
    try:
        status = content_of(f"{proc}/{tid}/status").decode("utf-8", "replace")
    except OSError:
        return ""
    match = re.search(rf"^{field}:\s*(\S+)$", status, re.MULTILINE | re.ASCII)
    return match[1] if match else ""


def _no_vcpus(pid: int, threads: tuple[Thread, ...]) -> GuestVcpusUnknownError:
    if any(thread.comm == ONE_THREAD for thread in threads):
        return GuestVcpusUnknownError(
            "",
            pid,
            f"all vCPUs run in one thread ({ONE_THREAD}), so they cannot be tuned individually",
            hint="start QEMU with KVM or -accel tcg,thread=multi, or tune the whole process (no vcpus attribute)",
        )
    return GuestVcpusUnknownError(
        "",
        pid,
        f"no thread has a vCPU's name (CPU n/KVM or CPU n/TCG), among {count(len(threads), 'thread')}",
        hint=f"start QEMU with -name …,debug-threads=on, or {_BY_HAND}",
    )
