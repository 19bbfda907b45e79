"""Find running guests: ask the sources in order, and merge what they know of each emulator.

A source takes part if ``--source`` or one of its settings requests it, or if it is worth asking. A guest that
changes during the search makes sources disagree, so a disagreement is checked by a second search.
"""

from collections.abc import Sequence

import msgspec

from cachetune.errors import (
    AmbiguousGuestError,
    GuestNotFoundError,
    GuestVcpusUnknownError,
    MissingExtraError,
    SourceUnavailableError,
)
from cachetune.guests import sources
from cachetune.guests.merge import combine
from cachetune.guests.model import RunningGuest
from cachetune.guests.proc.processes import emulators
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.sources.sighting import Search, Seen, Sighting

_WITHOUT_VCPUS = "name the threads with --vcpu N=TID, ask QEMU with --qmp SOCKET, or tune the whole process (no vcpus)"


class Running(msgspec.Struct, frozen=True):
    """The running guests by pid, and ``notes``: sentences about what could not be read or was rejected."""

    guests: tuple[RunningGuest, ...] = ()
    notes: tuple[str, ...] = ()


def look(options: SourceOptions, source: SourceName | None = None) -> Running:
    """Return the running guests. With ``source``, only that source takes part.

    Raises UnreadableFileError if /proc cannot be listed; SourceUnavailableError, MissingExtraError or InputError if a
    requested source does not answer.
    """
    found = _look(options, source)
    return _look(options, source) if any(guest.disagreements for guest in found.guests) else found


def running_guests(options: SourceOptions, source: SourceName | None = None) -> tuple[RunningGuest, ...]:
    """Return the running guests, without the notes. Raises as ``look`` does."""
    return look(options, source).guests


def guest_named(
    key: str, options: SourceOptions, source: SourceName | None = None, *, per_vcpu: bool = True
) -> RunningGuest:
    """Return the running guest with this name or uuid, the most trusted one if several claim it.

    ``per_vcpu`` False accepts a guest whose vCPU threads are unknown, which is enough for groups of the whole process.

    Raises GuestNotFoundError, AmbiguousGuestError, GuestVcpusUnknownError, and as ``look`` does.
    """
    running = look(options, source)
    uuid = canonical_uuid(key)
    called = [guest for guest in running.guests if (key and guest.name == key) or (uuid and guest.uuid == uuid)]
    found = most_trusted(called)
    if not found:
        raise GuestNotFoundError(key, [guest.name for guest in running.guests if guest.name], running.notes)
    if len(found) > 1:
        raise AmbiguousGuestError(key, [(guest.guest.pid or 0, guest.user) for guest in found])
    if per_vcpu and found[0].problem:
        raise GuestVcpusUnknownError(key, found[0].guest.pid, found[0].problem, hint=_WITHOUT_VCPUS)
    return found[0]


def most_trusted(guests: Sequence[RunningGuest]) -> Sequence[RunningGuest]:
    """Return, of guests that claim the same name or uuid, those that libvirt knows, else root's processes, else all.

    Any user can make a process claim to be another user's guest; it must not get in that guest's way.
    """
    of_libvirt = [guest for guest in guests if guest.xml is not None]
    verified = [guest for guest in guests if not guest.is_unverified]
    return of_libvirt or verified or guests


def _look(options: SourceOptions, source: SourceName | None) -> Running:
    processes = emulators(options.proc)
    requested = {source} if source else options.requested
    answers: list[Seen] = []
    for name in (source,) if source else sources.NAMES:
        search = Search(options, processes, tuple(answers))
        if name in requested or sources.load(name).worth_asking(search):
            answers.append(_ask(name, search, must=name in requested))
    by_pid: dict[int, list[Sighting]] = {}
    for sighting in (sighting for answer in answers for sighting in answer.sightings):
        by_pid.setdefault(sighting.process.pid, []).append(sighting)
    guests = (combine(sightings, options.proc) for _, sightings in sorted(by_pid.items()))
    notes = dict.fromkeys(note for answer in answers for note in answer.notes)
    return Running(tuple(guest for guest in guests if guest), tuple(notes))


def _ask(name: SourceName, search: Search, *, must: bool) -> Seen:
    """Ask one source. A failure is raised if the source ``must`` answer, else it is a note."""
    try:
        return sources.load(name).look(search)
    except (SourceUnavailableError, MissingExtraError) as error:
        if must:
            raise
        return Seen(notes=(str(error),))
