"""Random runs for several guests on one simulated host, many of which fail or are killed.

An episode is a host, its guests, other programs with groups, and about twenty runs. All of it follows from a seed, so
that an episode can be repeated. The invariants are asserted after each run, and after all guests and other groups have
been removed, the host must be in its initial state.
"""

import dataclasses
import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain.model import Domain
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.read import read_host
from cachetune.plan import Options, Plan, PlanRefusedError, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.sim import SimulatedResctrl, load_profile
from tests.apply.dying import until_death
from tests.apply.test_exclusive import overlaps
from tests.drawn import drawn_domain
from tests.samples import FAST_PROFILES, cache_request, domain, group, plan_for

RUNS = 20
GUESTS = ("web", "db", "mail", "cache", "build")
FAULTS = (errno.EIO, errno.ENOSPC, errno.EINVAL)


@dataclasses.dataclass
class Counts:
    """The counts of one episode or of many; ``refused`` runs could not be planned, ``moved`` have compacted a cache."""

    runs: int = 0
    refused: int = 0
    failures: int = 0
    deaths: int = 0
    deaths_of_recover: int = 0
    moved: int = 0

    def add(self, other: "Counts") -> None:
        """Add the counts of another."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def episode(seed: str, run: Path, on: SimulatedResctrl | None = None, *, compact: bool = False) -> Counts:
    """Run one episode, on a drawn host or on this one. Raises AssertionError with the seed when an invariant fails."""
    played = Episode(seed, run, on, compact=compact)
    try:
        return played.play()
    except Exception as error:
        raise AssertionError(f"episode {seed!r}, run {played.counts.runs}: {error!r}") from error


class Episode:
    """A host, its guests, and the generator that decides what happens."""

    def __init__(self, seed: str, run: Path, on: SimulatedResctrl | None, *, compact: bool) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.counts = Counts()
        profile = load_profile(self._draw.choice(FAST_PROFILES))
        self._sim = on or SimulatedResctrl(profile, kernel=self._draw.choice(["6.1", "6.12"]))
        self._options = Options(shrink_default=not compact, assign_counters=on is not None, compact=compact)
        self._connection = Connection(self._sim, run)
        self._guests = {name: self._start(1000 * n) for n, name in enumerate(GUESTS, 1)}
        for number in range(self._draw.randrange(3)):
            self._settle(f"COS{number}")
        if compact:
            self._give_others_few_ways()

    def _start(self, first: int) -> Guest:
        for tid in range(first, first + 4):
            self._sim.add_task(tid)
        return Guest(first, tuple(Thread(tid, 0, f"CPU {n}/KVM", n) for n, tid in enumerate(range(first, first + 4))))

    def _settle(self, path: str) -> None:
        """Another program's group, with the highest way of each cache, which it shares with the default group."""
        self._sim.mkdir(path)
        for cache in read_host(self._sim).caches:
            highest = ((1 << cache.min_cbm_bits) - 1) << cache.ways - cache.min_cbm_bits
            masks = ";".join(f"{i}={highest:x}" for i in cache.size_bytes)
            self._sim.write(f"{path}/schemata", f"{cache.name}:{masks}\n")

    def _give_others_few_ways(self) -> None:
        """The default group keeps the highest ways, so that guests have room without taking ways from it."""
        for cache in read_host(self._sim).caches:
            highest = ((1 << max(cache.min_cbm_bits, 2)) - 1) << cache.ways - max(cache.min_cbm_bits, 2)
            self._sim.write("schemata", f"{cache.name}:{';'.join(f'{i}={highest:x}' for i in cache.size_bytes)}\n")

    def play(self) -> Counts:
        """All runs, then the removal of all guests."""
        first = self._sim.tree()
        for _ in range(RUNS):
            self._one_run()
            self._check()
        for name in GUESTS:
            assert apply(self._removal(name), self._connection).outcome in ("done", "nothing to do")
        left = self._sim.tree()
        assert left == first, [path for path in left.keys() | first.keys() if left.get(path) != first.get(path)]
        return self.counts

    def _one_run(self) -> None:
        name = self._draw.choice(GUESTS)
        how = self._draw.choice([self._undisturbed, self._failing, self._dying, self._dying])
        wanted = self._wish(name) if self._draw.random() < 0.7 else self._removal(name)
        if wanted is None:
            self.counts.refused += 1
            return
        self.counts.runs += 1
        self.counts.moved += bool(wanted.moved)
        how(wanted)

    def _wish(self, name: str) -> Plan | None:
        try:
            wanted = self._bulky(name) if self._options.compact else drawn_domain(self._draw, self._look(), name)
            return plan_for(wanted, self._connection, self._guests[name], self._options)
        except PlanRefusedError:
            return None

    def _bulky(self, name: str) -> Domain:
        """One group with a few ways of some caches, or many: such requests leave holes and need room."""
        sizes = [1, 1, 2, 2, 3, 4, 5]
        caches = tuple(
            cache_request(cache, i, self._draw.choice([n for n in sizes if n >= cache.min_cbm_bits]))
            for cache in self._look().caches
            for i in cache.size_bytes
            if self._draw.random() < 0.8
        )
        return domain(group({0, 1, 2, 3}, caches, (), []), name=name)

    def _removal(self, name: str) -> Plan:
        ledger, machine = load_ledger(self._connection.run), f"cachetune-{name}"
        return plan_removal(self._look(), [PlanGuest("", machine)], ledger.groups_of(machine), ledger.shrunk)

    def _look(self) -> Any:
        return self._connection.look(load_ledger(self._connection.run))

    def _undisturbed(self, wanted: Plan) -> None:
        assert apply(wanted, self._connection).outcome in ("done", "nothing to do")
        self._is_after(wanted)

    def _failing(self, wanted: Plan) -> None:
        """One operation fails, or two; a write fails before or after it takes effect."""
        before = self._state()
        for _ in range(self._draw.choice([1, 1, 2])):
            after = self._draw.random() < 0.2
            # the kernel does not make a group and then refuse it, nor a write that it can refuse
            kind: Any = "write" if after else None
            number = errno.EIO if after else self._draw.choice(FAULTS)
            self._sim.fail(number, at=self._draw.randint(1, 12), operation=kind, after=after)
        report = apply(wanted, self._connection)
        self._sim._faults.clear()
        self.counts.failures += 1
        if report.outcome == "rollback incomplete":
            assert recover(self._connection).outcome == "done"
        if report.outcome in ("done", "nothing to do"):
            self._is_after(wanted)
        else:
            assert self._state() == before

    def _dying(self, wanted: Plan) -> None:
        """The run is killed at any change; then recover runs, and may be killed and repeated."""
        before = self._state()
        self._until_death(lambda: apply(wanted, self._connection), self._draw.randint(1, 40))
        for _ in range(self._draw.choice([0, 0, 1, 2])):
            if journal.exists(self._connection.run):
                self.counts.deaths_of_recover += 1
                self._until_death(lambda: recover(self._connection), self._draw.randint(1, 12))
        self.counts.deaths += 1
        recover(self._connection)
        if self._state() != before:
            self._is_after(wanted)
        after = self._state()
        assert recover(self._connection).outcome == "nothing to do"
        assert self._state() == after

    def _until_death(self, run: Callable[[], object], number: int) -> None:
        until_death(self._sim, self._connection.run, run, number)

    def _state(self) -> tuple[dict[str, str], Any]:
        ledger = load_ledger(self._connection.run)
        return self._sim.tree(), (ledger.guests, ledger.shrunk)

    def _is_after(self, wanted: Plan) -> None:
        """The groups have the masks that the plan is for, and the records match."""
        machine = wanted.guests[0].machine_name
        host = self._look()
        there = {group.path for group in host.groups if f"{machine}-" in group.path}
        assert there == {group.path for group in wanted.groups}
        assert load_ledger(self._connection.run).groups_of(machine) == there
        for planned in wanted.groups:
            found = host.group(planned.path)
            requested = planned.requested.places()
            assert all(found.masks.at(*of) == planned.schemata.masks.at(*of) for of in requested)

    def _check(self) -> None:
        """Two groups never share ways that they must not share, and foreign groups keep what they have."""
        host = self._look()
        others = [group for group in host.groups if group.path.startswith("COS")]
        theirs = {mask for group in others for of in group.masks.values() for mask in of.values()}
        assert overlaps(self._sim, theirs) == []
        assert DEFAULT_GROUP in {group.path for group in host.groups}
        assert not journal.exists(self._connection.run)
