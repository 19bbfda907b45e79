"""The state of running guests: whether tuning is requested for each, and whether the host matches the request.

The request is the guest's tuning file if there is one, else its live XML. A host matches if the plan has no steps.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.domain import Loaded, load
from cachetune.errors import CachetuneError, HostError, InputError, PlanRefusedError, ResctrlError
from cachetune.findings import Finding
from cachetune.guests.find import look
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources import SourceName
from cachetune.guests.tuning_files import tuning_of as read_tuning_file
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.plan.build import plan_guests
from cachetune.plan.model import Summary
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.service.requests import live_domain
from cachetune.service.select import Selection
from cachetune.units import ROUNDINGS, Rounding

TuningState = Literal["unknown", "none", "applied", "drifted", "refused", "invalid", "no resctrl"]


class Tuning(msgspec.Struct, frozen=True, rename={"requested_by": "asker"}):
    """The request for one guest and its state.

    ``unknown``: the guest's XML is not available; ``none``: it requests nothing; ``applied``: the host matches;
    ``drifted``: it differs, and ``summary`` counts what apply would do; ``refused``: the request cannot be planned;
    ``invalid``: the XML has errors; ``no resctrl``: there is no host to compare with. ``why`` are sentences.
    ``requested_by`` ("asker" in JSON) is a tuning file or libvirt's live XML, None without a request.
    """

    state: TuningState
    requested_by: Literal["file", "libvirt"] | None = None
    machine_name: str | None = None
    summary: Summary | None = None
    why: tuple[str, ...] = ()


class GuestState(msgspec.Struct, frozen=True, kw_only=True):
    """One running guest. ``vcpus`` maps vCPUs to thread ids; ``groups`` are the groups that hold any of its threads.

    ``iothreads`` maps the names of iothreads to thread ids, ``vhost`` are the ids of its vhost workers.
    The other fields are those of RunningGuest.
    """

    name: str
    uuid: str | None
    pid: int | None
    user: int | None
    source: SourceName
    libvirt_id: int | None
    vcpus: dict[int, int]
    tuning: Tuning
    groups: tuple[str, ...]
    disagreements: tuple[str, ...] = ()
    problem: str = ""
    iothreads: dict[str, int] = {}
    vhost: tuple[int, ...] = ()


class Guests(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``cachetune guests --json``. ``notes`` are warnings about sources that could not be read."""

    schema_version: Literal[1] = 1
    guests: tuple[GuestState, ...]
    notes: tuple[str, ...] = ()


def guest_states(location: Location, selection: Selection, guests_d: Path) -> Guests:
    """The state of every running guest. Without resctrl, only the tuning cannot be compared.

    Raises what ``guests.find.look`` raises.
    """
    running = look(selection.sources, selection.source)
    host, host_notes = _host_of(location)
    files, unreadable = _files_of(running.guests, guests_d)
    guests = tuple(state_of(guest, host, files.get(guest.name)) for guest in running.guests)
    if host is None and not any(guest.tuning.state == "no resctrl" for guest in guests):
        host_notes = ()  # there was nothing to compare
    return Guests(guests=guests, notes=(*running.notes, *unreadable, *host_notes))


def state_of(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> GuestState:
    """The state of a guest on a host (None without resctrl), with its tuning file if it has one."""
    threads = running.guest.threads
    return GuestState(
        name=running.name,
        uuid=running.uuid,
        pid=running.guest.pid,
        user=running.user,
        source=running.source,
        libvirt_id=running.libvirt_id,
        vcpus={thread.vcpu: thread.tid for thread in threads if thread.vcpu is not None},
        tuning=tuning_of(running, host, file),
        groups=_groups_with(frozenset(thread.tid for thread in threads), host),
        disagreements=running.disagreements,
        problem=running.problem,
        iothreads={thread.iothread: thread.tid for thread in threads if thread.iothread is not None},
        vhost=tuple(thread.tid for thread in threads if thread.vhost),
    )


def tuning_of(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> Tuning:
    """The request of a guest, and whether the host matches it. The arguments are those of ``state_of``."""
    if file is None and running.xml is None:
        return Tuning("unknown")
    requested_by: Literal["file", "libvirt"] = "libvirt" if file is None else "file"
    loaded = file or load((running.xml or "").encode(), running.name, live=True)
    if loaded.domain is None:
        return Tuning("invalid", requested_by, why=_errors(loaded.findings))
    if not loaded.domain.groups:
        return Tuning("none", requested_by)
    try:
        request = GuestRequest(loaded.domain, running.guest)
        return _compared(request, running, host, Tuning("applied", requested_by, request.machine))
    except PlanRefusedError as refused:
        return Tuning("refused", requested_by, why=_errors(refused.findings))
    except CachetuneError as error:
        return Tuning("refused", requested_by, why=(str(error),))


def _host_of(location: Location) -> tuple[Host | None, tuple[str, ...]]:
    """The host and the warnings about it, or None and the reason."""
    try:
        reading = read_location(location)
    except (InputError, HostError, ResctrlError) as error:
        return None, (f"tuning cannot be compared: {error}",)
    return reading.host, reading.notes


def _files_of(guests: Iterable[RunningGuest], directory: Path) -> tuple[dict[str, Loaded], list[str]]:
    """The guests' tuning files by name, and why some cannot be read."""
    files: dict[str, Loaded] = {}
    unreadable = []
    for name, guest in {guest.name: guest for guest in guests if guest.name}.items():
        live = live_domain(guest)
        try:
            if loaded := read_tuning_file(name, directory, live.vcpus if live else None):
                files[name] = loaded
        except InputError as error:
            unreadable.append(str(error))
    return files, unreadable


def _compared(request: GuestRequest, running: RunningGuest, host: Host | None, applied: Tuning) -> Tuning:
    """``applied``, or the state that the host is in instead. Raises PlanRefusedError and InputError.

    How a guest's sizes were rounded is not recorded, so what it has may be the result of any rounding.
    """
    if host is None:
        return msgspec.structs.replace(applied, state="no resctrl")
    if running.problem and request.domain.needs_vcpus:
        return msgspec.structs.replace(applied, state="refused", why=(running.problem,))
    if any(_matches(request, host, rounding) for rounding in ROUNDINGS):
        return applied
    made = plan_guests([request], host, Options())
    return msgspec.structs.replace(applied, state="drifted", summary=made.summary) if made.steps else applied


def _matches(request: GuestRequest, host: Host, rounding: Rounding) -> bool:
    try:
        return not plan_guests([request], host, Options(rounding=rounding)).steps
    except PlanRefusedError:
        return False


def _errors(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(finding.message for finding in findings if finding.severity == "error")


def _groups_with(tids: frozenset[int], host: Host | None) -> tuple[str, ...]:
    groups = host.groups if host else ()
    return tuple(g.path for g in groups if g.path != DEFAULT_GROUP and not tids.isdisjoint(g.tids))
