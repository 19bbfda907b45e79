"""Guests whose threads end while they are moved, or continuously start and end by the hundred.

``python -m … THREADS ENDING TIMES DOMAIN.xml``; the domain's request is for the whole process.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply
from cachetune.domain.model import Domain
from cachetune.host import SysfsResctrl
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.crowd_process import CrowdProcess, crowd
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal


class Ended(msgspec.Struct, frozen=True):
    """Threads before, those that ended, and those in the group and outside of it after apply."""

    threads: tuple[int, ...]
    left: tuple[int, ...]
    inside: tuple[int, ...]
    report: Report


class Churned(msgspec.Struct, frozen=True):
    """One apply and one removal in the meantime: their reports, and living threads that are not where they belong."""

    apply: Report
    outside: tuple[int, ...]
    remove: Report
    births: int
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """``differs`` is what differs from the original tree at the end."""

    ended: Ended
    churned: tuple[Churned, ...]
    differs: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    threads, ending, times = map(int, sys.argv[1:4])
    domain, connection = domain_in(Path(sys.argv[4])), place_on(Path("/run/crowds"))
    before = tree.state(())
    with crowd(threads) as process:
        ended = _ended(process, domain, connection, ending)
        carried_out(removal(domain, connection), connection)
    with crowd(2) as process:
        process.order("churn")
        churned = tuple(_churned(process, domain, connection) for _ in range(times))
    outcome = Outcome(ended, churned, tree.differences(before, tree.state(())))
    sys.stdout.buffer.write(documents.encode(outcome))


def _ended(process: CrowdProcess, domain: Domain, connection: Connection, ending: int) -> Ended:
    """Apply to a process of which some threads end after all were seen to be there, before the first is moved."""
    guest = guest_of(domain, process.pid)
    wanted = planned(domain, guest, connection)
    write = SysfsResctrl.write
    told: list[str] = []

    def end_first(fs: SysfsResctrl, path: str, text: str) -> Any:
        if path.endswith("tasks") and not told:
            told.append(process.order(f"end {ending}"))
        return write(fs, path, text)

    with mock.patch.object(SysfsResctrl, "write", end_first):
        report = apply(wanted, connection)
    known = tuple(thread.tid for thread in guest.threads)
    return Ended(known, _alive(process), _inside(wanted.groups[0].path), report)


def _churned(process: CrowdProcess, domain: Domain, connection: Connection) -> Churned:
    begin, births = time.monotonic(), int(process.order("count"))
    wanted = planned(domain, guest_of(domain, process.pid), connection)
    applied = apply(wanted, connection)
    outside = _outside(process, wanted.groups[0].path)
    removed = apply(removal(domain, connection), connection)
    born = int(process.order("count")) - births
    return Churned(applied, outside, removed, born, time.monotonic() - begin)


def _outside(process: CrowdProcess, group: str) -> tuple[int, ...]:
    """Threads that are not in the group, unless they have ended before they were looked for a second time."""
    suspects = set(_alive(process)).difference(_inside(group))
    return tuple(tid for tid in suspects.difference(_inside(group)) if tid in _alive(process))


def _alive(process: CrowdProcess) -> tuple[int, ...]:
    alive = []
    for entry in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            alive += [int(entry.name)] if state not in "ZX" else []
    return tuple(sorted(alive))


def _inside(group: str) -> tuple[int, ...]:
    return tuple(map(int, (tree.RESCTRL / group / "tasks").read_text().split()))


if __name__ == "__main__":
    main()
