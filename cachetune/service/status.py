"""Whether tuning is asked for a running guest, and whether the host is as asked: a plan without steps says so.

It is the operator's file in guests.d that asks where there is one, else the live XML.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from cachetune.domain import Loaded, load
from cachetune.errors import CachetuneError, PlanRefusedError
from cachetune.findings import Finding
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.plan.build import plan_guests
from cachetune.plan.model import Summary
from cachetune.plan.request import GuestRequest, Options

TuningState = Literal["unknown", "none", "applied", "drifted", "refused", "invalid", "no resctrl"]


class Tuning(msgspec.Struct, frozen=True, rename={"requested_by": "asker"}):
    """What is asked for, and what has become of it.

    ``unknown``: there is no XML of the guest; ``none``: it asks for nothing; ``applied``: the host is as it asks;
    ``drifted``: it is not, and ``summary`` counts what would have to be done; ``refused``: it is not, and cannot be;
    ``invalid``: the XML has errors; ``no resctrl``: there is nothing to compare with. ``why`` are sentences.
    ``requested_by`` is whose XML it is: libvirt's, or a file of the operator's; None where there is none.
    """

    state: TuningState
    requested_by: Literal["file", "libvirt"] | None = None
    machine_name: str | None = None
    summary: Summary | None = None
    why: tuple[str, ...] = ()


class GuestState(msgspec.Struct, frozen=True, kw_only=True):
    """One running guest. ``vcpus`` is vCPU to thread; ``groups`` are those that any of its threads is in.

    The rest is as in RunningGuest.
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


class Guests(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``guests --json`` prints. ``notes`` say what could not be read or was not believed."""

    schema_version: Literal[1] = 1
    guests: tuple[GuestState, ...]
    notes: tuple[str, ...] = ()


def state_of(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> GuestState:
    """The guest on this host (None where there is no resctrl), with its file in guests.d if it has one."""
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
    )


def tuning_of(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> Tuning:
    """Whether tuning is asked for the guest and is there. The arguments are those of ``state_of``."""
    if file is None and running.xml is None:
        return Tuning("unknown")
    requested_by: Literal["file", "libvirt"] = "libvirt" if file is None else "file"
    loaded = file or load((running.xml or "").encode(), running.name)
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


def _compared(request: GuestRequest, running: RunningGuest, host: Host | None, applied: Tuning) -> Tuning:
    """``applied``, or what is there instead. Raises PlanRefusedError and InputError."""
    if host is None:
        return msgspec.structs.replace(applied, state="no resctrl")
    if running.problem and request.domain.needs_vcpus:
        return msgspec.structs.replace(applied, state="refused", why=(running.problem,))
    made = plan_guests([request], host, Options())
    return msgspec.structs.replace(applied, state="drifted", summary=made.summary) if made.steps else applied


def _errors(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(finding.message for finding in findings if finding.severity == "error")


def _groups_with(tids: frozenset[int], host: Host | None) -> tuple[str, ...]:
    groups = host.groups if host else ()
    return tuple(g.path for g in groups if g.path != DEFAULT_GROUP and not tids.isdisjoint(g.tids))
