"""Runs that start at the same moment, each in its own process: for the same guest, and for several.

``python -m … TIMES DOMAIN.xml``; the guests are three threads of one process, with a domain for one vCPU each. The lock
is held until all runs of a moment want it, so that they do meet.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import apply_planned
from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.model import Guest
from cachetune.host import SysfsResctrl
from cachetune.host.resctrl.port import OnWait, in_silence
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.children import Child, lock_held
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import domain_in, guest_of, place_on, planned, removal

NAMES = ("first", "second", "third")


class Run(msgspec.Struct, frozen=True):
    """One run of a moment. Times are of one clock, in seconds; it had the lock from ``held[0]`` to ``held[1]``."""

    outcome: str
    error: str
    asked: float
    held: tuple[float, float]


class Moment(msgspec.Struct, frozen=True):
    """What began together, and the groups with the guests' threads in them, the masks, and our records after it."""

    runs: tuple[Run, ...]
    tids: dict[str, tuple[int, ...]]
    schemata: dict[str, str]
    owned: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """The guests' threads; the moments of each kind; what differs from the original tree at the end."""

    guests: dict[str, int]
    same: tuple[Moment, ...]
    different: tuple[Moment, ...]
    removed: tuple[Moment, ...]
    differs: tuple[str, ...]


class _Timed(SysfsResctrl):
    """Records when the lock was requested, acquired and released."""

    asked, held = 0.0, (0.0, 0.0)

    def __init__(self, root: Path, on_asking: Callable[[], object]) -> None:
        super().__init__(root)
        self._on_asking = on_asking

    @contextmanager
    def lock(self, *, exclusive: bool, timeout: float, on_wait: OnWait = in_silence) -> Iterator[None]:
        self.asked = time.monotonic()
        self._on_asking()
        with super().lock(exclusive=exclusive, timeout=timeout, on_wait=on_wait):
            begin = time.monotonic()
            yield
            self.held = begin, time.monotonic()


class Scene:
    """Three guests, each a thread with its own domain."""

    def __init__(self, domain: Path, guest: Guest) -> None:
        self.connection = place_on(Path("/run/together"))
        wanted = domain_in(domain)
        threads = [thread for thread in guest.threads if thread.vcpu is not None]
        self.guests = {
            name: Guest(None, (msgspec.structs.replace(thread, vcpu=0),))
            for name, thread in zip(NAMES, threads, strict=False)
        }
        self.domains = {name: msgspec.structs.replace(wanted, name=name) for name in self.guests}

    def moment(self, verb: str, *names: str) -> Moment:
        """Let one run begin for each name at the same time."""
        reader, writer = os.pipe()
        with lock_held():
            children = [Child(partial(self._timed, verb, name, writer)) for name in names]
            for _ in names:
                os.read(reader, 1)
        runs = tuple(msgspec.json.decode(child.answer(), type=Run) for child in children)
        os.close(reader)
        os.close(writer)
        return self._after(runs)

    def _timed(self, verb: str, name: str, asking: int) -> bytes:
        resctrl = _Timed(tree.RESCTRL, lambda: os.write(asking, b"."))
        report = self._run(verb, name, resctrl)
        return msgspec.json.encode(Run(report.outcome, report.error, resctrl.asked, resctrl.held))

    def _run(self, verb: str, name: str, resctrl: SysfsResctrl) -> Report:
        connection, domain = msgspec.structs.replace(self.connection, resctrl=resctrl), self.domains[name]
        if verb == "apply":
            return apply_planned(lambda _host, _ledger: planned(domain, self.guests[name], connection), connection)
        return apply_planned(lambda _host, _ledger: removal(domain, connection), connection)

    def _after(self, runs: tuple[Run, ...]) -> Moment:
        known = {thread.tid for guest in self.guests.values() for thread in guest.threads}
        groups = tree.groups()
        tids = {path: tuple(sorted(known & set(map(int, files["tasks"].split())))) for path, files in groups.items()}
        schemata = {path: files["schemata"] for path, files in groups.items() if "schemata" in files}
        return Moment(runs, tids, schemata, tuple(sorted(load_ledger(self.connection.run).owned)))


def main() -> None:
    """Print an Outcome."""
    same, different, removed = [], [], []
    with running(3) as process:
        tids = process.threads.tids
        before = tree.state(tids)
        domain = Path(sys.argv[2])
        scene = Scene(domain, guest_of(domain_in(domain), process.threads.pid))
        for _ in range(int(sys.argv[1])):
            same.append(scene.moment("apply", "first", "first"))
            different.append(scene.moment("apply", "second", "third"))
            removed.append(scene.moment("remove", *NAMES))
        differs = tree.differences(before, tree.state(tids))
    guests = {name: guest.threads[0].tid for name, guest in scene.guests.items()}
    outcome = Outcome(guests, tuple(same), tuple(different), tuple(removed), differs)
    sys.stdout.buffer.write(documents.encode(outcome))


if __name__ == "__main__":
    main()
