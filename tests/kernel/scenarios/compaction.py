"""A guest gets room by moving two others, on a real kernel: as a user, and with a failure or a death at every change.

``python -m …``. Of the ways of the only L3 cache, the default group has the two highest. db and mail are in the middle,
so that build, which needs all free ways but the holes between them, fits only after both have moved.
"""

import errno
import sys
from itertools import combinations
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain.model import CacheRequest, Domain, GroupRequest
from cachetune.findings import Source
from cachetune.guests import find_guest
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError
from cachetune.service.plans import plan_requests
from cachetune.units import Size
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.changes import changes_of, killed, watched
from tests.kernel.scenarios.faults import before_change, fail
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import PROC, carried_out, place_on, removal

NAMES = ("db", "mail", "build")


class Outcome(msgspec.Struct, frozen=True):
    """``refused`` is the hint without --compact, ``plan`` the plan with it.

    ``masks`` are those of all groups at each moment of the run, in order; ``illegal`` is what the moments of all runs,
    failures and recoveries had that is not allowed. ``failed`` has the outcome of a failure at each change and what
    differs from before; ``deaths`` what differs from before and from after, after a death at each change and recovery.
    """

    refused: str
    plan: Plan
    masks: tuple[dict[str, str], ...]
    illegal: tuple[str, ...]
    changes: tuple[str, ...]
    failed: tuple[tuple[str, tuple[str, ...]], ...]
    deaths: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    compact: Ran
    after_compact: dict[str, str]


class Moments:
    """Looks at the groups at moments of a run: all have at least the ways of the beginning, and share none."""

    def __init__(self) -> None:
        self.before = masks()
        self.seen: list[dict[str, str]] = []
        self.illegal: list[str] = []

    def look(self, _: int = 0) -> None:
        now = masks()
        if not self.seen or now != self.seen[-1]:
            self.seen.append(now)
        for name, mask in self.before.items():
            if name in now and ways(now[name]) < ways(mask):
                self.illegal.append(f"{name} had {mask} and has {now[name]}")
        settled = {name: mask for name, mask in now.items() if name in self.before or threads_in(name)}
        self.illegal += [
            f"{a} and {b} share ways: {settled[a]} and {settled[b]}"
            for a, b in combinations(settled, 2)
            if int(settled[a], 16) & int(settled[b], 16)
        ]


def masks() -> dict[str, str]:
    """The L3 mask of each group."""
    found = {}
    for path, files in tree.groups().items():
        if line := next((line.strip() for line in files.get("schemata", "").splitlines() if "L3:" in line), ""):
            found[path] = line.rpartition("=")[2]
    return found


def threads_in(group: str) -> bool:
    return bool((tree.RESCTRL / group / "tasks").read_text())


def ways(mask: str) -> int:
    return int(mask, 16).bit_count()


def main() -> None:
    """Print an Outcome."""
    with running(1) as db, running(1) as mail, running(1) as build:
        pids = dict(zip(NAMES, (guest.threads.pid for guest in (db, mail, build)), strict=True))
        tids = {*db.threads.tids, *mail.threads.tids, *build.threads.tids}
        connection = place_on(Path("/run/compaction"))
        arrange(pids, connection)
        refused = hint_without(pids, connection)
        outcome = everything_at(pids, connection, tids, refused)
    sys.stdout.buffer.write(documents.encode(outcome))


def everything_at(pids: dict[str, int], connection: Connection, tids: set[int], refused: str) -> Outcome:
    before, moments, home = tree.state(tids), Moments(), masks()
    plan = plan_of("build", room(connection), pids, connection, compact=True)

    def go_back() -> None:
        carried_out(removal(domain("build", 1), connection), connection)
        for moved in reversed(plan.moved):
            connection.resctrl.write(f"{moved.path}/schemata", f"L3:0={home[moved.path]}\n")

    with watched(moments.look):
        carried_out(plan, connection)
    after, seen = tree.state(tids), tuple(moments.seen)
    go_back()
    changes = changes_of(lambda: carried_out(plan, connection))
    go_back()
    failed = []
    for number in range(1, len(plan.steps) + 1):
        with before_change(number, fail(errno.EIO)), watched(moments.look):
            report = apply(plan, connection)
        failed.append((report.outcome, tree.differences(before, tree.state(tids))))
    deaths = []
    for number in range(len(changes) + 1):
        killed(lambda: carried_out(plan, connection), number)
        moments.look()
        with watched(moments.look):
            recover(connection)
        state = tree.state(tids)
        deaths.append((tree.differences(before, state), tree.differences(after, state)))
        if state == after:
            go_back()
    compacted = run_here("compact", "--yes", "--run", str(connection.run))
    return Outcome(
        refused, plan, seen, tuple(moments.illegal), changes, tuple(failed), tuple(deaths), compacted, masks()
    )


def arrange(pids: dict[str, int], connection: Connection) -> None:
    """The default group has two ways; db and mail have two each, with holes of one way below them and between."""
    (control,) = read_host(connection.resctrl, Path("/sys")).caches
    connection.resctrl.write("schemata", f"L3:0={3 << control.ways - 2:x}\n")
    for name, mask in (("db", 0b000110), ("mail", 0b110000)):
        carried_out(plan_of(name, 2, pids, connection, compact=False), connection)
        connection.resctrl.write(f"cachetune-{name}-vcpus_0/schemata", f"L3:0={mask:x}\n")


def room(connection: Connection) -> int:
    """All free ways."""
    host = connection.look(load_ledger(connection.run))
    (control,) = host.caches
    return control.ways - sum(group.masks["L3"][0].bit_count() for group in host.control_groups())


def hint_without(pids: dict[str, int], connection: Connection) -> str:
    try:
        plan_of("build", room(connection), pids, connection, compact=False)
    except PlanRefusedError as refused:
        return next(finding.hint or "" for finding in refused.findings if finding.rule == "CT207")
    return "not refused"


def domain(name: str, number: int) -> Domain:
    """A domain whose only vCPU gets this many ways."""
    at = Source()
    cache = CacheRequest(3, 0, "both", Size.parse(f"{number}ways"), at)
    return Domain(name, None, None, "kvm", 1, (GroupRequest(frozenset({0}), "vcpus_0", (cache,), (), (), at),))


def plan_of(name: str, number: int, pids: dict[str, int], connection: Connection, *, compact: bool) -> Plan:
    ledger = load_ledger(connection.run)
    request = GuestRequest(domain(name, number), find_guest(pids[name], PROC))
    return plan_requests([request], connection.look(ledger), ledger, Options(compact=compact))


if __name__ == "__main__":
    main()
