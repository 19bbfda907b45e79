"""The public functions of ``cachetune``: the services, with defaults for programs and scripts.

``resctrl`` is always the directory of a mounted resctrl, or an object with the same interface, such as
``cachetune.testing.SimulatedResctrl``. ``run`` is the directory of the journal and the ledger. Programs that change the
same host must use the same one; with an object there is no default, so that tests cannot write to that of the machine.

Warnings that are not part of a result are issued with the module ``warnings``, as RuntimeWarning.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from cachetune import documents
from cachetune.apply import recover as recovery
from cachetune.apply.report import Report
from cachetune.apply.run import Connection
from cachetune.domain import read_file
from cachetune.domain.model import Domain
from cachetune.errors import GroupNotFoundError, InputError
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.sources.options import SourceOptions
from cachetune.host import read
from cachetune.host.model import Host
from cachetune.host.resctrl.port import Resctrl
from cachetune.plan import build
from cachetune.plan.model import Plan
from cachetune.plan.request import Options
from cachetune.service import plans
from cachetune.service.changes import carry_out
from cachetune.service.connection import SIMULATED, Location, connect, open_resctrl
from cachetune.service.hosts import read_location
from cachetune.service.requests import Document, for_guest, load_document, request_of
from cachetune.service.select import Selection, select_guests, warnings_about
from cachetune.units import Rounding
from cachetune.watch import Reading, counters

RESCTRL = "/sys/fs/resctrl"
RUN = "/run/cachetune"

StrPath = str | os.PathLike[str]


def load(source: StrPath | bytes, *, vcpus: int | None = None) -> Domain:
    """Read domain XML or a tuning file: a path, "-" for standard input, or the XML as bytes.

    ``vcpus`` is the maximum number of vCPUs for a tuning file, which does not contain it. Raises InvalidDomainError
    with all findings, and UnreadableFileError.
    """
    return load_document(_document(source), vcpus)[0]


def read_host(source: Resctrl | StrPath = RESCTRL, *, run: StrPath = RUN) -> Host:
    """Read a host: the directory of a resctrl, an object, the file of a snapshot, or "sim:NAME".

    ``run`` is used for a directory only. Raises HostError, ResctrlError and InputError. Warns if the lock on resctrl is
    held, because values can then be inconsistent.
    """
    if not isinstance(source, str | os.PathLike):
        return read.read_host(source)
    name = os.fspath(source)
    if name.startswith(SIMULATED) or Path(name).is_file():
        return read_location(Location(host=name)).host
    reading = read_location(Location(resctrl=Path(name), run=Path(run)))
    _warn(reading.notes)
    return reading.host


def find_guests(name: str | None = None, *, sources: SourceOptions | None = None) -> tuple[RunningGuest, ...]:
    """Find all running guests, or only the one with this name or UUID.

    Raises GuestNotFoundError, AmbiguousGuestError, SourceUnavailableError and MissingExtraError. Warns about sources
    that cannot be read and about guests whose identity is doubtful.
    """
    where = sources or SourceOptions()
    found = select_guests(Selection(guest=name, all_guests=name is None, sources=where))
    _warn((*found.notes, *(note for guest in found.guests for note in warnings_about(guest))))
    return found.guests


def plan(  # noqa: PLR0913 - a keyword for each option
    domain: Domain,
    host: Host,
    guest: Guest | RunningGuest | None = None,
    *,
    shrink_default: bool = False,
    take_tasks: bool = False,
    assign_counters: bool = False,
    exclusive: bool = False,
    rounding: Rounding | None = None,
) -> Plan:
    """Plan a guest's allocation on a host. Changes nothing.

    Without ``guest``, groups are planned but no task moves. The domain gets a running guest's name and UUID, unless
    it is from the guest's live XML. ``shrink_default`` takes ways from the default group, as few as needed;
    ``take_tasks`` also moves threads out of foreign groups; ``assign_counters`` assigns bandwidth counters to monitors
    that have none; ``exclusive`` makes every control group exclusive; ``rounding`` ("up", "down", "nearest") rounds
    sizes to whole ways, and bandwidths to steps.

    Raises PlanRefusedError with all findings, WrongGuestError, GuestVcpusUnknownError and MachineNameError.
    """
    options = Options(
        shrink_default=shrink_default,
        take_tasks=take_tasks,
        assign_counters=assign_counters,
        exclusive=exclusive,
        rounding=rounding,
    )
    if not isinstance(guest, RunningGuest):
        return build.plan(domain, host, guest, options)
    if domain.id is None or domain.name != guest.name:
        domain = for_guest(domain, guest, "the domain")
    return build.plan_guests([request_of(guest, domain)], host, options)


def read_plan(source: StrPath | bytes) -> Plan:
    """Read a plan that was saved with ``to_json`` or ``cachetune plan -o``. Raises DocumentError."""
    return plans.read_plan(_document(source))


def apply(
    plan: Plan, resctrl: Resctrl | StrPath = RESCTRL, *, run: StrPath | None = None, adopt: bool = False
) -> Report:
    """Carry out a plan: all of it, or nothing. ``adopt`` also changes groups that libvirt made for the guest.

    Raises ApplyRefusedError, LockTimeoutError, StateFileError and HostError if nothing was changed. A failure after
    that is rolled back and is in the report: see its ``outcome``.
    """
    return carry_out(lambda _host, _ledger: plan, _connection(resctrl, run), adopt=adopt)


def remove(guest: str, resctrl: Resctrl | StrPath = RESCTRL, *, run: StrPath | None = None) -> Report:
    """Remove the groups that cachetune made for a guest, by name or UUID. Raises what ``apply`` does."""
    return carry_out(plans.removal_planner(plans.Removal(guest=guest)), _connection(resctrl, run))


def recover(resctrl: Resctrl | StrPath = RESCTRL, *, run: StrPath | None = None) -> Report:
    """Finish or undo an interrupted run; without one, nothing is done. Raises what ``apply`` does."""
    return recovery.recover(_connection(resctrl, run))


def read_counters(paths: Iterable[str] | None = None, resctrl: Resctrl | StrPath = RESCTRL) -> tuple[Reading, ...]:
    """Read the counters of groups: ``paths`` relative to the resctrl root ("." is the default group), or all groups.

    Raises GroupNotFoundError, HostError and ResctrlError.
    """
    fs = open_resctrl(Location(resctrl=Path(resctrl))) if isinstance(resctrl, str | os.PathLike) else resctrl
    host = read.read_host(fs)
    chosen = [group.path for group in host.groups] if paths is None else list(paths)
    for path in chosen:
        if host.group(path) is None:
            raise GroupNotFoundError(path, host.source)
    return counters.read_counters(fs, host, chosen)


def to_json(value: Host | Plan | Report | Reading) -> bytes:
    """Return a value as a JSON document, as the command line prints it; ``cachetune schema`` prints the schemas."""
    return documents.encode(value)


def _document(source: StrPath | bytes) -> Document:
    if isinstance(source, bytes):
        return Document("<bytes>", source)
    name = os.fspath(source)
    return Document("<stdin>" if name == "-" else name, read_file(name))


def _connection(resctrl: Resctrl | StrPath, run: StrPath | None) -> Connection:
    if isinstance(resctrl, str | os.PathLike):
        return connect(Location(resctrl=Path(resctrl), run=Path(run or RUN)))
    if run is None:
        raise InputError("a resctrl object needs a run directory", hint="pass run=DIRECTORY")
    return Connection(resctrl, Path(run))


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        warnings.warn(note, RuntimeWarning, stacklevel=3)
