"""A simulated host with libvirt and its hook in this process, where the hook can be killed at any of its changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Connection
from cachetune.apply.state import journal, reservations
from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.model import Guest, Thread
from cachetune.hook import Call, operations
from cachetune.host.read import read_host
from tests.apply.dying import until_death
from tests.hook.calling import cache, domain, tuning
from tests.samples import host_with_guest

WAYS = 2  # of cache 0, for each guest
FLAGS = ("--shrink-default",)
GUESTS = {"db": 9, "mail": 10, "file": None, "other": None}
"""The guests, with libvirt's number if it places them. The others have a tuning file."""


class Site:
    """The host. ``seconds`` is how far the clock has been moved."""

    def __init__(self, directory: Path, flags: tuple[str, ...] = FLAGS) -> None:
        self.sim, self.run = host_with_guest("skylake-2s"), directory / "run"
        self.connection = Connection(self.sim, self.run)
        self.seconds = 0.0
        self._flags = flags
        self._tids: dict[str, range] = {}
        self._guests_d = directory / "guests.d"
        self._guests_d.mkdir(parents=True)
        for name, number in GUESTS.items():
            if number is None:
                (self._guests_d / f"{name}.xml").write_text(tuning(cache(ways=WAYS)))
        self.found = self.sim.tree()

    @contextmanager
    def here(self) -> Iterator["Site"]:
        """The hook works on this host while this is entered."""
        clock = reservations._now
        with (
            mock.patch.object(operations, "connect", return_value=self.connection),
            mock.patch.object(operations, "_guest", lambda call, *_: self._guest(call.guest)),
            mock.patch.object(reservations, "_now", side_effect=lambda: clock() + self.seconds),
        ):
            yield self

    # ---- what libvirt does

    def hook(self, operation: str, name: str) -> int:
        """Call the hook; the XML of a running guest has its number."""
        call = Call(name, operation)
        call.flags = set(self._flags)
        call.values |= {"--guests-d": str(self._guests_d), "--run": str(self.run)}
        number = GUESTS[name]
        own = cache(ways=WAYS) if number else ""
        call.xml = domain(name, own, None if operation == "release" else number or 77).encode()
        return operations.handle(call)

    def killed_hook(self, operation: str, name: str, change: int) -> bool:
        """Call the hook and kill it at this change; return whether it had that many."""
        return until_death(self.sim, self.run, lambda: self.hook(operation, name), change)

    def appears(self, name: str) -> bool:
        """Start QEMU; libvirt makes the guest's group if its XML has a request. Return whether the guest runs."""
        number = GUESTS[name]
        path = f"qemu-{number}-{name}-vcpus_0-1"
        if number is not None and not self._placed(path):
            return False
        first = 100 * (1 + list(GUESTS).index(name))
        self._tids[name] = range(first, first + 4)
        for tid in self._tids[name]:
            self.sim.add_task(tid)
            if number is not None and tid < first + 2:
                self.sim.write(f"{path}/tasks", str(tid))
        return True

    def _placed(self, path: str) -> bool:
        """Libvirt takes the first ways that no group has, and the default group's on other caches."""
        host = read_host(self.sim)
        taken = sum(1 << bit for bit in range(11) if any(g.masks["L3"][0] >> bit & 1 for g in host.control_groups()))
        free = next((3 << n for n in range(10) if not 3 << n & taken), 0)
        if free:
            self.sim.mkdir(path)
            self.sim.write(f"{path}/schemata", f"L3:0={free:x}\n")
        return bool(free)

    def is_running(self, name: str) -> bool:
        """Whether the guest's QEMU runs."""
        return name in self._tids

    def ends(self, name: str) -> None:
        """End the guest; libvirt removes the group that it made."""
        for tid in self._tids.pop(name, ()):
            self.sim.end_task(tid)
        number = GUESTS[name]
        if self.sim.exists(path := f"qemu-{number}-{name}-vcpus_0-1"):
            self.sim.rmdir(path)

    def _guest(self, name: str) -> Guest:
        tids = self._tids[name]
        return Guest(tids[0], tuple(Thread(tid, 0, f"CPU {n}/KVM", n) for n, tid in enumerate(tids)))

    # ---- what the tests ask

    def recover(self) -> Report:
        """Run ``recover``."""
        return recover(self.connection)

    def interrupted(self) -> bool:
        """Whether a run was interrupted and not recovered."""
        return journal.exists(self.run)

    def left(self) -> list[str]:
        """All that is not as it was found: groups and values, and what the run directory says about guests."""
        ledger, now = load_ledger(self.run), self.sim.tree()
        differs = [path for path in now.keys() | self.found.keys() if now.get(path) != self.found.get(path)]
        records = [file.name for kind in ("expected", "departed") for file in (self.run / kind).glob("*.json")]
        return [*differs, *ledger.guests, *(["shrunk"] if ledger.shrunk else []), *records]

    def overlaps(self) -> list[str]:
        """Groups with ways of cache 0 that another group has, as a new group may before it has threads."""
        groups = [g for g in read_host(self.sim).control_groups() if g.tids or not self.interrupted()]
        masks = {g.path: g.masks["L3"][0] for g in groups}
        return [f"{a} and {b}" for a, x in masks.items() for b, y in masks.items() if a < b and x & y]
