"""What is as it was is not planned again, and that changes no decision; tests/agent/conftest.py compares each."""

import contextlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachetune.agent import decide as decide_module
from cachetune.agent.decide import AgentOptions
from cachetune.agent.recall import Recall
from cachetune.agent.reconcile import Clock, Inputs, Reconciler
from cachetune.errors import ResctrlError
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.guests.tuning_files import TuningFile
from cachetune.host.remembered import RememberedHost
from cachetune.plan import GuestRequest, Plan
from tests.agent.conftest import UNCHECKED
from tests.agent.machine import BROKEN, OPTIONS, Machine, wanted

NAMES = tuple(f"guest{number}" for number in range(12))


def running(name: str, worker: int = 0) -> RunningGuest:
    """A guest with two vCPUs, and a thread of the emulator if it has a ``worker``."""
    first = 5000 + 100 * NAMES.index(name)
    threads = tuple(Thread(first + n, 0, f"CPU {n}/KVM", n) for n in range(2))
    more = (Thread(first + 50 + worker, 0, "worker"),) if worker else ()
    return RunningGuest(name=name, uuid=None, source="threads", user=0, guest=Guest(first, (*threads, *more)))


def file_of(name: str, ways: int = 3) -> TuningFile:
    return TuningFile(wanted(ways, name=name, uuid=None))


class World:
    """Twelve guests that request three ways each, of which the host has eleven."""

    def __init__(self, run: Path, options: AgentOptions = OPTIONS) -> None:
        self.machine = Machine(run)
        self.sim = self.machine.sim
        self.files = {name: file_of(name) for name in NAMES}
        self.running = {name: running(name) for name in NAMES}
        for guest in self.running.values():
            for thread in guest.guest.threads:
                self.sim.add_task(thread.tid)
        self.seconds = 1000.0
        inputs = Inputs(
            connection=lambda: self.machine.connection,
            files=lambda _: dict(self.files),
            guests=lambda: tuple(self.running.values()),
            read_host=RememberedHost().read,
        )
        clock = Clock(time=lambda: self.seconds, monotonic=lambda: self.seconds)
        self.reconciler = Reconciler(inputs, options, clock, lambda *_: None)

    def round(self) -> bool:
        self.seconds += 5
        return self.reconciler.round()

    def settle(self) -> None:
        while self.round():
            pass

    def states(self) -> list[str]:
        return [self.reconciler.statuses[name].state for name in NAMES]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The guests that the agent plans after this."""
    names: list[str] = []
    real = decide_module.compare_requests

    def plan(requests: Sequence[GuestRequest], *others: Any) -> Plan:
        names.extend(request.domain.name for request in requests)
        return real(requests, *others)

    monkeypatch.setattr(decide_module, "compare_requests", plan)
    monkeypatch.setattr(Recall, "decision", UNCHECKED)
    return names


def test_a_round_in_which_nothing_has_changed_plans_nothing(tmp_path: Path, planned: list[str]) -> None:
    world = World(tmp_path)
    world.settle()
    assert (world.states().count("placed"), world.states().count("failed")) == (3, 9)
    planned.clear()
    for process in range(8000, 8010):
        world.sim.add_task(process)  # as any program that starts
        assert not world.round()
    assert planned == []


def test_only_the_guest_that_has_changed_is_planned_again(tmp_path: Path, planned: list[str]) -> None:
    world = World(tmp_path)
    world.settle()
    planned.clear()
    world.running["guest7"] = running("guest7", worker=1)
    world.round()
    world.files["guest9"] = file_of("guest9", ways=4)
    world.round()
    assert planned == ["guest7", "guest9"]


def test_all_guests_are_planned_again_when_the_host_has_changed(tmp_path: Path, planned: list[str]) -> None:
    world = World(tmp_path)
    world.settle()
    planned.clear()
    world.sim.mkdir("another")
    world.round()
    assert sorted(planned) == sorted(NAMES)


def test_a_change_by_hand_is_repaired_in_the_next_round(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle()
    group = next(name for name in world.sim.listdir("") if name.startswith("cachetune-guest"))
    before = world.sim.read(f"{group}/schemata")
    world.sim.write(f"{group}/schemata", "L3:1=1\n")
    assert world.round()
    assert world.sim.read(f"{group}/schemata") == before


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_decision_is_the_one_that_would_be_made_without_memory(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, to do the same again
    world = World(tmp_path, msgspec.structs.replace(OPTIONS, adopt=bool(seed % 2)))
    seen: set[str] = set()
    for _ in range(60):
        name = chance.choice(NAMES)
        match chance.randrange(9):
            case 0:
                world.files[name] = file_of(name, chance.randrange(1, 5))
            case 1:
                world.files.pop(name, None)
            case 2:
                world.files[name] = BROKEN["web"]
            case 3:
                world.running.pop(name, None)
            case 4:
                world.running[name] = running(name, worker=chance.randrange(3))
            case 5:
                with contextlib.suppress(ResctrlError):
                    world.sim.mkdir(chance.choice(["foreign", "other"]))
            case 6:
                group = chance.choice([g for g in world.sim.listdir("") if world.sim.exists(f"{g}/schemata")] or ["."])
                with contextlib.suppress(ResctrlError):
                    world.sim.write(f"{group}/schemata", f"L3:0={chance.choice(['1', '3', '7ff'])}\n")
            case 7:
                with contextlib.suppress(ResctrlError):
                    world.sim.write("tasks", f"{5000 + 100 * NAMES.index(name)}\n")
        world.round()
        seen.update(status.state for status in world.reconciler.statuses.values())
    assert {"placed", "failed", "waiting"} <= seen
