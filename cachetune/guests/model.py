"""A running guest: its process, and what each of its threads is for."""

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec

from cachetune.guests.sources import SourceName

if TYPE_CHECKING:
    from cachetune.domain.model import Domain

VhostWorker = Literal["thread", "kernel thread"]


class Thread(msgspec.Struct, frozen=True):
    """One thread. ``start_time`` (ticks after boot, /proc/TID/stat field 22) exposes a reused tid; 0 if unknown.

    ``cpus`` is the list of CPUs that the thread of a vCPU may run on ("0-17,36-53"), "" if unknown. ``iothread`` is the
    name of an iothread's object in QEMU. ``vhost`` marks a vhost worker: since Linux 6.4 a thread of the process,
    before that a kernel thread, which is a separate process. Any other thread is one of the emulator's.
    """

    tid: int
    start_time: int = 0
    comm: str = ""
    vcpu: int | None = None
    cpus: str = ""
    iothread: str | None = None
    vhost: VhostWorker | None = None


class Guest(msgspec.Struct, frozen=True):
    """The threads of a guest. ``pid`` None means that only vCPU threads were named.

    ``kinds_known`` is whether every iothread is known, so that the threads without a mark are those of the emulator.
    """

    pid: int | None
    threads: tuple[Thread, ...]
    kinds_known: bool = True

    def without_affinity(self) -> "Guest":
        """The guest without the CPUs that its threads may run on."""
        threads = tuple(msgspec.structs.replace(thread, cpus="") for thread in self.threads)
        return msgspec.structs.replace(self, threads=threads)


class RunningGuest(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A running guest, and ``source``, the one that its vCPU threads come from.

    ``name`` is "" if no source knows it. ``libvirt_id`` is the number in libvirt's machine name, None unless libvirt
    runs the guest. ``xml`` is the live domain XML if libvirt provides it. ``disagreements`` are sentences about
    contradictions between sources; the fields follow ``source``. ``problem`` is a sentence if no source can identify
    the vCPU threads: then no thread has a ``vcpu``, and only groups for the whole process are possible. ``user`` is
    the uid of the process, None if unknown.
    """

    name: str
    uuid: str | None
    source: SourceName
    guest: Guest
    libvirt_id: int | None = None
    xml: str | None = None
    disagreements: tuple[str, ...] = ()
    problem: str = ""
    user: int | None = None

    @property
    def is_unverified(self) -> bool:
        """Whether only the process itself claims to be this guest, which any user can make a process do."""
        return self.xml is None and self.source != "qmp" and self.user != 0

    @cached_property
    def live_domain(self) -> "Domain | None":
        """The domain of the live XML, parsed once; None if it is not available or has errors."""
        from cachetune.domain import load  # needed only where libvirt's XML counts

        return None if self.xml is None else load(self.xml.encode(), self.name, live=True).domain
