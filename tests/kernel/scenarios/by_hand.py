"""Changes by hand on a host with three guests: groups that move to make room, and another default group.

``python -m … EXTENT [SEED]``, as in ``deaths``. The cache has 11 ways, of which devices use the two highest:

    web web (free) db mail mail default…

``mail`` is exclusive. In the case "compaction", the guest ``late`` requests four ways, and groups for its iothreads
and emulator threads: there are four ways that are free or that the default group can give up, but two here and two
there. In the case "default group", that gets three ways and half of the bandwidth, and in the case "reset" what it had.

Each case fails at each of its changes of resctrl, and dies after those that the extent says. Where that leads to the
state after the case, the host is built again from the start.
"""

import gc
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection
from cachetune.apply.settle import settle
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain import load
from cachetune.guests.model import Guest
from cachetune.plan import Options, Plan, plan_removal
from cachetune.plan.default_group import BandwidthAmount, CacheAmount, DefaultRequest, plan_default, plan_reset
from cachetune.plan.model import PlanGuest
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import plan_requests
from cachetune.units import Rate, Size
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.changes import changes_of, killed
from tests.kernel.scenarios.deaths import moments_of
from tests.kernel.scenarios.faults import Attempt, failures
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, guest_of, place_on

State = dict[str, str]
_CACHE = "<cache id='0' level='3' type='both' size='{}' unit='ways'/>"
ASKED = {
    "web": f"<cachetune vcpus='0'>{_CACHE.format(2)}</cachetune>",
    "gone": f"<cachetune vcpus='0'>{_CACHE.format(2)}</cachetune>",
    "db": f"<cachetune vcpus='0'>{_CACHE.format(1)}</cachetune>",
    "mail": f"<cachetune vcpus='0' mode='exclusive'>{_CACHE.format(2)}</cachetune>",
    "late": f"<cachetune vcpus='0'>{_CACHE.format(4)}</cachetune>"
    "<memorytune threads='iothreads'><node id='0' bandwidth='50'/></memorytune>"
    "<memorytune threads='emulator'><node id='0' bandwidth='30'/></memorytune>",
}
SMALL = DefaultRequest((CacheAmount("L3", 0, Size(3, "ways")),), (BandwidthAmount("MB", 0, Rate(50, "%")),))


class Case(NamedTuple):
    """What leads to the state before, and the plan from there."""

    prepare: Callable[[], None]
    plan: Callable[[], Plan]


class Death(msgspec.Struct, frozen=True):
    """A run that died after ``number`` changes, ``left`` in neither state, and the state that recover ``ended`` in.

    ``ended`` is "before" or "after", or what differs from both; ``again`` is what a second recover did.
    """

    number: int
    killed_by: int
    left: bool
    ended: str
    again: tuple[str, ...]


class Result(msgspec.Struct, frozen=True):
    """A case: its plan, the groups before and after, its failures at each change, its changes and its deaths."""

    plan: Plan
    before: dict[str, dict[str, str]]
    after: dict[str, dict[str, str]]
    failed: tuple[Attempt, ...]
    changes: tuple[str, ...]
    deaths: tuple[Death, ...]


class Outcome(msgspec.Struct, frozen=True):
    """The cases by name, the threads of late by kind, and what differs from the original tree at the end."""

    cases: dict[str, Result]
    vcpus: tuple[int, ...]
    others: tuple[int, ...]
    differs: tuple[str, ...]


