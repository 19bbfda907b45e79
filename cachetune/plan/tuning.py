"""Whether a running guest asks for tuning, and whether the host is as it asks: a plan without steps says so."""

from typing import Literal

import msgspec

from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.errors import CachetuneError
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.host.state import DEFAULT_GROUP, Host
from cachetune.plan.build import Options, PlanRefusedError, plan
from cachetune.plan.model import Summary
from cachetune.plan.names import machine_name

TuningState = Literal["unknown", "none", "applied", "drifted", "refused", "invalid", "no resctrl"]


class Tuning(msgspec.Struct, frozen=True):
    """What is asked for, and what has become of it.

    ``unknown``: nobody tells the guest's XML; ``none``: it asks for nothing; ``applied``: the host is as it asks;
    ``drifted``: it is not, and ``summary`` counts what would have to be done; ``refused``: it is not, and cannot be;
    ``invalid``: the XML has errors; ``no resctrl``: there is nothing to compare with. ``why`` are sentences.
    """

    state: TuningState
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


def state_of(running: RunningGuest, host: Host | None) -> GuestState:
    """The guest on this host; None where there is no resctrl."""
    threads = running.guest.threads
    return GuestState(
        name=running.name,
        uuid=running.uuid,
        pid=running.guest.pid,
        source=running.source,
        libvirt_id=running.libvirt_id,
        vcpus={thread.vcpu: thread.tid for thread in threads if thread.vcpu is not None},
        tuning=tuning_of(running, host),
        groups=_groups_with(frozenset(thread.tid for thread in threads), host),
        disagreements=running.disagreements,
        problem=running.problem,
    )


def tuning_of(running: RunningGuest, host: Host | None) -> Tuning:
    """Whether the guest's own XML asks for tuning and has it."""
    if running.xml is None:
        return Tuning("unknown")
    loaded = load(running.xml.encode(), running.name)
    if loaded.domain is None:
        return Tuning("invalid", why=tuple(f.message for f in loaded.findings if f.severity == "error"))
    if not loaded.domain.groups:
        return Tuning("none")
    machine = machine_name(loaded.domain)
    if host is None:
        return Tuning("no resctrl", machine)
    if running.problem and _asks_per_vcpu(loaded.domain):
        return Tuning("refused", machine, why=(running.problem,))
    return _compared(loaded.domain, running, host, machine)


def _compared(domain: Domain, running: RunningGuest, host: Host, machine: str) -> Tuning:
    try:
        made = plan(domain, host, running.guest, Options())
    except PlanRefusedError as refused:
        return Tuning("refused", machine, why=tuple(f.message for f in refused.findings if f.severity == "error"))
    except CachetuneError as error:
        return Tuning("refused", machine, why=(str(error),))
    if made.steps:
        return Tuning("drifted", machine, made.summary)
    return Tuning("applied", machine)


def _asks_per_vcpu(domain: Domain) -> bool:
    return any(g.vcpus is not None or any(m.vcpus is not None for m in g.monitors) for g in domain.groups)


def _groups_with(tids: frozenset[int], host: Host | None) -> tuple[str, ...]:
    groups = host.groups if host else ()
    return tuple(g.path for g in groups if g.path != DEFAULT_GROUP and not tids.isdisjoint(g.tids))
