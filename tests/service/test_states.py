"""The states of running guests again and again: those of a single look, for less work while nothing changes."""

import time
from pathlib import Path

import pytest

from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.sources.options import SourceOptions
from cachetune.host.read import read_host
from cachetune.plan.request import Options
from cachetune.service import states as module
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading
from cachetune.service.select import Selection
from cachetune.service.states import GuestStates
from cachetune.service.status import tunings_of
from cachetune.testing import simulate
from tests.guests.lookalike import add_process

ONE_WAY = (
    "<cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='1' unit='ways'/></cachetune></cputune>"
)
QEMU = "/usr/bin/qemu-system-x86_64"


class World:
    """A host with the guest web (process 40), which has a tuning file, and how often requests were planned."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.planned = directory, 0
        self.sim = simulate("skylake-2s")
        self.options = Options()
        self.file = directory / "guests.d/web.xml"
        self.file.parent.mkdir()
        self.file.write_text(ONE_WAY)
        self.start("web", 40)
        self.sim.write("schemata", "L3:0=7f0\n")
        nowhere = directory / "none"
        sources = SourceOptions(proc=directory / "proc", libvirt_run=nowhere, cgroup=nowhere)
        self.states = GuestStates(
            Location(run=directory / "run"),
            Selection(sources=sources, guests_d=self.file.parent),
            lambda: self.options,
            clock=lambda: time.time() + 60,  # long after the file was written
        )
        monkeypatch.setattr(module, "tunings_of", self._tunings_of)

    def _tunings_of(self, *given: object) -> object:
        self.planned += 1
        return tunings_of(*given)  # type: ignore[arg-type]

    def start(self, name: str, pid: int) -> None:
        threads = {pid: "qemu-system-x86", pid + 1: "CPU 0/KVM"}
        add_process(self.directory / "proc", pid, threads, arguments=(QEMU, "-name", f"guest={name}"))
        for tid in threads:
            self.sim.add_task(tid)

    def look(self) -> dict[str, str]:
        """The state of each guest's tuning."""
        reading = HostReading(read_host(self.sim), load_ledger(self.directory / "run"))
        return {guest.name: guest.tuning.state for guest in self.states.look(reading)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_while_nothing_changes_nothing_is_planned_again(world: World) -> None:
    assert world.look() == {"web": "drifted"}
    for _ in range(3):
        assert world.look() == {"web": "drifted"}
    assert world.planned == 1


def test_a_program_that_starts_in_the_default_group_changes_nothing(world: World) -> None:
    world.look()
    world.sim.add_task(4000)
    assert world.look() == {"web": "drifted"}
    assert world.planned == 1


def test_a_guest_that_starts_is_seen(world: World) -> None:
    world.look()
    world.start("db", 50)
    assert world.look() == {"web": "drifted", "db": "unknown"}


def test_a_tuning_file_that_changes_or_is_removed_is_seen(world: World) -> None:
    assert world.look() == {"web": "drifted"}
    world.file.write_text(ONE_WAY.replace("'1'", "'9'"))
    assert world.look() == {"web": "refused"}
    world.file.write_text("<cputune")
    assert world.look() == {"web": "invalid"}
    world.file.unlink()
    assert world.look() == {"web": "unknown"}


def test_a_file_that_changed_a_moment_ago_may_change_again_unseen_so_it_is_read_again(world: World) -> None:
    world.states._clock = time.time
    world.look()
    world.look()
    assert world.planned == 2


def test_what_happens_to_a_guests_groups_is_seen(world: World) -> None:
    assert world.look() == {"web": "drifted"}
    world.sim.mkdir("cachetune-web-vcpus_0")
    world.sim.write("cachetune-web-vcpus_0/schemata", "L3:0=001\n")
    world.sim.write("cachetune-web-vcpus_0/tasks", "41\n")
    assert world.look() == {"web": "applied"}
    world.sim.write("cachetune-web-vcpus_0/schemata", "L3:0=003\n")
    assert world.look() == {"web": "drifted"}


def test_other_options_plan_again(world: World) -> None:
    world.file.write_text(ONE_WAY.replace("'1'", "'5'"))
    assert world.look() == {"web": "refused"}
    world.options = Options(shrink_default=True)
    assert world.look() == {"web": "drifted"}
