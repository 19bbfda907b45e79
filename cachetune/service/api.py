"""The functions of ``import cachetune``: the services with defaults for scripts.

``resctrl`` is always the directory of a mounted resctrl, or an object behind the same port, such as
``cachetune.testing.SimulatedResctrl``. ``run`` is the directory of the journal and the ledger: programs that change the
same host must agree on it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from cachetune.apply import recover as recovery
from cachetune.apply.report import Report
from cachetune.apply.run import Connection
from cachetune.domain import read_file
from cachetune.domain.model import Domain
from cachetune.errors import GroupNotFoundError
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.sources.options import SourceOptions
from cachetune.host import read
from cachetune.host.model import Host
from cachetune.host.resctrl.port import Resctrl
from cachetune.plan import build
from cachetune.plan.model import Plan
from cachetune.plan.request import Options
from cachetune.service.changes import carry_out
from cachetune.service.connection import SIMULATED, Location, connect, open_resctrl
from cachetune.service.hosts import read_location
from cachetune.service.plans import Removal, removal_planner
from cachetune.service.requests import Document, load_document
from cachetune.service.select import Selection, select_guests
from cachetune.watch import Reading, counters

RESCTRL = "/sys/fs/resctrl"
RUN = "/run/cachetune"

Paths = str | os.PathLike[str]


def load(source: Paths | bytes, *, vcpus: int | None = None) -> Domain:
    """Read domain XML or a tuning file: a path, "-" for standard input, or the XML itself as bytes.

    ``vcpus`` is how many vCPUs the guest of a tuning file can have, which the file does not say. Raises
    InvalidDomainError with all findings, and UnreadableFileError.
    """
    if isinstance(source, bytes):
        return load_document(Document("<bytes>", source), vcpus)[0]
    name = os.fspath(source)
    return load_document(Document(name, read_file(name)), vcpus)[0]


def read_host(source: Resctrl | Paths = RESCTRL, *, run: Paths = RUN) -> Host:
    """Read a host: a resctrl directory or object, the file of a snapshot, or ``sim:NAME``.

    Raises HostError, ResctrlError and InputError.
    """
    if not isinstance(source, str | os.PathLike):
        return read.read_host(source)
    name = os.fspath(source)
    if name.startswith(SIMULATED) or Path(name).is_file():
        return read_location(Location(host=name)).host
    return read_location(Location(resctrl=Path(name), run=Path(run))).host


def find_guests(name: str | None = None, *, sources: SourceOptions | None = None) -> tuple[RunningGuest, ...]:
    """The running guests, or the one with this name or UUID. Raises GuestNotFoundError and SourceUnavailableError."""
    where = sources or SourceOptions()
    return select_guests(Selection(guest=name, all_guests=name is None, sources=where)).guests


def plan(
    domain: Domain,
    host: Host,
    guest: Guest | RunningGuest | None = None,
    *,
    shrink_default: bool = False,
    take_tasks: bool = False,
) -> Plan:
    """The plan that gives a guest what its domain requests on a host. Changes nothing.

    Without ``guest`` the groups are planned, but no threads. ``shrink_default`` may take ways from the default group,
    ``take_tasks`` may move threads out of others' groups. Raises PlanRefusedError with all findings.
    """
    threads = guest.guest if isinstance(guest, RunningGuest) else guest
    return build.plan(domain, host, threads, Options(shrink_default=shrink_default, take_tasks=take_tasks))


def apply(plan: Plan, resctrl: Resctrl | Paths = RESCTRL, *, run: Paths = RUN, adopt: bool = False) -> Report:
    """Carry out a plan: all of it, or nothing. ``adopt`` may change groups that libvirt made for the guest.

    Raises ApplyRefusedError, LockTimeoutError or HostError if nothing was changed; later failures are in the report.
    """
    return carry_out(lambda _host, _ledger: plan, _connection(resctrl, run), adopt=adopt)


def remove(guest: str, resctrl: Resctrl | Paths = RESCTRL, *, run: Paths = RUN) -> Report:
    """Remove the groups that cachetune made for a guest, by its name or UUID. Raises as ``apply`` does."""
    return carry_out(removal_planner(Removal(guest=guest)), _connection(resctrl, run))


def recover(resctrl: Resctrl | Paths = RESCTRL, *, run: Paths = RUN) -> Report:
    """Finish or undo what an interrupted run left. Raises as ``apply`` does."""
    return recovery.recover(_connection(resctrl, run))


def read_counters(paths: Iterable[str] | None = None, resctrl: Resctrl | Paths = RESCTRL) -> tuple[Reading, ...]:
    """Read the counters of the groups at ``paths`` (relative to the root, "." is the default group), or of all groups.

    Raises GroupNotFoundError, HostError and ResctrlError.
    """
    fs = open_resctrl(Location(resctrl=Path(resctrl))) if isinstance(resctrl, str | os.PathLike) else resctrl
    host = read.read_host(fs)
    chosen = [group.path for group in host.groups] if paths is None else list(paths)
    for path in chosen:
        if host.group(path) is None:
            raise GroupNotFoundError(path, host.source)
    return counters.read_counters(fs, host, chosen)


def _connection(resctrl: Resctrl | Paths, run: Paths) -> Connection:
    if isinstance(resctrl, str | os.PathLike):
        return connect(Location(resctrl=Path(resctrl), run=Path(run)))
    return Connection(resctrl, Path(run))
