"""A running guest: its process and which thread is which vCPU."""

from typing import Literal

import msgspec


class Thread(msgspec.Struct, frozen=True):
    """One thread. ``start_time`` (ticks after boot, /proc/TID/stat field 22) tells a reused tid; 0 if unknown."""

    tid: int
    start_time: int = 0
    comm: str = ""
    vcpu: int | None = None


class Guest(msgspec.Struct, frozen=True):
    """The threads of a guest. ``pid`` is None when only vCPU threads were named."""

    pid: int | None
    threads: tuple[Thread, ...]


SourceName = Literal["libvirt-status", "libvirt", "qmp", "threads", "cgroup"]


class RunningGuest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that runs, and who told so.

    ``name`` is "" where nothing tells it. ``libvirt_id`` is the number in libvirt's machine name, None where libvirt
    does not run the guest. ``xml`` is the live domain XML where libvirt tells it. ``disagreements`` are sentences about
    sources that say different things; the guest is as ``source`` has it. ``problem`` is a sentence where nothing tells
    its vCPUs apart: no thread has a ``vcpu`` then, and only groups of the whole process can be had. ``user`` is the uid
    that its process has, None where that is not known.
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
    def is_only_its_own_word(self) -> bool:
        """Whether nobody but a process of some user says which guest this is: any user can start one that says so."""
        return self.xml is None and self.source != "qmp" and self.user != 0
