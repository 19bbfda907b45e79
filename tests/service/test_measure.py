"""Measuring guests: which ways they get, what is read, and that they finally have their ways of before."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from cachetune.apply.recover import preview, recover
from cachetune.apply.report import Report
from cachetune.apply.run import apply
from cachetune.apply.state import measurement
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.errors import (
    ApplyRefusedError,
    HostError,
    InputError,
    InterruptedRunError,
    MeasurementLostError,
    NotRestoredError,
)
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.measure import LEAST_SECONDS, Pace, Progress, Request, measure
from cachetune.service.plans import plan_requests
from cachetune.sim.faults import parse_fault
from tests.apply.dying import Killed, _close_journals, until_death
from tests.service.measured import Scene

WEB, DB = "cachetune-web", "cachetune-db"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, {"web": 4, "db": 3})


def request(scene: Scene, *names: str, **more: object) -> Request:
    return Request(guests=tuple(scene.guests[name] for name in names or ("web",)), **more)  # type: ignore[arg-type]


def masks_of(scene: Scene, name: str = "web") -> list[str]:
    """The masks that were written to a guest's group, without those of its creation."""
    written = [op.text.strip() for op in scene.sim.operations if op.path == f"cachetune-{name}/schemata"]
    return [text.partition("=")[2].lstrip("0") for text in written if text.startswith("L3:0=") and ";" not in text]


def test_each_size_is_given_the_largest_first_and_the_ways_of_before_come_back(scene: Scene) -> None:
    (curve,) = measure(request(scene), scene.connection, pace=scene.pace)
    assert [(point.ways, f"{point.mask:x}") for point in curve.points] == [(1, "1"), (2, "3"), (3, "7"), (4, "f")]
    assert masks_of(scene) == ["7", "3", "1", "f"]  # it begins with what it has, and ends with that
    assert scene.schemata() == scene.before
    assert not measurement.exists(scene.connection.run)
    assert (curve.guest, curve.path, curve.before_ways, curve.resource, curve.cache_id) == ("web", WEB, 4, "L3", 0)


def test_free_ways_beside_its_own_are_measured_as_well(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 3, "db": 2})
    scene.sim.rmdir(DB)  # its two ways are free now, and the default group does not have them
    (curve,) = measure(request(scene), scene.connection, pace=scene.pace)
    assert [f"{point.mask:x}" for point in curve.points] == ["1", "3", "7", "f", "1f"]
    assert scene.mask("web") == "7"


def test_ways_of_devices_and_reserved_ones_are_never_borrowed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 3})
    scene.sim.write("schemata", "L3:0=100\n")  # the default group keeps way 8; 9 and 10 are also of devices
    (curve,) = measure(request(scene), scene.connection, pace=scene.pace)
    assert max(point.ways for point in curve.points) == 8


def test_guests_are_measured_one_after_another(scene: Scene) -> None:
    seen: list[Progress] = []
    curves = measure(request(scene, "web", "db"), scene.connection, seen.append, scene.pace)
    assert [(curve.guest, len(curve.points)) for curve in curves] == [("web", 6), ("db", 6)]
    sizes = (6, 5, 4, 3, 2, 1, 6)
    assert [(each.guest, each.ways) for each in seen] == [(name, n) for name in ("web", "db") for n in sizes]
    assert [each.done for each in seen] == list(range(14))
    assert {each.total for each in seen} == {14}
    assert scene.schemata() == scene.before


