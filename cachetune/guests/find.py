"""Which guests run here: every source is asked, and the first that knows a guest's vCPU threads tells it.

libvirt's API is asked when it was named (``connect``), or when a libvirt runs here whose status files do not tell every
emulator; QMP only where a socket was named, because asking keeps others from the monitor. A guest that changes while
it is looked at makes sources disagree, so what they disagree about is looked at twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from cachetune.errors import (
    AmbiguousGuestError,
    GuestNotFoundError,
    GuestVcpusUnknownError,
    InputError,
    MissingExtraError,
    SourceUnavailableError,
)
from cachetune.guests.merge import combine
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.guests.proc.processes import Process, canonical_uuid, emulators
from cachetune.guests.sources import cgroup, libvirt_api
from cachetune.guests.sources import libvirt_status as status
from cachetune.guests.sources import thread_names as threads
from cachetune.guests.sources.sighting import Seen, Sighting

ORDER: tuple[SourceName, ...] = get_args(SourceName)
"""The sources as they are believed, the first most."""

_SOCKETS = ("libvirt-sock-ro", "virtqemud-sock-ro")


class SourceOptions(msgspec.Struct, frozen=True):
    """Where to look. ``connect`` is libvirt's URI (None for its default), ``qmp`` the socket of one QEMU."""

    proc: Path = Path("/proc")
    libvirt_run: Path = Path("/run/libvirt/qemu")
    cgroup: Path = Path("/sys/fs/cgroup")
    connect: str | None = None
    qmp: Path | None = None


class Running(msgspec.Struct, frozen=True):
    """The guests, ascending by pid, and ``notes``: sentences about what could not be read or was not believed."""

    guests: tuple[RunningGuest, ...] = ()
    notes: tuple[str, ...] = ()


def look(source_options: SourceOptions, source: SourceName | None = None) -> Running:
    """The guests that run; ``source`` asks that one only.

    Raises InputError when /proc cannot be read, or when a source that was asked for (by ``source``, ``connect`` or
    ``qmp``) does not answer.
    """
    found = _look(source_options, source)
    return _look(source_options, source) if any(guest.disagreements for guest in found.guests) else found


def running_guests(source_options: SourceOptions, source: SourceName | None = None) -> tuple[RunningGuest, ...]:
    """The guests that run, without the notes. Raises as ``look`` does."""
    return look(source_options, source).guests


def guest_named(
    key: str, source_options: SourceOptions, source: SourceName | None = None, *, per_vcpu: bool = True
) -> RunningGuest:
    """The guest with this name or uuid.

    A guest that somebody else vouches for goes before one that only calls itself so. ``per_vcpu`` False accepts one
    whose vCPUs nobody tells apart, which is enough for groups of the whole process. Raises InputError when there is
    none, when several have that name, for such a guest, and as ``look`` does.
    """
    running = look(source_options, source)
    uuid = canonical_uuid(key)
    called = [guest for guest in running.guests if (key and guest.name == key) or (uuid and guest.uuid == uuid)]
    found = best_known(called)
    if not found:
        raise GuestNotFoundError(key, [guest.name for guest in running.guests if guest.name], running.notes)
    if len(found) > 1:
        raise AmbiguousGuestError(key, [(guest.guest.pid or 0, guest.user) for guest in found])
    if per_vcpu and found[0].problem:
        raise GuestVcpusUnknownError(key, found[0].guest.pid, found[0].problem, hint=_WITHOUT_VCPUS)
    return found[0]


def best_known(guests: Sequence[RunningGuest]) -> Sequence[RunningGuest]:
    """Of guests that say the same of themselves: those that libvirt tells of, else root's processes, else all.

    A user can have a process say that it is another's guest, so what he starts must not stand in that guest's way.
    """
    by_libvirt = [guest for guest in guests if guest.xml is not None]
    vouched = [guest for guest in guests if not guest.is_only_its_own_word]
    return by_libvirt or vouched or guests


_WITHOUT_VCPUS = "name the threads with --vcpu N=TID, ask QEMU with --qmp SOCKET, or tune the whole process (no vcpus)"


def _look(source_options: SourceOptions, source: SourceName | None) -> Running:
    processes = emulators(source_options.proc)
    answers: list[Seen] = []
    for name in (source,) if source else ORDER:
        if source or _is_worth_asking(name, source_options, processes, answers):
            answers.append(_ask(name, source_options, processes, must=source is not None))
    by_pid: dict[int, list[Sighting]] = {}
    for sighting in (sighting for answer in answers for sighting in answer.sightings):
        by_pid.setdefault(sighting.process.pid, []).append(sighting)
    guests = (combine(sightings, source_options.proc) for _, sightings in sorted(by_pid.items()))
    notes = dict.fromkeys(note for answer in answers for note in answer.notes)
    return Running(tuple(guest for guest in guests if guest), tuple(notes))


def _is_worth_asking(
    name: SourceName, source_options: SourceOptions, processes: Sequence[Process], answers: Sequence[Seen]
) -> bool:
    if name == "qmp":
        return source_options.qmp is not None
    if name != "libvirt" or source_options.connect is not None:
        return True
    told = {sighting.process.pid for answer in answers for sighting in answer.sightings}
    runs = any((source_options.libvirt_run.parent / socket).exists() for socket in _SOCKETS)
    return runs and libvirt_api.is_installed() and any(process.pid not in told for process in processes)


def _ask(name: SourceName, source_options: SourceOptions, processes: Sequence[Process], *, must: bool) -> Seen:
    """Raises InputError where the user has asked for this source, by whatever option; else that is a note."""
    try:
        match name:
            case "libvirt-status":
                return status.look(source_options.libvirt_run, processes, source_options.proc)
            case "libvirt":
                return libvirt_api.look(source_options.connect, processes)
            case "qmp":
                return _ask_qmp(source_options, processes)
            case "threads":
                return threads.look(processes)
            case "cgroup":
                return cgroup.look(source_options.cgroup, processes, source_options.proc)
    except (SourceUnavailableError, MissingExtraError) as error:
        if must or name == "qmp" or (name == "libvirt" and source_options.connect is not None):
            raise
        return Seen(notes=(str(error),))


def _ask_qmp(source_options: SourceOptions, processes: Sequence[Process]) -> Seen:
    from cachetune.guests.sources import qmp  # asyncio, which the others do without, takes long to import

    if source_options.qmp is None:
        raise InputError("the source qmp needs a socket", hint="--qmp SOCKET")
    return qmp.look(source_options.qmp, processes, source_options.proc)
