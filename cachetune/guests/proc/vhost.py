"""The kernel threads that serve a guest's vhost devices.

Since Linux 6.4 a vhost worker is a thread of the process that set up the device, and is found there. Before, and where
a program requests it (6.17, and later releases of 6.12), it is a kernel thread: a separate process, called ``vhost-``
and the id of the thread that set up the device.

Any process can take that name, so only what the kernel marks as its own thread counts. And that thread must not be
older than the one that it is named after: a worker can outlive the process, whose ids are then used again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from cachetune.errors import UnreadableFileError
from cachetune.guests.model import Guest, Thread
from cachetune.guests.proc.stat import WORKER, Stat, read_stat

Workers = Mapping[int, tuple[Thread, ...]]
"""vhost's kernel threads by the id of the thread that each is named after."""


def processes_in(proc: Path) -> tuple[int, ...]:
    """The ids of all processes, ascending. Raises UnreadableFileError if ``proc`` cannot be listed."""
    try:
        return tuple(sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()))
    except OSError as error:
        raise UnreadableFileError(proc, error.strerror, hint="pass --proc DIR") from None


def kernel_workers(stats: Iterable[tuple[int, Stat | None]]) -> Workers:
    """vhost's workers among processes with their ``stat``."""
    found: dict[int, tuple[Thread, ...]] = {}
    for pid, stat in stats:
        if stat and stat.is_kernel_thread and (match := WORKER.fullmatch(stat.comm)):
            owner = int(match[1])
            worker = Thread(pid, stat.start_time, stat.comm, vhost="kernel thread")
            found[owner] = (*found.get(owner, ()), worker)
    return found


def workers_of(threads: Iterable[Thread], workers: Workers) -> tuple[Thread, ...]:
    """The workers of a process with these threads, ascending by tid."""
    owned = (
        worker for thread in threads for worker in workers.get(thread.tid, ()) if worker.start_time >= thread.start_time
    )
    return tuple(sorted(owned, key=lambda worker: worker.tid))


def with_workers(guest: Guest, proc: Path) -> Guest:
    """The guest with the kernel threads that serve it. Raises UnreadableFileError if ``proc`` cannot be listed."""
    workers = kernel_workers((pid, read_stat(proc / str(pid))) for pid in processes_in(proc))
    known = {thread.tid for thread in guest.threads}
    new = tuple(worker for worker in workers_of(guest.threads, workers) if worker.tid not in known)
    return replace(guest, threads=guest.threads + new) if new else guest


def is_same_worker(worker: Thread, proc: Path, pid: int | None) -> bool:
    """Whether a worker still runs, is the kernel's, and is named after a thread of the process ``pid``."""
    now, match = read_stat(proc / str(worker.tid)), WORKER.fullmatch(worker.comm)
    if pid is None or now is None or match is None or not now.is_kernel_thread:
        return False
    owner = read_stat(proc / str(pid) / "task" / match[1])
    is_after = owner is not None and owner.start_time <= now.start_time
    return is_after and (now.comm, now.start_time) == (worker.comm, worker.start_time)
