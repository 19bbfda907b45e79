"""A running guest: its process, and which thread is which vCPU."""

import msgspec

from cachetune.guests.sources import SourceName


class Thread(msgspec.Struct, frozen=True):
    """One thread. ``start_time`` (ticks after boot, /proc/TID/stat field 22) exposes a reused tid; 0 if unknown.

    ``cpus`` is the list of CPUs that the thread of a vCPU may run on ("0-17,36-53"), "" if unknown.
    """

    tid: int
    start_time: int = 0
    comm: str = ""
    vcpu: int | None = None
    cpus: str = ""


class Guest(msgspec.Struct, frozen=True):
    """The threads of a guest. ``pid`` None means that only vCPU threads were named."""

    pid: int | None
    threads: tuple[Thread, ...]

    def without_affinity(self) -> "Guest":
        """The guest without the CPUs that its threads may run on."""
        return Guest(self.pid, tuple(msgspec.structs.replace(thread, cpus="") for thread in self.threads))


class RunningGuest(msgspec.Struct, frozen=True, kw_only=True):
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
