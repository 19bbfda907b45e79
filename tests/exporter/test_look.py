"""Looking at a host: one reading per interval, failures that leave the rest alone, the agent, an interrupted run."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.agent import status_file
from cachetune.agent.model import AgentStatus
from cachetune.errors import NotMountedError, ResctrlError, SourceUnavailableError
from cachetune.exporter import look as module
from cachetune.exporter.look import GUESTS_SECONDS, Observer
from cachetune.guests.find import Running
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.guests.sources.options import SourceOptions
from cachetune.service import hosts
from cachetune.service import readings as service
from cachetune.service.connection import Location
from cachetune.service.select import Selection
from cachetune.service.status import Tuning
from cachetune.sim import SimulatedResctrl
from cachetune.testing import Clock, simulate
from cachetune.watch import sampler
from tests.host.trees import SKYLAKE, make

WEB = "cachetune-web-vcpus_0-1"
HALF = "<cputune><memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune></cputune>"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sampler.time, "monotonic", clock)
    return clock


@pytest.fixture
def sim(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedResctrl:
    """The host that every location is, with a group of a guest."""
    sim = simulate("skylake-2s", clock=clock)
    sim.mkdir(WEB)
    for each in (hosts, service):
        monkeypatch.setattr(each, "open_resctrl", lambda _: sim)
    monkeypatch.setattr(module, "look", lambda *_: Running())
    return sim


@pytest.fixture
def problems() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def observer(
    sim: SimulatedResctrl, clock: Clock, tmp_path: Path, problems: list[tuple[str, str]]
) -> Iterator[Observer]:
    assert sim
    make(tmp_path / "resctrl", SKYLAKE)  # for what opens it otherwise: a copy, which has a lock and no idle ways
    location = Location(resctrl=tmp_path / "resctrl", run=tmp_path / "run")
    selection = Selection(guests_d=tmp_path / "guests.d", sources=SourceOptions(proc=tmp_path))
    report = lambda reason, text: problems.append((reason, text))  # noqa: E731
    with Observer(location, selection, 5.0, report, clock) as observer:
        yield observer


def states(observer: Observer) -> dict[str, str]:
    return {name: tuning.state for name, tuning in observer.seen().guests.items()}


def paths(observer: Observer) -> list[str]:
    return [group.path for group in observer.seen().groups]


def test_the_counters_are_read_once_per_interval_whatever_the_number_of_scrapes(
    observer: Observer, clock: Clock, sim: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = observer.seen()
    reads = []
    original = service.Watcher.look
    monkeypatch.setattr(service.Watcher, "look", lambda self: (reads.append(1), original(self))[1])
    assert sim
    scrapes = [threading.Thread(target=observer.seen) for _ in range(8)]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join()
    assert (observer.seen(), reads) == (first, [])
    clock.advance(5)
    scrapes = [threading.Thread(target=observer.seen) for _ in range(8)]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join()
    assert (observer.seen().looks, len(reads)) == (2, 1)


def test_a_group_that_is_removed_is_left_out_and_one_that_is_created_appears(
    observer: Observer, clock: Clock, sim: SimulatedResctrl, problems: list[tuple[str, str]]
) -> None:
    assert paths(observer) == [".", WEB]
    sim.rmdir(WEB)
    clock.advance(5)
    assert paths(observer) == ["."]
    sim.mkdir("COS1")  # pqos's
    clock.advance(5)
    assert paths(observer) == [".", "COS1"]
    assert problems == []


def test_a_host_that_cannot_be_read_is_reported_once_and_found_again(
    observer: Observer,
    clock: Clock,
    sim: SimulatedResctrl,
    problems: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def not_mounted(_: Location) -> SimulatedResctrl:
        raise NotMountedError("/sys/fs/resctrl", "not mounted")

    for each in (hosts, service):
        monkeypatch.setattr(each, "open_resctrl", not_mounted)
    assert (observer.seen().host, observer.seen().groups) == (None, ())
    clock.advance(5)
    assert observer.seen().errors == {"not_mounted": 4}  # two looks at the host and at the counters
    assert [text for _, text in problems] == ["/sys/fs/resctrl: not a mounted resctrl (not mounted)"]
    for each in (hosts, service):
        monkeypatch.setattr(each, "open_resctrl", lambda _: sim)
    clock.advance(5)
    assert paths(observer) == [".", WEB]
    assert [text for _, text in problems[1:]] == [""]


def test_counters_that_cannot_be_read_leave_the_allocation(
    observer: Observer, monkeypatch: pytest.MonkeyPatch, problems: list[tuple[str, str]]
) -> None:
    def refuse(_: service.Watcher) -> None:
        raise ResctrlError(errno.EMFILE, "list", ".")

    monkeypatch.setattr(service.Watcher, "look", refuse)
    seen = observer.seen()
    assert seen.host
    assert [(group.path, group.guest, group.counters) for group in seen.groups] == [(".", None, ()), (WEB, "web", ())]
    assert seen.errors == {"counters": 1}
    assert [reason for reason, _ in problems] == ["counters"]


def test_a_host_without_monitoring_has_groups_without_counters_and_no_error(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = simulate("allocation-only")
    for each in (hosts, service):
        monkeypatch.setattr(each, "open_resctrl", lambda _: other)
    assert [(group.path, group.counters) for group in observer.seen().groups] == [(".", ())]
    assert observer.seen().errors == {}


def guest(name: str, pid: int, user: int | None = 0) -> RunningGuest:
    threads = (Thread(pid), Thread(pid + 1, vcpu=0), Thread(pid + 2, vcpu=1))
    return RunningGuest(name=name, uuid=None, source="threads", guest=Guest(pid, threads), user=user)


def run_guests(monkeypatch: pytest.MonkeyPatch, sim: SimulatedResctrl, *guests: RunningGuest) -> None:
    for each in guests:
        for thread in each.guest.threads:
            sim.add_task(thread.tid)
    monkeypatch.setattr(module, "look", lambda *_: Running(guests))


def test_running_guests_are_compared_with_their_requests_now_and_then(
    observer: Observer, sim: SimulatedResctrl, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guests.d").mkdir()
    (tmp_path / "guests.d" / "db.xml").write_text(HALF)
    run_guests(monkeypatch, sim, guest("db", 100), guest("web", 200), guest("", 300))
    assert states(observer) == {"db": "drifted", "web": "unknown"}
    monkeypatch.setattr(module, "look", lambda *_: Running())
    clock.advance(5)
    assert states(observer) == {"db": "drifted", "web": "unknown"}
    clock.advance(GUESTS_SECONDS)
    assert states(observer) == {}


def test_another_users_process_cannot_make_a_guest_look_drifted(
    observer: Observer, sim: SimulatedResctrl, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_guests(monkeypatch, sim, guest("db", 100, user=1000))
    monkeypatch.setattr(module, "tunings_of", lambda *_: (Tuning("drifted"),))
    assert states(observer) == {"db": "drifted"}
    run_guests(monkeypatch, sim, guest("db", 100, user=1000), guest("db", 200))
    monkeypatch.setattr(module, "tunings_of", lambda *_: (Tuning("drifted"), Tuning("applied")))
    clock.advance(GUESTS_SECONDS)
    assert states(observer) == {"db": "applied"}


def test_sources_that_do_not_answer_leave_the_rest(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Running:
        raise SourceUnavailableError("libvirt", "no connection")

    monkeypatch.setattr(module, "look", refuse)
    seen = observer.seen()
    assert (seen.errors, seen.guests, len(seen.groups)) == ({"guests": 1}, {}, 2)


def test_the_agents_status_and_whether_it_lives_are_seen(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    assert observer.seen().agent is None
    run = tmp_path / "run"
    run.mkdir()
    start = status_file.own_start_time()
    status = AgentStatus(pid=os.getpid(), start_time=start, started=1.0, looked=2.0, period_seconds=5.0)
    status_file.write(status, run)
    clock.advance(5)
    assert (observer.seen().agent, observer.seen().agent_is_alive) == (status, True)
    (run / "agent.json").write_text("{")
    clock.advance(5)
    assert (observer.seen().agent, observer.seen().errors) == (None, {"agent_status": 1})


def test_a_journal_is_an_interrupted_run_unless_a_run_has_the_lock(
    observer: Observer, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").write_text("")
    lock = os.open(tmp_path / "resctrl", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert not observer.seen().interrupted  # a run is at work
    os.close(lock)
    clock.advance(5)
    assert observer.seen().interrupted
    lock = os.open(tmp_path / "resctrl", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    clock.advance(5)
    assert observer.seen().interrupted  # another program has the lock for a moment
    os.close(lock)
