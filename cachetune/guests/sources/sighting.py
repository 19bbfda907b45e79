"""What one source says of one guest, before the sources are held against each other."""

from collections.abc import Iterable, Mapping

import msgspec

from cachetune.guests.model import SourceName
from cachetune.guests.proc.processes import Process


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A guest as ``source`` has it. ``vcpus`` is vCPU to thread, {} where the source does not tell them.

    ``name`` is "", ``uuid``, ``libvirt_id`` and ``xml`` None where it does not tell those. ``one_thread`` says that all
    vCPUs run in one thread, so that nobody can tell them apart; ``why_no_vcpus`` is a sentence for ``vcpus`` being {}.
    ``ended`` are vCPUs for which it names a thread that is none of the process's.
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


class Seen(msgspec.Struct, frozen=True):
    """The answer of one source. ``notes`` are sentences about what it could not read or did not believe."""

    sightings: tuple[Sighting, ...] = ()
    notes: tuple[str, ...] = ()


def share_a_thread(vcpus: Mapping[int, int]) -> bool:
    """Whether two vCPUs are said to run in one thread."""
    return len(set(vcpus.values())) < len(vcpus)


def seen(found: Iterable[Sighting | str]) -> Seen:
    """Sightings and notes as they come, sorted apart."""
    everything = tuple(found)
    return Seen(
        tuple(one for one in everything if isinstance(one, Sighting)),
        tuple(one for one in everything if isinstance(one, str)),
    )
