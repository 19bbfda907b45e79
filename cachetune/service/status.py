"""The state of running guests: whether tuning is requested for each, and whether the host matches the request.

``cachetune.service.wanted`` says what the request is. A host matches if the plan has no steps.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import CachetuneError, HostError, InputError, PlanRefusedError, ResctrlError
from cachetune.findings import Finding
from cachetune.guests.find import look
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources import SourceName
from cachetune.guests.tuning_files import path_for
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.plan.model import Summary
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, read_for_planning
from cachetune.service.plans import compare_requests
from cachetune.service.requests import own_domain
from cachetune.service.select import Selection
from cachetune.service.wanted import RequestedBy, Wanted, file_of, wanted
from cachetune.units import ROUNDINGS, Rounding

_DEFAULTS, _NO_LEDGER = Options(), Ledger()

TuningState = Literal["unknown", "none", "applied", "drifted", "refused", "invalid", "no resctrl"]


class Tuning(msgspec.Struct, frozen=True, rename={"requested_by": "asker"}):
    """The request for one guest and its state.

    ``unknown``: the guest's XML is not available; ``none``: it requests nothing; ``applied``: the host matches;
    ``drifted``: it differs, and ``summary`` counts what apply would do; ``refused``: the request cannot be planned;
    ``invalid``: the XML has errors; ``no resctrl``: there is no host to compare with. ``why`` are sentences, ``rules``
    the ids of the rules that they are about, each once; a reason that is no rule's has none.
    ``requested_by`` ("asker" in JSON) is a tuning file, whose path is ``file``, or libvirt's live XML; None without a
    request.
    """

    state: TuningState
    requested_by: RequestedBy | None = None
    file: str | None = None
    machine_name: str | None = None
    summary: Summary | None = None
    why: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


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
    """The document of ``cachetune guests --json``. ``notes`` are warnings about sources that could not be read.

    ``agent_options`` are options of the running agent with which the requests were planned.
    """

    schema_version: Literal[1] = 1
    guests: tuple[GuestState, ...]
    notes: tuple[str, ...] = ()
    agent_options: tuple[str, ...] = ()


def guest_states(location: Location, selection: Selection, options: Options = _DEFAULTS) -> Guests:
    """The state of every running guest, planned with these options. Without resctrl, tuning cannot be compared.

    Raises what ``guests.find.look`` raises.
    """
    running = look(selection.sources, selection.source)
    reading, host_notes = _reading_of(location)
    host = reading.host if reading else None
    tunings = tunings_of(running.guests, selection.guests_d, reading, options)
    guests = tuple(state_of(guest, tuning, host) for guest, tuning in zip(running.guests, tunings, strict=True))
    if host is None and not any(guest.tuning.state == "no resctrl" for guest in guests):
        host_notes = ()  # there was nothing to compare
    return Guests(guests=guests, notes=(*running.notes, *host_notes))


def state_of(running: RunningGuest, tuning: Tuning, host: Host | None) -> GuestState:
    """The state of a guest on a host (None without resctrl) with the state of its tuning."""
    threads = running.guest.threads
    return GuestState(
        name=running.name,
        uuid=running.uuid,
        pid=running.guest.pid,
        user=running.user,
        source=running.source,
        libvirt_id=running.libvirt_id,
        vcpus={thread.vcpu: thread.tid for thread in threads if thread.vcpu is not None},
        tuning=tuning,
        groups=_groups_with(frozenset(thread.tid for thread in threads), host),
        disagreements=running.disagreements,
        problem=running.problem,
        iothreads={thread.iothread: thread.tid for thread in threads if thread.iothread is not None},
        vhost=tuple(thread.tid for thread in threads if thread.vhost),
    )


def tunings_of(
    guests: Sequence[RunningGuest], guests_d: Path, reading: HostReading | None, options: Options = _DEFAULTS
) -> tuple[Tuning, ...]:
    """The state of the tuning of each of these guests, which are all that run. ``reading`` is None without resctrl."""
    host, ledger = (reading.host, reading.ledger) if reading else (None, Ledger())
    tunings = []
    for guest in guests:
        try:
            found = wanted(guest, file_of(guest, guests_d), guests)
        except InputError as error:  # the file cannot be read, or is that of another guest
            tunings.append(Tuning("invalid", "file", _path(guest, guests_d), why=(str(error),)))
        else:
            tunings.append(tuning_of(guest, found, host, ledger, options))
    return tuple(tunings)


def _path(running: RunningGuest, guests_d: Path) -> str | None:
    path = path_for(running.name, guests_d)
    return None if path is None else str(path)


def tuning_of(
    running: RunningGuest, found: Wanted, host: Host | None, ledger: Ledger = _NO_LEDGER, options: Options = _DEFAULTS
) -> Tuning:
    """Whether the host (None without resctrl) matches what the guest should have, if planned with these options."""
    if found.xml is None:
        return Tuning("unknown")
    tuning = Tuning("none", found.requested_by, found.xml.name if found.requested_by == "file" else None)
    if found.xml.domain is None:
        return _not_planned(tuning, "invalid", found.xml.findings)
    if found.problem:
        return replace(tuning, state="refused", why=(found.problem,))
    return _compared(running, found.xml.domain, host, ledger, options, tuning) if found.xml.domain.groups else tuning


def _compared(
    running: RunningGuest, domain: Domain, host: Host | None, ledger: Ledger, options: Options, tuning: Tuning
) -> Tuning:
    """``tuning`` with the state that follows from the plan.

    How a guest's sizes were rounded is not recorded, so without that option what it has may be the result of any.
    """
    try:
        request = GuestRequest(own_domain(running, domain), running.guest)
        tuning = replace(tuning, state="applied", machine_name=request.machine)
        if host is None:
            return replace(tuning, state="no resctrl")
        if running.problem and request.domain.needs_vcpus:
            return replace(tuning, state="refused", why=(running.problem,))
        roundings = (options.rounding,) if options.rounding else ROUNDINGS
        if any(_matches(request, host, ledger, options, rounding) for rounding in roundings):
            return tuning
        made = compare_requests([request], host, ledger, options)
    except PlanRefusedError as refused:
        return _not_planned(replace(tuning, machine_name=None), "refused", refused.findings)
    except CachetuneError as error:
        return replace(tuning, state="refused", machine_name=None, why=(str(error),))
    return replace(tuning, state="drifted", summary=made.summary) if made.steps else tuning


def _reading_of(location: Location) -> tuple[HostReading | None, tuple[str, ...]]:
    """The host and the warnings about it, or None and the reason."""
    try:
        reading = read_for_planning(location)
    except (InputError, HostError, ResctrlError) as error:
        return None, (f"tuning cannot be compared: {error}",)
    return reading, reading.notes


def _matches(request: GuestRequest, host: Host, ledger: Ledger, options: Options, rounding: Rounding) -> bool:
    try:
        return not compare_requests([request], host, ledger, replace(options, rounding=rounding)).steps
    except PlanRefusedError:
        return False


def _not_planned(tuning: Tuning, state: TuningState, findings: Iterable[Finding]) -> Tuning:
    """The tuning with each error, what to do about it, and its rule."""
    errors = [finding for finding in findings if finding.severity == "error"]
    why = tuple(f"{error.message}; {error.hint}" if error.hint else error.message for error in errors)
    return replace(tuning, state=state, why=why, rules=tuple(sorted({error.rule for error in errors})))


def _groups_with(tids: frozenset[int], host: Host | None) -> tuple[str, ...]:
    groups = host.groups if host else ()
    return tuple(g.path for g in groups if g.path != DEFAULT_GROUP and not tids.isdisjoint(g.tids))
