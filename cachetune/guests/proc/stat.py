"""A thread's ``stat`` in /proc, and what its name says: the vCPU, the iothread or the vhost device that it serves.

    4713 (IO iothread1) S 1 4711 …

The name may contain blanks and parentheses, and each process chooses the names of its threads.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cachetune.guests.model import Thread
from cachetune.guests.proc.content import content_of

ONE_THREAD = "ALL CPUs/TCG"
"""The name of the thread that runs every vCPU (TCG with thread=single)."""

WORKER = re.compile(r"vhost-([0-9]{1,10})", re.ASCII)
"""The name of a vhost worker, with the thread that set up the device."""

_VCPU = re.compile(r"CPU ([0-9]{1,5})/(?:KVM|TCG)|(?:vcpu|fc_vcpu |crosvm_vcpu)([0-9]{1,5})", re.ASCII)
_IOTHREAD = "IO "
_OF_THE_MONITOR = "IO mon_iothread"  # QEMU's own, not an object of the guest
_LONGEST = 15  # bytes of a name (TASK_COMM_LEN)
_ENDED = ("Z", "X", "x")  # a zombie is listed until its parent reaps it, which may be never
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of linux/sched.h


class Stat(NamedTuple):
    """The fields of ``stat`` that matter. ``start_time`` is in ticks after boot."""

    comm: str
    start_time: int
    is_kernel_thread: bool


def read_stat(directory: Path | str) -> Stat | None:
    """Read ``stat``; None if there is no such thread, or if it is a zombie."""
    try:
        return parse_stat(content_of(f"{directory}/stat"))
    except OSError:
        return None


def parse_stat(data: bytes) -> Stat | None:
    """Parse the content of ``stat``; None if it is not one, or that of a zombie."""
    text = data.decode("utf-8", "replace")
    try:
        comm, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        flags, start_time = int(fields[6]), int(fields[19])  # fields 9 and 22; the list starts with field 3
    except (ValueError, IndexError):
        return None
    return None if fields[0] in _ENDED else Stat(comm, start_time, bool(flags & _KERNEL_THREAD))


def named_thread(tid: int, stat: Stat) -> Thread:
    """A thread of a guest's process, and what its name says that it is for."""
    match = _VCPU.fullmatch(stat.comm)
    return Thread(
        tid=tid,
        start_time=stat.start_time,
        comm=stat.comm,
        vcpu=int(match[1] or match[2]) if match else None,
        iothread=_iothread(stat.comm),
        vhost="thread" if WORKER.fullmatch(stat.comm) else None,
    )


def have_names(threads: Iterable[Thread], iothreads: Iterable[str]) -> bool:
    """Whether the names of a process's threads say what each is for; ``iothreads`` are those it was started with.

    QEMU names none or all of them, except that it leaves out a name that is too long.
    """
    too_long = any(len(f"{_IOTHREAD}{name}".encode()) > _LONGEST for name in iothreads)
    comms = (thread.comm for thread in threads)
    return not too_long and any(c == ONE_THREAD or c.startswith(_IOTHREAD) or _VCPU.fullmatch(c) for c in comms)


def _iothread(comm: str) -> str | None:
    """The name of the object; "…" at its end if the kernel may have cut it off."""
    if not comm.startswith(_IOTHREAD) or comm == _OF_THE_MONITOR:
        return None
    return comm.removeprefix(_IOTHREAD) + "…" * (len(comm.encode()) >= _LONGEST)