def test_each_guest_is_given_the_ways_of_the_others_that_are_measured(scene: Scene) -> None:
    """web has the ways 0 to 3, db 4 to 6; each keeps one at least, and no other group loses any."""
    seen = {}

    def wait(seconds: float) -> None:
        scene.clock.advance(seconds)
        seen[scene.mask("web"), scene.mask("db")] = scene.sim.read("schemata")

    web, db = measure(request(scene, "web", "db"), scene.connection, pace=Pace(scene.clock, wait))
    assert [f"{point.mask:x}" for point in web.points] == ["1", "3", "7", "f", "1f", "3f"]
    assert [f"{point.mask:x}" for point in db.points] == ["10", "30", "70", "78", "7c", "7e"]
    assert ("3f", "40") in seen
    assert ("1", "7e") in seen
    assert ("7", "70") in seen  # no group has way 3 then
    assert set(seen.values()) == {scene.before["."]}
    assert (web.before_ways, db.before_ways) == (4, 3)


def test_the_budget_is_the_time_that_it_takes(scene: Scene) -> None:
    began = scene.clock()
    measure(request(scene, "web", "db", budget_seconds=90.0), scene.connection, pace=scene.pace)
    assert scene.clock() - began == pytest.approx(90)


def test_a_short_budget_measures_fewer_sizes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 8})
    (curve,) = measure(request(scene, budget_seconds=8.0), scene.connection, pace=scene.pace)
    assert [point.ways for point in curve.points] == [1, 5, 8]
    assert "not every size was measured" in curve.reasons
    with pytest.raises(InputError, match=r"^5 s are too few to measure 1 group$"):
        measure(request(scene, budget_seconds=5.0), scene.connection, pace=scene.pace)


def test_a_slow_host_ends_with_fewer_sizes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 8})
    slow = Pace(scene.clock, lambda seconds: scene.clock.advance(3 * seconds))
    (curve,) = measure(request(scene, budget_seconds=90.0), scene.connection, pace=slow)
    assert [point.ways for point in curve.points] == [6, 7, 8]
    assert scene.schemata() == scene.before


# -- who cannot be measured


def test_a_guest_without_own_ways_is_refused_with_a_command(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 2})
    scene.sim.write(f"{WEB}/schemata", scene.sim.read("schemata"))
    with pytest.raises(InputError, match="guest 'web' has no own ways in L3 cache 0") as refused:
        measure(request(scene), scene.connection, pace=scene.pace)
    assert "cachetune set web --l3 0=4ways --shrink-default" in refused.value.hint
    with pytest.raises(InputError, match="guest 'web' has no own ways in L3 cache 1"):
        measure(request(scene, cache_id=1), scene.connection, pace=scene.pace)
    with pytest.raises(InputError, match="the host has no L3 cache 7"):
        measure(request(scene, cache_id=7), scene.connection, pace=scene.pace)


def test_a_host_without_counters_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"web": 2}, "allocation-only")
    with pytest.raises(HostError, match="no counter mbm_total_bytes"):
        measure(request(scene), scene.connection, pace=scene.pace)


# -- other runs in the meantime


def acting(scene: Scene, action: Callable[[], object], ways: str = "3") -> Pace:
    """A pace that does something once when the guest has this mask."""
    left = [action]

    def wait(seconds: float) -> None:
        scene.clock.advance(seconds)
        if left and scene.mask("web") == ways:
            left.pop()()

    return Pace(scene.clock, wait)


def place(scene: Scene, name: str, ways: int) -> Report:
    ledger = load_ledger(scene.connection.run)
    asked = [GuestRequest(scene.domain(name, ways), scene.guests[name].guest)]
    planned = plan_requests(asked, scene.connection.look(ledger), ledger, Options(shrink_default=True))
    return apply(planned, scene.connection)


def test_another_run_leaves_what_is_measured_and_may_change_all_else(scene: Scene) -> None:
    """db shrinks, and does not get the ways that web does not have at the moment."""

    def act() -> None:
        with pytest.raises(ApplyRefusedError, match=r"guest 'web' has other ways for a measurement by process [0-9]+"):
            place(scene, "web", 2)
        assert place(scene, "web", 4).outcome == "nothing to do"
        assert place(scene, "db", 2).outcome == "done"

    measure(request(scene), scene.connection, pace=acting(scene, act))
    assert (scene.mask("web"), scene.mask("db")) == ("f", "30")


