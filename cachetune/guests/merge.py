"""Merge what the sources know of one guest into one value, with sentences about their disagreements.

vCPU threads and iothreads come from the first source that knows them, name, uuid and XML from the first that has them,
vhost workers from /proc. If any source
says that all vCPUs run in one thread, no source can identify them.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from cachetune.errors import ProcessNotFoundError, UnreadableFileError
from cachetune.guests import sources
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.proc.threads import find_process, with_affinity
from cachetune.guests.sources.sighting import Sighting
from cachetune.text import listed

_ONE_THREAD = "all its vCPUs run in one thread, so they cannot be tuned individually"
_MOST = 4
"""How many vCPUs are listed in one sentence."""


def combine(sightings: Sequence[Sighting], proc: Path) -> RunningGuest | None:
    """Merge the sightings of one process, the most trusted first; None if the process has ended."""
    process = sightings[0].process
    try:
        guest = find_process(process.pid, proc)
    except (ProcessNotFoundError, UnreadableFileError):
        return None
    if (process.pid, process.start_time) not in {(t.tid, t.start_time) for t in guest.threads}:
        return None  # another process has its pid by now
    problem = _problem(sightings)
    believed = sightings[0] if problem else next(one for one in sightings if one.vcpus)
    seen = {t.tid: t.start_time for t in process.threads}
    vcpu_of = {} if problem else {(tid, seen.get(tid)): vcpu for vcpu, tid in believed.vcpus.items()}
    iothreads = _iothreads(sightings)
    named = iothreads.iothreads or {} if iothreads else {}
    iothread_of = {(tid, seen.get(tid)): name for tid, name in named.items()}
    threads = (
        msgspec.structs.replace(t, vcpu=vcpu_of.get(key), iothread=iothread_of.get(key))
        for t in guest.threads
        for key in [(t.tid, t.start_time)]
    )
    guest = Guest(guest.pid, (*threads, *process.workers), kinds_known=iothreads is not None)
    return RunningGuest(
        name=next((one.name for one in sightings if one.name), ""),
        uuid=next((one.uuid for one in sightings if one.uuid), None),
        source=believed.source,
        guest=with_affinity(guest, proc),
        libvirt_id=next((one.libvirt_id for one in sightings if one.libvirt_id is not None), None),
        xml=next((one.xml for one in sightings if one.xml is not None), None),
        disagreements=tuple(dict.fromkeys(_disagreements(sightings, believed))),
        problem=problem,
        user=process.user,
    )


def _problem(sightings: Sequence[Sighting]) -> str:
    if any(one.one_thread for one in sightings):
        return _ONE_THREAD
    if any(one.vcpus for one in sightings):
        return ""
    return "; ".join(dict.fromkeys(one.why_no_vcpus for one in sightings if one.why_no_vcpus)) or (
        "no source knows its vCPU threads"
    )


def _iothreads(sightings: Sequence[Sighting]) -> Sighting | None:
    """The first sighting whose source knows which threads are iothreads."""
    return next((one for one in sightings if one.iothreads is not None), None)


def _disagreements(sightings: Sequence[Sighting], believed: Sighting) -> Iterator[str]:
    for one in sightings:
        if one.ended:
            yield f"{_label(one)} lists threads for {_vcpus(one.ended)} that its process does not have"
    for field, word in (("name", "name"), ("uuid", "uuid"), ("libvirt_id", "domain id")):
        said = [(one, getattr(one, field)) for one in sightings if getattr(one, field) not in ("", None)]
        for one, value in said[1:]:
            first, expected = said[0]
            if value != expected:
                yield f"{_label(first)} gives its {word} as {expected!r}, {_label(one)} as {value!r}"
    for one in sightings:
        if one.vcpus and one is not believed and (different := _different(believed, one)):
            yield (
                f"{_label(believed)} and {_label(one)} list different threads for {_vcpus(different)}: "
                + ", ".join(f"{_tid(believed, vcpu)} and {_tid(one, vcpu)}" for vcpu in different[:_MOST])
            )
    known = _iothreads(sightings)
    for one in sightings:
        if known and one.iothreads is not None and (differing := set(known.iothreads or ()) ^ set(one.iothreads)):
            yield f"{_label(known)} and {_label(one)} disagree on whether {_threads(differing)} {_are(differing)}"


def _different(believed: Sighting, one: Sighting) -> tuple[int, ...]:
    """The vCPUs whose threads differ, or that only one of the two has."""
    everyone = sorted({*believed.vcpus, *one.vcpus})
    return tuple(vcpu for vcpu in everyone if believed.vcpus.get(vcpu) != one.vcpus.get(vcpu))


def _tid(sighting: Sighting, vcpu: int) -> str:
    return str(sighting.vcpus.get(vcpu, "none"))


def _vcpus(vcpus: Sequence[int]) -> str:
    return listed([f"vCPU {vcpu}" for vcpu in vcpus], _MOST)


def _threads(tids: Collection[int]) -> str:
    return f"thread{'s' * (len(tids) > 1)} {listed([str(tid) for tid in sorted(tids)], _MOST)}"


def _are(tids: Collection[int]) -> str:
    return "is an iothread" if len(tids) == 1 else "are iothreads"


def _label(sighting: Sighting) -> str:
    return sources.load(sighting.source).LABEL
