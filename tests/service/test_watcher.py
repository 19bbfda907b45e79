"""Looking at a selection again and again: rates, groups that come and go, a guest that ends."""

from pathlib import Path

import pytest

from cachetune.apply.state.ledger import GuestEntry, Ledger
from cachetune.errors import HostError, InputError
from cachetune.service import hosts
from cachetune.service import readings as service
from cachetune.service.connection import Location
from cachetune.service.readings import HostReadings, Watcher, read_monitors
from cachetune.service.select import Selection
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.testing import Clock, simulate
from cachetune.watch import sampler


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sampler.time, "monotonic", clock)
    return clock


@pytest.fixture
def sim(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedResctrl:
    sim = simulate("skylake-2s", clock=clock)
    monkeypatch.setattr(service, "open_resctrl", lambda _: sim)
    return sim


def watcher(**selected: str | bool) -> Watcher:
    return Watcher(Location(host="sim:any"), Selection(**selected))  # type: ignore[arg-type]


def paths(seen: HostReadings) -> list[str]:
    return [reading.path for reading in seen.readings.monitors if reading.counters]


def test_the_first_look_is_a_single_reading_and_the_next_has_rates(sim: SimulatedResctrl, clock: Clock) -> None:
    sim.mkdir("cachetune-web-vcpus_0")
    with watcher() as one:
        first = one.look()
        assert [m.path for m in first.readings.monitors] == [".", "cachetune-web-vcpus_0"]
        assert {c.per_second for m in first.readings.monitors for c in m.counters} == {None}
        clock.advance(2)
        second = one.look()
    for before, after in zip(first.readings.monitors, second.readings.monitors, strict=True):
        for old, new in zip(before.counters, after.counters, strict=True):
            counts = new.event.startswith("mbm_")
            assert new.per_second == ((new.number - old.number) / 2 if counts else None)  # type: ignore[operator]


def test_it_labels_groups_as_a_single_reading_does(sim: SimulatedResctrl) -> None:
    for name in ("cachetune-web-vcpus_0-1", "COS1"):
        sim.mkdir(name)
    single = read_monitors(Location(host="sim:any"), Selection(foreign=True)).readings.monitors
    with watcher(foreign=True) as one:
        watched = one.look().readings.monitors
    named = [(m.path, m.name, m.kind, m.owner, m.vcpus, m.guest) for m in watched]
    assert named == [(m.path, m.name, m.kind, m.owner, m.vcpus, m.guest) for m in single]
    assert named[1:] == [
        ("COS1", "COS1", "control", "pqos", None, None),
        ("cachetune-web-vcpus_0-1", "cachetune-web-vcpus_0-1", "control", "cachetune", "0-1", "web"),
    ]


def test_foreign_groups_are_looked_at_on_request(sim: SimulatedResctrl) -> None:
    sim.mkdir("COS1")
    assert paths(watcher().look()) == ["."]
    assert paths(watcher(foreign=True).look()) == [".", "COS1"]


def test_a_group_that_appears_is_seen_at_the_next_look(sim: SimulatedResctrl, clock: Clock) -> None:
    with watcher() as one:
        one.look()
        sim.mkdir("qemu-7-db-vcpus_0")
        clock.advance(1)
        seen = one.look()
    assert paths(seen) == [".", "qemu-7-db-vcpus_0"]
    assert seen.host.group("qemu-7-db-vcpus_0")
    assert {c.per_second for c in seen.readings.monitors[1].counters} == {None}


def test_a_mask_is_that_of_now_after_a_run_and_of_a_few_seconds_ago_after_another_program(
    sim: SimulatedResctrl, clock: Clock, tmp_path: Path
) -> None:
    def mask(seen: HostReadings) -> int | None:
        return seen.host.default_group.masks.at("L3", 0)

    with Watcher(Location(host="sim:any", run=tmp_path), Selection()) as one:
        assert mask(one.look()) == 0x7FF
        sim.write("schemata", "L3:0=7f0\n")
        clock.advance(1)
        assert mask(one.look()) == 0x7FF
        (tmp_path / "journal.jsonl").touch()
        clock.advance(1)
        assert mask(one.look()) == 0x7F0
        sim.write("schemata", "L3:0=7e0\n")
        clock.advance(sampler.RESCAN_SECONDS)
        assert mask(one.look()) == 0x7E0


def test_a_guest_whose_groups_are_removed_is_a_note_and_counts_again_when_it_is_back(
    sim: SimulatedResctrl, clock: Clock
) -> None:
    sim.mkdir("cachetune-web-vcpus_0")
    with watcher(machine_name="cachetune-web") as one:
        assert paths(one.look()) == ["cachetune-web-vcpus_0"]
        sim.rmdir("cachetune-web-vcpus_0")
        clock.advance(10)
        gone = one.look()
        assert paths(gone) == []
        assert "has no groups of 'cachetune-web'" in gone.notes[-1]
        sim.mkdir("cachetune-web-vcpus_0")
        clock.advance(10)
        back = one.look()
        assert paths(back) == ["cachetune-web-vcpus_0"]
        assert {c.per_second for c in back.readings.monitors[0].counters} == {None}


@pytest.mark.usefixtures("sim")
def test_a_selection_without_groups_is_refused_at_the_first_look() -> None:
    with pytest.raises(InputError, match="no groups of 'cachetune-db'"):
        watcher(machine_name="cachetune-db").look()


def test_a_host_without_monitoring_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "open_resctrl", lambda _: SimulatedResctrl(load_profile("allocation-only")))
    with pytest.raises(HostError, match="no monitoring"):
        watcher().look()


def test_a_guests_name_is_the_one_in_the_ledger(
    sim: SimulatedResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.mkdir("cachetune-myvm")
    ledger = Ledger(guests={"cachetune-myvm": GuestEntry("my vm", None, ("cachetune-myvm",))})
    reading = hosts.read_tree(sim, Location(host="sim:any", run=tmp_path))
    monkeypatch.setattr(service, "read_tree", lambda *_: hosts.HostReading(reading.host, ledger))
    assert [m.guest for m in watcher().look().readings.monitors] == [None, "my vm"]
