"""The emulators in /proc: process, name and uuid from the command line, threads.

Any user can start a process with any arguments and thread names, so sources that only root can write are more trusted.
A process that ends during the search is left out, and so is a zombie.

In a pid namespace (a container) an emulator has other ids for its threads than we do. The kernel lists all of them,
ours first, in the NSpid line of ``status``; ``tids_at`` translates.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from cachetune.errors import ProcessNotFoundError, UnreadableFileError
from cachetune.guests.model import Thread
from cachetune.guests.proc.content import content_of
from cachetune.guests.proc.programs import arguments_of, can_be_guest, identity_of, is_qemu
from cachetune.guests.proc.stat import ONE_THREAD, read_stat
from cachetune.guests.proc.threads import find_process
from cachetune.guests.proc.vhost import kernel_workers, processes_in, workers_of


class Process(msgspec.Struct, frozen=True):
    """An emulator. ``name`` is "" and ``uuid`` None if its arguments do not contain them.

    ``threads`` are all its threads by tid; the leader's tid is ``pid``. ``user`` is the effective uid, None if it
    cannot be read. ``workers`` are kernel threads that serve its vhost devices. ``kinds_known`` is whether the names
    of its threads say which are iothreads.
    """

    pid: int
    start_time: int
    name: str
    uuid: str | None
    threads: tuple[Thread, ...]
    user: int | None = None
    workers: tuple[Thread, ...] = ()
    kinds_known: bool = False

    @property
    def tids(self) -> frozenset[int]:
        """The ids of its threads."""
        return frozenset(thread.tid for thread in self.threads)


def emulators(proc: Path) -> tuple[Process, ...]:
    """Return every process with the program name, or the arguments and threads, of an emulator, ascending by pid.

    Raises UnreadableFileError if ``proc`` cannot be listed.
    """
    stats = {pid: read_stat(f"{proc}/{pid}") for pid in processes_in(proc)}
    workers = kernel_workers(stats.items())
    # A kernel thread has no arguments, and on a large host most processes are kernel threads.
    found = (_emulator(pid, proc) for pid, stat in stats.items() if stat is None or not stat.is_kernel_thread)
    return tuple(replace(one, workers=workers_of(one.threads, workers)) for one in found if one)


def read_process(pid: int, proc: Path) -> Process | None:
    """Read any process as if it were an emulator; None if it has ended or is hidden."""
    try:
        guest = find_process(pid, proc)
    except (ProcessNotFoundError, UnreadableFileError):
        return None
    leader = next((thread for thread in guest.threads if thread.tid == pid), None)
    if leader is None:
        return None
    claimed = identity_of(arguments_of(proc / str(pid)))
    return Process(
        pid,
        leader.start_time,
        claimed.name,
        claimed.uuid,
        guest.threads,
        _user(proc / str(pid)),
        kinds_known=guest.kinds_known,
    )


def tids_at(process: Process, pid: int | None, proc: Path) -> dict[int, int] | None:
    """Map thread ids of the pid namespace in which the process has the id ``pid`` to ours.

    ``pid`` None is the process's own namespace, the innermost. None if the process has that id in no namespace.
    """
    task = proc / str(process.pid) / "task"
    # A kernel without namespaces has no such line; neither has a thread that has ended since.
    names = {thread.tid: _names(task / str(thread.tid)) or (thread.tid,) for thread in process.threads}
    own = names.get(process.pid, (process.pid,))
    if pid is not None and pid not in own:
        return None
    level = len(own) - 1 if pid is None else own.index(pid)
    return {all_names[level]: tid for tid, all_names in names.items() if len(all_names) == len(own)}


def with_uuid(wanted: str | None, processes: Iterable[Process]) -> Process | None:
    """The only process with that uuid; None if there is no such process, or more than one."""
    found = [process for process in processes if wanted and process.uuid == wanted]
    return found[0] if len(found) == 1 else None


def _emulator(pid: int, proc: Path) -> Process | None:
    arguments = arguments_of(proc / str(pid))
    looks_so = is_qemu(arguments)
    if not looks_so and not can_be_guest(arguments):
        return None  # QEMU names its threads only with -name, so most processes cost one small file
    process = read_process(pid, proc)
    if process is None or looks_so:
        return process
    return process if any(t.vcpu is not None or t.comm == ONE_THREAD for t in process.threads) else None


def _names(directory: Path) -> tuple[int, ...]:
    """A thread's ids, ours first, the innermost namespace's last; () if there is no such thread or line."""
    return _numbers("NSpid", directory)


def _user(directory: Path) -> int | None:
    """The effective uid. The owner of the directory in /proc is no proof: a process can make it root."""
    real_and_effective = _numbers("Uid", directory)[:2]
    return real_and_effective[1] if len(real_and_effective) > 1 else None


def _numbers(field: str, directory: Path) -> tuple[int, ...]:
    """The numbers in a line of ``status``; () if there is no such thread or line."""
    try:
        text = content_of(f"{directory}/status").decode("utf-8", "replace")
    except OSError:
        return ()
    match = re.search(rf"^{field}:((?:[ \t]+[0-9]+)+)$", text, re.MULTILINE | re.ASCII)
    return tuple(map(int, match[1].split())) if match else ()
