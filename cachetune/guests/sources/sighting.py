"""What a source is given and what it answers, before the answers of all sources are merged."""

from collections.abc import Iterable, Mapping

import msgspec

from cachetune.guests.proc.processes import Process
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A guest as ``source`` knows it. ``vcpus`` maps vCPU to thread id, {} if the source does not know the threads.

    ``name`` "" and ``uuid``, ``libvirt_id`` and ``xml`` None are unknown. ``one_thread`` is true if all vCPUs share one
    thread, so that no source can identify them. ``why_no_vcpus`` is a sentence that explains an empty ``vcpus``.
    ``ended`` are vCPUs whose thread, according to the source, does not belong to the process. ``iothreads`` maps thread
    id to the name of the iothread's object, None if the source cannot distinguish them.
    """

    source: SourceName
    process: Process
    name: str = ""
    uuid: str | None = None
    vcpus: Mapping[int, int] = {}
    ended: tuple[int, ...] = ()
    libvirt_id: int | None = None
    xml: str | None = None
    one_thread: bool = False
    why_no_vcpus: str = ""
    iothreads: Mapping[int, str] | None = None


class Seen(msgspec.Struct, frozen=True):
    """The answer of one source. ``notes`` are sentences about what it could not read or rejected."""

    sightings: tuple[Sighting, ...] = ()
    notes: tuple[str, ...] = ()


class Search(msgspec.Struct, frozen=True):
    """What a source is given: the settings, the emulators in /proc, and the answers of the sources before it."""

    options: SourceOptions
    processes: tuple[Process, ...]
    answers: tuple[Seen, ...] = ()

    @property
    def unseen(self) -> tuple[Process, ...]:
        """The emulators that no source before this one has seen."""
        seen_pids = {sighting.process.pid for answer in self.answers for sighting in answer.sightings}
        return tuple(process for process in self.processes if process.pid not in seen_pids)


def share_a_thread(vcpus: Mapping[int, int]) -> bool:
    """Whether two vCPUs have the same thread."""
    return len(set(vcpus.values())) < len(vcpus)


def named_iothreads(process: Process) -> dict[int, str] | None:
    """The iothreads according to thread names; None if not all threads have names."""
    if not process.kinds_known:
        return None
    return {thread.tid: thread.iothread for thread in process.threads if thread.iothread is not None}


def seen(found: Iterable[Sighting | str]) -> Seen:
    """Return the answer made of sightings and notes in any order."""
    everything = tuple(found)
    return Seen(
        tuple(one for one in everything if isinstance(one, Sighting)),
        tuple(one for one in everything if isinstance(one, str)),
    )