class Site:
    """The host and its guests."""

    def __init__(self, connection: Connection, guests: dict[str, Guest]) -> None:
        self.connection, self._guests = connection, guests
        self._tids = {thread.tid for guest in guests.values() for thread in guest.threads}

    def placing(self, name: str, options: Options) -> Plan:
        """The plan for one of the guests."""
        ledger = load_ledger(self.connection.run)
        domain = load(f"<cputune>{ASKED[name]}</cputune>".encode(), name).domain
        if domain is None:
            raise RuntimeError(ASKED[name])
        request = GuestRequest(msgspec.structs.replace(domain, name=name), self._guests[name])
        return plan_requests([request], self.connection.look(ledger), ledger, options)

    def removing(self, *names: str) -> Plan:
        """The plan that removes the groups of guests."""
        ledger, machines = load_ledger(self.connection.run), [f"cachetune-{name}" for name in names]
        owned = {path for machine in machines for path in ledger.groups_of(machine)}
        guests = [PlanGuest("", machine) for machine in machines]
        return plan_removal(self.connection.look(ledger), guests, owned, ledger.shrunk)

    def crowd(self) -> None:
        """Three guests, with free ways between them."""
        for name in ("web", "gone", "db", "mail"):
            carried_out(self.placing(name, Options(shrink_default=True)), self.connection)
        carried_out(self.removing("gone"), self.connection)

    def shrink(self) -> None:
        """Three guests, and a small default group."""
        self.crowd()
        carried_out(self.smaller(), self.connection)

    def smaller(self) -> Plan:
        """The plan for a small default group."""
        return plan_default(self.connection.look(load_ledger(self.connection.run)), SMALL)

    def reset(self) -> Plan:
        """The plan that gives the default group what it had at first."""
        ledger = load_ledger(self.connection.run)
        return plan_reset(self.connection.look(ledger), ledger.initial, ledger.initial_unit)

    def clear(self) -> None:
        """Without guests, and with the first default group."""
        for plan in (lambda: self.removing(*ASKED), self.reset):
            if (made := plan()).steps:
                carried_out(made, self.connection)
        settle(self.connection)

    def look(self) -> State:
        """The groups, and what the ledger records of them."""
        state = {f"{path} {name}": text for path, files in tree.groups().items() for name, text in files.items()}
        for path in (path for path in state if path.endswith(" tasks")):
            state[path] = " ".join(tid for tid in state[path].split() if int(tid) in self._tids)
        ledger = load_ledger(self.connection.run)
        journal = {path.name: "" for path in self.connection.run.glob("journal*")}
        return state | {"ledger": f"{sorted(ledger.guests)} {ledger.shrunk} {ledger.initial}"} | journal


def play(site: Site, case: Case, moments: Callable[[tuple[str, ...]], Collection[int]]) -> Result:
    """The case undisturbed, then with failures and deaths."""

    def run() -> None:
        carried_out(plan, site.connection)

    def go_back() -> None:
        if site.look() != ends[0]:
            site.clear()
            case.prepare()
        if differs := tree.differences(ends[0], site.look()):
            raise RuntimeError(f"the host cannot be built again: {differs}")

    site.clear()
    case.prepare()
    plan, before = case.plan(), tree.groups()
    ends = [site.look()]
    changes, after = changes_of(run), tree.groups()
    ends.append(site.look())
    deaths = []
    for number in moments(changes):
        go_back()
        deaths.append(_recovered(site, number, killed(run, number), ends))
    go_back()
    return Result(plan, before, after, failures(plan, site.connection, site.look), changes, tuple(deaths))


def _recovered(site: Site, number: int, killed_by: int, ends: list[State]) -> Death:
    left = site.look() not in ends
    recover(site.connection)
    state = site.look()
    ended = next((name for name, end in zip(("before", "after"), ends, strict=True) if state == end), "")
    again = recover(site.connection).outcome
    lost = ended or str([tree.differences(end, state) for end in ends])
    return Death(number, killed_by, left, lost, (again, *tree.differences(state, site.look())))


def main() -> None:
    """Print an Outcome."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(running(1)) for name in ASKED if name != "gone"}
        tids = {tid for process in processes.values() for tid in process.threads.tids}
        first = tree.state(tids)
        connection = place_on(Path("/run/by-hand"))
        whole = load(f"<cputune>{ASKED['web']}</cputune>".encode(), "").domain
        if whole is None:
            raise RuntimeError(ASKED["web"])
        guests = {name: guest_of(whole, process.threads.pid) for name, process in processes.items()}
        site = Site(connection, guests | {"gone": Guest(None, ())})
        gc.disable()  # as in deaths
        compacting = Options(shrink_default=True, compact=True)
        cases = {
            "compaction": Case(site.crowd, lambda: site.placing("late", compacting)),
            "default group": Case(site.crowd, site.smaller),
            "reset": Case(site.shrink, site.reset),
        }
        results = {name: play(site, case, moments_of(*sys.argv[1:])) for name, case in cases.items()}
        site.clear()
        differs = tree.differences(first, tree.state(tids))
        late = processes["late"].threads
        vcpus, others = tuple(late.vcpus.values()), late.others
    sys.stdout.buffer.write(documents.encode(Outcome(results, vcpus, others, differs)))


if __name__ == "__main__":
    main()
