"""Hold what the sources say of one guest against each other: one value, and sentences where they disagree.

The first source that tells the vCPU threads is believed; name, uuid and XML come from the first that has them. Where
one says that all vCPUs run in one thread, nobody can tell them apart, whatever the others say.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cachetune.errors import ProcessNotFoundError, UnreadableFileError
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.guests.proc.threads import find_process
from cachetune.guests.sources.sighting import Sighting

_WORDS: dict[SourceName, str] = {
    "libvirt-status": "libvirt's status file",
    "libvirt": "libvirt",
    "qmp": "QEMU's monitor",
    "threads": "its process",
    "cgroup": "its cgroup",
}
_ONE_THREAD = "all its vCPUs run in one thread, so they cannot be tuned one by one"
_MOST = 4
"""How many vCPUs are named in one sentence."""


def combine(sightings: Sequence[Sighting], proc: Path) -> RunningGuest | None:
    """The guest that the sightings, all of one process and in the order of trust, are of; None when it has ended."""
    process = sightings[0].process
    try:
        guest = find_process(process.pid, proc)
    except (ProcessNotFoundError, UnreadableFileError):
        return None
    if (process.pid, process.start_time) not in {(t.tid, t.start_time) for t in guest.threads}:
        return None  # its pid is another's by now
    problem = _problem(sightings)
    teller = sightings[0] if problem else next(one for one in sightings if one.vcpus)
    seen = {t.tid: t.start_time for t in process.threads}
    vcpu_of = {} if problem else {(tid, seen.get(tid)): vcpu for vcpu, tid in teller.vcpus.items()}
    threads = tuple(msgspec.structs.replace(t, vcpu=vcpu_of.get((t.tid, t.start_time))) for t in guest.threads)
    return RunningGuest(
        name=next((one.name for one in sightings if one.name), ""),
        uuid=next((one.uuid for one in sightings if one.uuid), None),
        source=teller.source,
        guest=msgspec.structs.replace(guest, threads=threads),
        libvirt_id=next((one.libvirt_id for one in sightings if one.libvirt_id is not None), None),
        xml=next((one.xml for one in sightings if one.xml is not None), None),
        disagreements=tuple(dict.fromkeys(_disagreements(sightings, teller))),
        problem=problem,
        user=process.user,
    )


def _problem(sightings: Sequence[Sighting]) -> str:
    if any(one.one_thread for one in sightings):
        return _ONE_THREAD
    if any(one.vcpus for one in sightings):
        return ""
    return "; ".join(dict.fromkeys(one.why_no_vcpus for one in sightings if one.why_no_vcpus)) or (
        "no source tells the threads of its vCPUs"
    )


def _disagreements(sightings: Sequence[Sighting], teller: Sighting) -> Iterator[str]:
    for one in sightings:
        if one.ended:
            yield f"{_WORDS[one.source]} names threads for {_listed(one.ended)} that its process does not have"
    for field, word in (("name", "name"), ("uuid", "uuid"), ("libvirt_id", "libvirt's number")):
        said = [(one.source, getattr(one, field)) for one in sightings if getattr(one, field) not in ("", None)]
        for source, value in said[1:]:
            if value != said[0][1]:
                yield f"its {word} is {said[0][1]!r} to {_WORDS[said[0][0]]} and {value!r} to {_WORDS[source]}"
    for one in sightings:
        if one.vcpus and one is not teller and (other := _others(teller, one)):
            yield (
                f"{_WORDS[teller.source]} and {_WORDS[one.source]} have different threads for {_listed(other)}: "
                + ", ".join(f"{_tid(teller, vcpu)} and {_tid(one, vcpu)}" for vcpu in other[:_MOST])
            )


def _others(teller: Sighting, one: Sighting) -> tuple[int, ...]:
    """The vCPUs for which two sightings have different threads, or only one of them has a thread."""
    everyone = sorted({*teller.vcpus, *one.vcpus})
    return tuple(vcpu for vcpu in everyone if teller.vcpus.get(vcpu) != one.vcpus.get(vcpu))


def _tid(sighting: Sighting, vcpu: int) -> str:
    return str(sighting.vcpus.get(vcpu, "none"))


def _listed(vcpus: Sequence[int]) -> str:
    shown = ", ".join(f"vCPU {vcpu}" for vcpu in vcpus[:_MOST])
    return shown if len(vcpus) <= _MOST else f"{shown} and {len(vcpus) - _MOST} more"