def test_a_second_measurement_is_refused(scene: Scene) -> None:
    def act() -> None:
        with pytest.raises(ApplyRefusedError, match="CT509") as refused:
            measure(request(scene, "db"), scene.connection, pace=scene.pace)
        assert "it restores the ways of before" in refused.value.hint

    measure(request(scene), scene.connection, pace=acting(scene, act))
    assert scene.schemata() == scene.before


def test_recover_lets_a_measurement_go_on(scene: Scene) -> None:
    def act() -> None:
        assert preview(scene.connection) == ()
        assert recover(scene.connection).notes == (f"process {os.getpid()} is still measuring web",)

    (curve,) = measure(request(scene), scene.connection, pace=acting(scene, act))
    assert len(curve.points) == 4
    assert scene.schemata() == scene.before


def test_a_measurement_whose_time_is_up_is_restored_by_recover_and_changes_nothing_afterwards(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> None:
        monkeypatch.setattr(measurement, "_now", lambda: 1e12)
        assert (
            recover(scene.connection).notes
            == (
                "the measurement of web was interrupted; the ways of before are restored",
                *("cleanup: " + note for note in ()),
            )
            or scene.mask("web") == "f"
        )
        monkeypatch.undo()

    with pytest.raises(MeasurementLostError, match="its time was up"):
        measure(request(scene), scene.connection, pace=acting(scene, act))
    assert scene.schemata() == scene.before


def test_a_group_that_is_removed_ends_the_measurement(scene: Scene) -> None:
    with pytest.raises(MeasurementLostError, match=f"group {WEB} was removed"):
        measure(request(scene), scene.connection, pace=acting(scene, lambda: scene.sim.rmdir(WEB)))
    assert not measurement.exists(scene.connection.run)


def test_a_mask_that_another_program_wrote_is_left(scene: Scene) -> None:
    def write() -> None:
        scene.sim.write(f"{WEB}/schemata", "L3:0=6\n")

    with pytest.raises(NotRestoredError) as lost:
        measure(request(scene), scene.connection, pace=acting(scene, write))
    assert lost.value.failures == (f"group {WEB}: L3 cache 0 was changed by another program since, so it stays 6",)
    assert f"another program gave {WEB} the mask 6" in lost.value.reason
    assert not measurement.exists(scene.connection.run)


def test_ways_that_another_program_took_are_left_to_it(scene: Scene) -> None:
    def take() -> None:
        scene.sim.mkdir("COS1")
        scene.sim.write("COS1/schemata", "L3:0=8;1=1\n")

    with pytest.raises(NotRestoredError) as lost:
        measure(request(scene), scene.connection, pace=acting(scene, take, ways="1"))
    assert lost.value.failures == (f"group {WEB}: L3 cache 0 keeps its mask 1, because COS1 has the other ways now",)


# -- errors, signals and deaths


def test_a_failing_write_ends_it_with_the_ways_of_before(scene: Scene) -> None:
    scene.sim.add_fault(parse_fault("write:EIO:2"))
    with pytest.raises(MeasurementLostError, match="EIO"):
        measure(request(scene), scene.connection, pace=scene.pace)
    assert scene.schemata() == scene.before


def test_an_unreadable_counter_ends_it_with_the_ways_of_before(scene: Scene) -> None:
    scene.sim.set_counter(WEB, 0, "mbm_total_bytes", "Unavailable")
    with pytest.raises(MeasurementLostError, match=f"mbm_total_bytes of {WEB} cannot be read: Unavailable"):
        measure(request(scene), scene.connection, pace=scene.pace)
    assert scene.schemata() == scene.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_ways_of_before(scene: Scene, number: signal.Signals) -> None:
    scene.sim.write(f"{WEB}/schemata", "L3:0=7\n")  # so that the first size borrows a way
    scene.before = scene.schemata()

    def on_progress(_: Progress) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    with pytest.raises(InterruptedRunError, match=number.name):
        measure(request(scene, budget_seconds=3600.0), scene.connection, on_progress)
    assert scene.schemata() == scene.before
    assert not measurement.exists(scene.connection.run)


def test_a_signal_during_a_change_ends_it_with_the_ways_of_before(scene: Scene) -> None:
    def strike(_: object) -> None:
        scene.sim.before_operation = None
        os.kill(os.getpid(), signal.SIGINT)

    scene.sim.before_operation = strike
    with pytest.raises(MeasurementLostError, match="stopped by SIGINT"):
        measure(request(scene), scene.connection, pace=scene.pace)
    assert scene.schemata() == scene.before


def test_a_signal_after_a_change_ends_it_with_the_ways_of_before(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def done(journal: Journal, done: Callable[[Journal], None] = Journal.done) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        done(journal)

    monkeypatch.setattr(Journal, "done", done)
    with pytest.raises(InterruptedRunError, match="SIGINT"):
        measure(request(scene, budget_seconds=3 * LEAST_SECONDS), scene.connection)
    assert scene.schemata() == scene.before


@pytest.mark.slow
def test_a_measurement_that_is_killed_at_any_moment_is_restored_by_recover(tmp_path: Path) -> None:
    number, died = 0, True
    while died:
        number += 7  # every death takes minutes
        scene = Scene(tmp_path / str(number), {"web": 2, "db": 1})

        def run(scene: Scene = scene) -> None:
            try:
                measure(request(scene, "web", "db"), scene.connection, pace=scene.pace)
            except NotRestoredError as error:  # what still runs after the death
                raise error.__cause__ or error from None

        died = until_death(scene.sim, scene.connection.run, run, number)
        report = recover(scene.connection)
        assert (report.exit_code, scene.schemata()) == (0, scene.before), f"died at change {number}"
        assert not measurement.exists(scene.connection.run)
        assert recover(scene.connection).outcome == "nothing to do"
    assert number > 100


@pytest.mark.slow
def test_a_recover_that_is_killed_at_any_moment_is_continued_by_the_next(tmp_path: Path) -> None:
    number, died = 0, True
    while died:
        number += 2
        scene = Scene(tmp_path / str(number), {"web": 2})
        killed(scene)
        died = until_death(scene.sim, scene.connection.run, lambda at=scene.connection: recover(at), number)  # type: ignore[misc]
        recover(scene.connection)
        assert scene.schemata() == scene.before, f"died at change {number}"
    assert number > 10


def killed(scene: Scene) -> None:
    """A measurement is killed while the guest has one way."""

    def die() -> None:
        raise Killed

    with mock.patch("cachetune.service.measure._restore"), pytest.raises(Killed):
        measure(request(scene), scene.connection, pace=acting(scene, die, ways="1"))
    _close_journals(scene.connection.run)
    assert scene.mask("web") == "1"


def test_until_recover_others_still_leave_the_ways_of_before(scene: Scene) -> None:
    killed(scene)
    with pytest.raises(ApplyRefusedError, match="CT509") as refused:
        place(scene, "web", 2)
    assert refused.value.hint == "the process has ended: run 'cachetune recover' to restore the ways of before"
    with pytest.raises(ApplyRefusedError, match="CT509"):
        measure(request(scene, "db"), scene.connection, pace=scene.pace)
    assert preview(scene.connection) == (f"restore the ways of {WEB}",)
    assert recover(scene.connection).notes == (
        f"restored: write L3:0=00f to {WEB}",
        "the measurement of web was interrupted; the ways of before are restored",
    )
    assert scene.schemata() == scene.before


def test_after_a_restart_of_the_machine_there_is_nothing_to_restore(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(scene)
    monkeypatch.setattr(measurement, "boot_id", lambda: "another")
    assert recover(scene.connection).outcome == "nothing to do"
    assert (scene.mask("web"), measurement.exists(scene.connection.run)) == ("1", False)
