"""A guest's way through the library in this process: planned once, applied and removed as often as wanted."""

from pathlib import Path

import msgspec

from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.guests import find_guest, find_process
from cachetune.guests.model import Guest
from cachetune.host import SysfsResctrl
from cachetune.plan import Options, Plan, plan_removal
from cachetune.plan.groups.names import machine_name_of
from cachetune.plan.model import PlanGuest
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import plan_requests
from tests.kernel.scenarios import tree

PROC = Path("/proc")


def place_on(run: Path) -> Connection:
    """The machine's resctrl, with a run directory."""
    return Connection(SysfsResctrl(tree.RESCTRL), run, Path("/sys"), PROC, lock_timeout=600)


def domain_in(path: Path) -> Domain:
    """The domain of a file that is known to be right."""
    loaded = load(path.read_bytes(), str(path))
    if loaded.domain is None:
        raise RuntimeError(f"{loaded.findings}")
    return loaded.domain


def guest_of(domain: Domain, pid: int) -> Guest:
    """The process's threads, with their vCPUs if the domain's requests need them."""
    return (find_guest if any(group.vcpus for group in domain.groups) else find_process)(pid, PROC)


def planned(domain: Domain, guest: Guest, connection: Connection, *, assign_counters: bool = False) -> Plan:
    """What the domain needs on the host as it is."""
    ledger = load_ledger(connection.run)
    options = Options(shrink_default=True, assign_counters=assign_counters)
    return plan_requests([GuestRequest(domain, guest)], connection.look(ledger), ledger, options)


def removal(domain: Domain, connection: Connection) -> Plan:
    """What takes the domain's groups away again."""
    ledger, name = load_ledger(connection.run), machine_name_of(domain)
    return plan_removal(connection.look(ledger), [PlanGuest("", name)], ledger.groups_of(name), ledger.shrunk)


def carried_out(wanted: Plan, connection: Connection) -> Report:
    """Apply a plan of which nothing is expected but that it is done."""
    report = apply(wanted, connection)
    if report.outcome != "done":
        raise RuntimeError(f"{msgspec.to_builtins(report)}")
    return report
