"""What the verbs that plan have in common: their options, and the way from those to a plan."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cachetune import documents
from cachetune.apply.state import reservations
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.cli import options
from cachetune.domain import load, read_file
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.findings import Finding
from cachetune.guests import find_guest, find_process, named_threads
from cachetune.guests.find import SourceOptions
from cachetune.guests.model import Guest, SourceName
from cachetune.idset import parse_vcpus
from cachetune.plan import Options, Plan, PlanRefusedError
from cachetune.plan.request import GuestRequest
from cachetune.service.hosts import load_host
from cachetune.service.requests import plan_requests
from cachetune.service.select import guest_request, guest_requests

F = TypeVar("F", bound=Callable[..., Any])


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for, as given on the command line."""

    file: str | None = None
    resctrl: Path
    sysfs: Path
    proc: Path
    run: Path
    libvirt_run: Path
    cgroup: Path
    connect: str | None = None
    qmp: Path | None = None
    source: SourceName | None = None
    host: str | None = None
    guest: str | None = None
    all_guests: bool = False
    machine_name: str | None = None
    pid: int | None = None
    vcpus: tuple[tuple[int, int], ...] = ()
    shrink_default: bool = False
    take_tasks: bool = False
    as_json: bool = False

    @property
    def source_options(self) -> SourceOptions:
        """Where running guests are looked for."""
        return options.source_options(
            proc=self.proc, libvirt_run=self.libvirt_run, cgroup=self.cgroup, connect=self.connect, qmp=self.qmp
        )

    @property
    def name(self) -> str:
        """What to call the document in messages."""
        return "<stdin>" if self.file == "-" else self.file or self.guest or "all guests"


# Without a type argument, which older clicks do not know.
class _VcpuThread(click.ParamType):  # type: ignore[type-arg]
    name = "N=TID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        vcpu, _, tid = str(value).partition("=")
        if not re.fullmatch("[0-9]{1,5}=0*[1-9][0-9]{0,9}", str(value)):
            self.fail(f"{value!r} is not a vCPU and a thread id such as 0=4711", param, ctx)
        return int(vcpu), int(tid)


planning = options.stack(
    options.guest,
    options.all_guests,
    click.option(
        "--pid", type=click.IntRange(min=1), metavar="PID", help="The guest's process; its vCPU threads are found."
    ),
    click.option(
        "--vcpu", "vcpus", type=_VcpuThread(), multiple=True, metavar="N=TID", help="Name the thread of one vCPU."
    ),
    click.option("--shrink-default", is_flag=True, help="Take ways from the default group, just enough."),
    click.option("--take-tasks", is_flag=True, help="Move threads even out of groups that belong to others."),
    options.machine_name,
    options.resctrl,
    options.sysfs,
    options.where,
    options.run,
)


def load_domain(file: str, data: bytes | None = None) -> tuple[Domain, tuple[Finding, ...]]:
    """The domain in a file ("-" is stdin), with warnings. Raises PlanRefusedError when the XML has errors."""
    loaded = load(read_file(file) if data is None else data, "<stdin>" if file == "-" else file)
    if loaded.domain is None:
        raise PlanRefusedError(loaded.findings)
    return loaded.domain, loaded.findings


def make_plan(wanted: Wanted) -> Plan:
    """The plan for what is wanted on the host as it is. Raises PlanRefusedError with all findings, and InputError."""
    requests = make_requests(wanted)
    ledger = Ledger() if wanted.host else _readable_ledger(wanted.run)
    host = load_host(wanted.host, wanted.resctrl, wanted.sysfs, ledger.owned)
    if not wanted.host:
        host = reservations.with_reservations(host, wanted.run)
    return plan_requests(requests, host, ledger, plan_options(wanted))


def plan_options(wanted: Wanted) -> Options:
    """The choices that planning knows."""
    return Options(shrink_default=wanted.shrink_default, take_tasks=wanted.take_tasks)


def make_requests(wanted: Wanted, data: bytes | None = None) -> list[GuestRequest]:
    """Who asks for what: all guests that run, one of them, or the guest of a file with the threads that were named.

    ``data`` is the file's content where it has been read. Raises PlanRefusedError when XML has errors, and InputError.
    """
    _check_combination(wanted)
    if wanted.all_guests:
        return guest_requests(wanted.source_options, wanted.source)
    if data is None and wanted.file is not None:
        data = read_file(wanted.file)
    if wanted.guest is not None:
        return [
            guest_request(wanted.guest, wanted.source_options, wanted.source, data, wanted.name, wanted.machine_name)
        ]
    if data is None:
        raise InputError("nothing to plan", hint="give domain XML, --guest NAME, or --all-guests")
    domain, findings = load_domain(wanted.name, data)
    if not domain.name and not wanted.machine_name:
        raise InputError(f"{wanted.name} does not name its guest", hint="give --guest NAME, or --machine-name NAME")
    return [GuestRequest(domain, _named_threads(wanted, domain), wanted.machine_name or "", findings=findings)]


def read_plan(data: bytes, name: str) -> Plan:
    """A saved plan, checked like any other input as far as that is possible without the host. Raises InputError."""
    saved = documents.decode(data, Plan, name)
    try:
        for group in saved.groups:
            parse_vcpus(group.vcpus or "0")
    except ValueError as error:
        raise InputError(f"{name} is not what it should be: {error}") from None
    return saved


def _readable_ledger(run: Path) -> Ledger:
    """The ledger, or an empty one where we may not read it: looking must not need root."""
    try:
        return load_ledger(run)
    except InputError as error:
        click.echo(f"warning: {error}", err=True)
        return Ledger()


def _check_combination(wanted: Wanted) -> None:
    """Raise InputError for options that contradict each other."""
    named = wanted.pid is not None or bool(wanted.vcpus)
    if wanted.pid is not None and wanted.vcpus:
        raise InputError("give --pid or --vcpu, not both", hint="--pid finds the vCPU threads by itself")
    if (wanted.guest or wanted.all_guests) and named:
        raise InputError("give --guest, --all-guests, or --pid and --vcpu", hint="--guest finds the threads by itself")
    if wanted.all_guests and (wanted.guest or wanted.file or wanted.machine_name):
        raise InputError("--all-guests takes every guest with its own XML and name", hint="use --guest NAME for one")
    if wanted.host and (wanted.guest or wanted.all_guests):
        raise InputError("the guests that run here are not on another host", hint="leave out --host, or --guest")


def _named_threads(wanted: Wanted, domain: Domain) -> Guest | None:
    """The guest's threads. Which of them are vCPUs matters only where a group or a monitor asks for some."""
    if wanted.pid is not None:
        find = find_guest if domain.needs_vcpus else find_process
        return find(wanted.pid, wanted.proc)
    if not wanted.vcpus:
        return None
    threads = dict(wanted.vcpus)
    if len(threads) != len(wanted.vcpus):
        raise InputError("a vCPU was given more than one --vcpu")
    # Without a pid nobody looks again for threads by their names: those given by hand are the ones that count.
    return msgspec.structs.replace(named_threads(threads, None if wanted.host else wanted.proc), pid=None)
