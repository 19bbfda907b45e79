"""Recording: what cannot be read or written is reported once and missing, and everything else is recorded."""

import itertools
from pathlib import Path

import pytest

from cachetune.errors import HistoryDamagedError, HistoryError, HostError
from cachetune.service import readings as service
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.recording import Recording, record
from cachetune.service.select import Selection
from cachetune.sim import SimulatedResctrl
from cachetune.testing import Clock, simulate
from cachetune.watch import sampler
from cachetune.watch.history import History, Recorder
from cachetune.watch.usage import Moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sampler.time, "monotonic", clock)
    times = itertools.count(1_800_000_000)
    monkeypatch.setattr(sampler.time, "time", lambda: next(times))
    return clock


@pytest.fixture
def sim(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedResctrl:
    sim = simulate("skylake-2s", clock=clock)
    sim.mkdir("cachetune-web-vcpus_0")
    sim.mkdir("COS1")
    monkeypatch.setattr(service, "open_resctrl", lambda _: sim)
    return sim


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


def watcher() -> Watcher:
    return Watcher(Location(host="sim:any"), Selection(foreign=True))


class Failing(Recorder):
    """A recorder that fails at some moments."""

    failures: dict[int, HistoryError]
    asked = -1

    def add(self, moment: Moment) -> None:
        self.asked += 1
        if error := self.failures.get(self.asked):
            raise error
        super().add(moment)


def run(path: Path, clock: Clock, said: list[tuple[str, str]], moments: int, **failures: HistoryError) -> list[Moment]:
    """Record, one second after another; failures are named for their moment: at_3."""
    with Failing(path) as recorder, watcher() as eyes:
        recorder.failures = {int(at.removeprefix("at_")): error for at, error in failures.items()}
        recording = Recording(recorder, lambda level, text: said.append((level, text)))
        record(
            eyes, recording, (clock.advance(1) or tick for tick in range(moments)), lambda: said.append(("", "ready"))
        )
    with History(path) as history:
        found = [*history.moments()]
    assert recording.recorded == len(found)
    return found


@pytest.mark.usefixtures("sim")
def test_every_group_is_recorded_with_its_guest_and_with_rates_from_the_second_moment_on(
    tmp_path: Path, clock: Clock, said: list[tuple[str, str]]
) -> None:
    first, second, third = run(tmp_path / "history.db", clock, said, 3)
    assert {(usage.path, usage.guest) for usage in first.usages} == {
        (".", None),
        ("COS1", None),
        ("cachetune-web-vcpus_0", "web"),
    }
    assert {usage.total_bytes_per_second for usage in first.usages} == {None}
    rates = [{(u.path, u.cache_id): u.total_bytes_per_second for u in moment.usages} for moment in (second, third)]
    assert all(None not in known.values() for known in rates)
    assert all(known[".", 0] for known in rates)
    assert said == [("", "ready")]


@pytest.mark.usefixtures("sim")
def test_a_full_disk_is_reported_once_and_what_was_missed_when_it_ends(
    tmp_path: Path, clock: Clock, said: list[tuple[str, str]]
) -> None:
    full = HistoryError("history.db", "database or disk is full", operation="write")
    found = run(tmp_path / "history.db", clock, said, 6, at_2=full, at_3=full)
    assert len(found) == 4
    assert said[1:] == [
        ("warning", "cannot write history history.db: database or disk is full; not recording"),
        ("notice", "recording again; 2 moments missing"),
    ]


@pytest.mark.usefixtures("sim")
def test_a_damaged_history_ends_it(tmp_path: Path, clock: Clock, said: list[tuple[str, str]]) -> None:
    with pytest.raises(HistoryDamagedError, match="malformed"):
        run(tmp_path / "history.db", clock, said, 6, at_2=HistoryDamagedError("history.db", "malformed"))


def test_a_host_that_is_not_there_for_a_while_is_reported_and_recorded_again(
    tmp_path: Path, clock: Clock, said: list[tuple[str, str]], sim: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks = Watcher.look, itertools.count()

    def look_with_a_gap(self: Watcher) -> service.HostReadings:
        if next(looks) in (1, 2):
            raise HostError(sim.source, "not mounted")
        return look(self)

    monkeypatch.setattr(Watcher, "look", look_with_a_gap)
    assert len(run(tmp_path / "history.db", clock, said, 4)) == 2
    assert said[1:] == [
        ("warning", f"{sim.source}: not mounted; not recording"),
        ("notice", "recording again; 2 moments missing"),
    ]


def test_a_host_that_cannot_be_read_at_first_is_an_error(
    tmp_path: Path, clock: Clock, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "open_resctrl", lambda _: simulate("allocation-only", clock=clock))
    with pytest.raises(HostError, match="no monitoring"):
        run(tmp_path / "history.db", clock, said, 4)
    assert said == []
