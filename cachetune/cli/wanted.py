"""What the verbs that plan have in common: their options, and the way from those to a plan."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cachetune import documents
from cachetune.apply import ledger
from cachetune.apply.guard import ApplyRefusedError, check_name
from cachetune.apply.ledger import Ledger
from cachetune.cli import options
from cachetune.cli.hosts import load_host
from cachetune.domain import load, read_file
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.findings import Finding
from cachetune.guests import find_guest, find_process, named_threads
from cachetune.guests.model import Guest
from cachetune.host.state import Host
from cachetune.idset import parse_vcpus
from cachetune.plan import Options, Plan, PlanRefusedError
from cachetune.plan.build import plan
from cachetune.plan.names import machine_name

F = TypeVar("F", bound=Callable[..., Any])


class Wanted(msgspec.Struct, frozen=True):
    """What the user asked for, as given on the command line."""

    file: str
    resctrl: Path
    sysfs: Path
    proc: Path
    run: Path
    host: str | None = None
    machine_name: str | None = None
    pid: int | None = None
    vcpus: tuple[tuple[int, int], ...] = ()
    shrink_default: bool = False
    take_tasks: bool = False
    as_json: bool = False


# Without a type argument, which older clicks do not know.
class _VcpuThread(click.ParamType):  # type: ignore[type-arg]
    name = "N=TID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        vcpu, _, tid = str(value).partition("=")
        if not re.fullmatch("[0-9]{1,5}=0*[1-9][0-9]{0,9}", str(value)):
            self.fail(f"{value!r} is not a vCPU and a thread id such as 0=4711", param, ctx)
        return int(vcpu), int(tid)


planning = options.stack(
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
    options.proc,
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
    domain, findings = load_domain(wanted.file)
    book = Ledger() if wanted.host else _readable_ledger(wanted.run)
    host = load_host(wanted.host, wanted.resctrl, wanted.sysfs, book.owned)
    return plan_on(host, book, domain, findings, wanted)


def plan_on(host: Host, book: Ledger, domain: Domain, findings: tuple[Finding, ...], wanted: Wanted) -> Plan:
    """The plan for a domain on this host; the ``findings`` of its XML come first. Raises as make_plan does."""
    choice = Options(
        machine_name=wanted.machine_name,
        shrink_default=wanted.shrink_default,
        take_tasks=wanted.take_tasks,
        owned=book.groups_of(wanted.machine_name or machine_name(domain)),
    )
    try:
        made = plan(domain, host, _guest(wanted, domain), choice)
        check_name(made, host, book)
    except PlanRefusedError as refused:
        raise PlanRefusedError((*findings, *refused.findings)) from None
    except ApplyRefusedError as refused:
        raise PlanRefusedError((*findings, refused.finding)) from None
    return msgspec.structs.replace(made, warnings=(*findings, *made.warnings))


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
        return ledger.load(run)
    except InputError as error:
        click.echo(f"warning: {error}", err=True)
        return Ledger()


def _guest(wanted: Wanted, domain: Domain) -> Guest | None:
    """The guest's threads. Which of them are vCPUs matters only where a group or a monitor asks for some."""
    if wanted.pid is not None and wanted.vcpus:
        raise InputError("give --pid or --vcpu, not both", hint="--pid finds the vCPU threads by itself")
    if wanted.pid is not None:
        asked = [g.vcpus for g in domain.groups] + [m.vcpus for g in domain.groups for m in g.monitors]
        find = find_guest if any(asked) else find_process
        return find(wanted.pid, wanted.proc)
    if not wanted.vcpus:
        return None
    threads = dict(wanted.vcpus)
    if len(threads) != len(wanted.vcpus):
        raise InputError("a vCPU was given more than one --vcpu")
    # Without a pid nobody looks again for threads by their names: those given by hand are the ones that count.
    return msgspec.structs.replace(named_threads(threads, None if wanted.host else wanted.proc), pid=None)
