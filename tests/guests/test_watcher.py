"""Looking for the guests again and again: the answers of a search, for the work of a glance while nothing changes."""

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cachetune.errors import UnreadableFileError
from cachetune.guests import watcher
from cachetune.guests.find import running_guests
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.watcher import RENEWED_SECONDS, SETTLED_SECONDS, GuestWatcher
from tests.guests.lookalike import add_kernel_thread, add_process, status_xml

PERIOD = 5.0
MACHINE = "1:cpu:/machine.slice/machine-qemu\\x2d1\\x2dg{pid}.scope\n"


class World:
    """A /proc and libvirt's status files, a clock, and a watcher whose searches are counted."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.libvirt_run = directory / "proc", directory / "qemu"
        self.proc.mkdir()
        self.libvirt_run.mkdir()
        self.options = SourceOptions(proc=self.proc, libvirt_run=self.libvirt_run, cgroup=directory / "cgroup")
        self.now, self.searches = 1000.0, 0
        self.watcher = GuestWatcher(self.options, clock=lambda: self.now)
        monkeypatch.setattr(watcher, "running_guests", self._search)

    def _search(self, options: SourceOptions, source: None) -> tuple[RunningGuest, ...]:
        self.searches += 1
        return running_guests(options, source)

    def add(self, pid: int, vcpus: int = 2, **more: object) -> None:
        threads = {pid: "qemu-kvm"} | {pid + 1 + n: f"CPU {n}/KVM" for n in range(vcpus)}
        arguments = ("qemu-kvm", "-name", f"guest=g{pid},debug-threads=on")
        add_process(self.proc, pid, threads, arguments=arguments, **more)  # type: ignore[arg-type]

    def round(self, seconds: float = PERIOD) -> tuple[RunningGuest, ...]:
        self.now += seconds
        return self.watcher.look()

    def settle(self) -> int:
        """Let everything be as it is for long enough; the searches so far."""
        for _ in range(1 + int(SETTLED_SECONDS / PERIOD)):
            self.round()
        return self.searches


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_while_nothing_changes_there_is_a_search_a_minute(world: World) -> None:
    world.add(100)
    world.add(200)
    before, first = world.settle(), world.round()
    for _ in range(120):
        assert all(now is then for now, then in zip(world.round(), first, strict=True))
    assert world.searches - before <= 121 * PERIOD / RENEWED_SECONDS


def _name_of_a_vcpu(world: World) -> None:
    directory = world.proc / "100/task/102"
    (directory / "stat").write_text((directory / "stat").read_text().replace("CPU 1/KVM", "CPU 7/KVM"))


CHANGES: dict[str, Callable[[World], object]] = {
    "a guest starts": lambda world: world.add(300),
    "a guest ends": lambda world: shutil.rmtree(world.proc / "200"),
    "a guest is replaced by one with its pid": lambda world: world.add(200, start=2000),
    "a program executes QEMU": lambda world: world.add(50),
    "a vCPU is plugged in": lambda world: world.add(100, vcpus=3),
    "a vCPU is unplugged": lambda world: shutil.rmtree(world.proc / "100/task/102"),
    "libvirt writes a status file": lambda world: (world.libvirt_run / "g100.xml").write_text(
        status_xml("g100", "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10", 100, {0: 101, 1: 102})
    ),
    "a vhost worker starts": lambda world: add_kernel_thread(world.proc, 90, "vhost-100", start=3000),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_in_the_next_round(world: World, change: Callable[[World], object]) -> None:
    world.add(100)
    world.add(200)
    add_process(world.proc, 50, {50: "sh"}, arguments=("sh",))
    world.settle()
    before = world.round()
    change(world)
    after = world.round()
    assert after == running_guests(world.options)
    assert after != before


def test_a_thread_that_takes_its_name_after_it_has_been_seen_is_named(world: World) -> None:
    add_process(world.proc, 100, {100: "qemu-kvm", 101: "qemu-kvm"})
    assert not world.round()[0].guest.threads[1].comm.startswith("CPU")
    add_process(world.proc, 100, {100: "qemu-kvm", 101: "CPU 0/KVM"})
    assert world.round()[0].guest.threads[1].vcpu == 0


def test_what_leaves_no_trace_is_seen_within_a_minute(world: World) -> None:
    world.add(100)
    world.settle()
    _name_of_a_vcpu(world)
    rounds = itertools.takewhile(lambda found: found != running_guests(world.options), iter(world.round, None))
    assert len(list(rounds)) <= RENEWED_SECONDS / PERIOD


def test_after_an_event_there_is_one_search(world: World) -> None:
    world.add(100)
    before = world.settle()
    _name_of_a_vcpu(world)
    world.watcher.forget()
    assert world.round() == running_guests(world.options)
    world.round()
    assert world.searches == before + 1


def test_programs_that_are_no_guests_come_and_go_without_a_search(world: World) -> None:
    world.add(100)
    before = world.settle()
    for pid in range(1000, 1010):
        add_process(world.proc, pid, {pid: "sh"}, arguments=("sh", "-c", "true"))
        world.round()
        shutil.rmtree(world.proc / str(pid))
        world.round(0.1)
    assert world.searches == before


def test_a_search_that_fails_is_made_again(world: World) -> None:
    world.add(100)
    world.settle()
    world.proc.rename(world.proc.with_name("away"))
    with pytest.raises(UnreadableFileError):
        world.round()
    world.proc.with_name("away").rename(world.proc)
    assert [guest.name for guest in world.round()] == ["g100"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_guests_are_those_of_a_search(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, to do the same again
    for step in range(100):
        pid = chance.choice([100, 200, 300])
        match chance.randrange(8):
            case 0:
                world.add(pid, vcpus=chance.randrange(1, 4), start=chance.randrange(1000, 1003))
            case 1:
                shutil.rmtree(world.proc / str(pid), ignore_errors=True)
            case 2:
                shutil.rmtree(world.proc / f"{pid}/task/{pid + 1}", ignore_errors=True)
            case 3:
                part = world.libvirt_run / "part"
                part.write_text(status_xml(f"g{pid}", "", pid, {0: pid + 1}, inside=f"<title>{step}</title>"))
                part.rename(world.libvirt_run / f"g{pid}.xml")
            case 4:
                (world.libvirt_run / f"g{pid}.xml").unlink(missing_ok=True)
            case _:
                pass
        assert world.round(chance.choice([0.0, 1.0, PERIOD])) == running_guests(world.options), step
    assert world.searches < 100
