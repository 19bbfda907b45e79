"""Whatever fails, and wherever a run is killed, the host is as it was before, or as it was to be, never between."""

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune.apply.recover import recover
from cachetune.apply.run import Place, apply
from cachetune.apply.state import journal, ledger
from cachetune.guests.model import Guest, Thread
from cachetune.plan import Options, Plan, Wish, plan_guests, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.sim import Operation, SimulatedResctrl
from tests.effort import examples
from tests.samples import (
    FAST_PROFILES,
    GUEST,
    TIDS,
    cache_request,
    domain,
    domains,
    group,
    host_with_guest,
    plan_for,
    web,
)


class Killed(BaseException):
    """SIGKILL, as far as a test can have it: nothing of ours catches it."""


def prepared(run: Path, profile: str = "skylake-2s", kernel: str = "6.12") -> tuple[SimulatedResctrl, Place, Plan]:
    sim = host_with_guest(profile, kernel)
    place = Place(sim, run)
    return sim, place, plan_for(web(profile), place)


def steps_in(profile: str, tmp: Path) -> int:
    sim, place, plan = prepared(tmp / "dry", profile)
    begin = len(sim.operations)
    assert apply(plan, place).outcome == "done"
    return len(sim.operations) - begin


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("profile", FAST_PROFILES)
def test_a_failure_at_any_operation_is_rolled_back_to_the_same_tree(profile: str, kernel: str, tmp_path: Path) -> None:
    for number in range(1, steps_in(profile, tmp_path) + 1):
        sim, place, plan = prepared(tmp_path / f"run{number}", profile, kernel)
        before = sim.tree()
        sim.fail(errno.EIO, at=number)
        report = apply(plan, place)
        assert report.outcome == "rolled back", (number, report)
        assert "EIO" in report.error
        assert sim.tree() == before, number
        assert not journal.exists(place.run)
        assert ledger.load(place.run) == ledger.Ledger()


def test_a_write_that_fails_after_it_took_effect_is_rolled_back_too(tmp_path: Path) -> None:
    total = steps_in("skylake-2s", tmp_path)
    struck = 0
    for number in range(1, total + 1):
        sim, place, plan = prepared(tmp_path / f"run{number}")
        before = sim.tree()
        sim.fail(errno.EIO, at=number, operation="write", after=True)
        report = apply(plan, place)
        if report.outcome == "done":
            continue
        struck += 1
        assert report.outcome == "rolled back"
        assert sim.tree() == before, number
    assert struck > 3


@pytest.mark.parametrize("profile", FAST_PROFILES)
def test_a_run_killed_before_any_operation_is_recovered(profile: str, tmp_path: Path) -> None:
    total = steps_in(profile, tmp_path)
    for number in range(1, total + 1):
        sim, place, plan = prepared(tmp_path / f"run{number}", profile)
        before = sim.tree()
        kill_at(sim, number)
        with pytest.raises(Killed):
            apply(plan, place)
        sim.before_operation = None
        assert recover(place).exit_code == 0
        assert sim.tree() == before, number
        assert recover(place).outcome == "nothing to do"
        assert apply(plan_for(web(profile), place), place).outcome == "done"


def test_a_recovery_that_is_killed_can_be_done_again(tmp_path: Path) -> None:
    sim, place, plan = prepared(tmp_path)
    before = sim.tree()
    kill_at(sim, 6)
    with pytest.raises(Killed):
        apply(plan, place)
    for number in range(1, 20):
        kill_at(sim, number)
        try:
            recover(place)
        except Killed:
            continue
        break
    sim.before_operation = None
    recover(place)
    assert sim.tree() == before


def test_a_rollback_that_fails_says_so_and_recover_finishes_it(tmp_path: Path) -> None:
    sim, place, plan = prepared(tmp_path)
    before = sim.tree()
    sim.fail(errno.EIO, at=5)
    sim.fail(errno.EIO, operation="rmdir", times=4)
    report = apply(plan, place)
    assert (report.outcome, report.exit_code) == ("rollback incomplete", 3)
    assert report.undo_errors
    assert sim.tree() != before
    assert recover(place).exit_code == 0
    assert sim.tree() == before


def test_a_run_that_is_killed_after_its_last_step_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim, place, plan = prepared(tmp_path)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "save", killed)
        with pytest.raises(Killed):
            apply(plan, place)
    after = sim.tree()
    report = recover(place)
    assert report.outcome == "done"
    assert not report.undone
    assert sim.tree() == after
    assert ledger.load(tmp_path).owned == {g.path for g in plan.groups}


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rollback_is_the_identity_for_any_domain_and_any_moment(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profile = data.draw(st.sampled_from(FAST_PROFILES))
    sim = host_with_guest(profile)
    place = Place(sim, tmp_path_factory.mktemp("run"))
    first = data.draw(domains(place.look(ledger.Ledger())))
    if apply(plan_for(first, place), place).outcome == "done":
        assert not plan_for(first, place).steps, "planning again right after applying finds no changes"
    before = sim.tree()
    second = data.draw(domains(place.look(ledger.load(place.run))))
    sim.fail(data.draw(st.sampled_from([errno.EIO, errno.EINVAL, errno.ENOSPC])), at=data.draw(st.integers(1, 12)))
    report = apply(plan_for(second, place), place)
    if report.outcome == "rolled back":
        assert sim.tree() == before
    else:
        assert report.outcome in ("done", "nothing to do")
        assert not plan_for(second, place).steps


Scene = tuple[SimulatedResctrl, Place, Plan]


def a_change(run: Path) -> Scene:
    """A guest that has its groups gets other ones: one is removed, threads go from monitor to monitor."""
    sim, place, first = prepared(run)
    assert apply(first, place).outcome == "done"
    control = place.look(ledger.Ledger()).caches[0]
    wanted = domain(
        group({0}, (cache_request(control, 0, 3),), (), [{0}]),
        group({1, 2}, (cache_request(control, 0, 1),), (), [{1}]),
    )
    return sim, place, plan_for(wanted, place)


def a_removal(run: Path) -> Scene:
    sim, place, first = prepared(run)
    assert apply(first, place).outcome == "done"
    book = ledger.load(run)
    return sim, place, plan_removal(place.look(book), [PlanGuest("", "cachetune-web")], book.owned, book.shrunk)


def guests_of_libvirt(run: Path) -> Scene:
    """Two guests that libvirt has placed: one gives ways to the other, and leaves ways that it shares with COS1."""
    sim = host_with_guest("skylake-2s")
    threads = tuple(Thread(tid, 0, f"CPU {n}/KVM", n) for n, tid in enumerate((5711, 5712)))
    for thread in threads:
        sim.add_task(thread.tid)
    sim.write("schemata", "L3:0=700;1=700\n")
    masks = {
        "qemu-1-web-vcpus_0-1": "L3:0=00f;1=003",
        "qemu-2-db-vcpus_0-1": "L3:0=030;1=700",
        "COS1": "L3:0=0c0;1=003",
    }
    for path, schemata in masks.items():
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"{schemata}\n")
    place = Place(sim, run)
    host = place.look(ledger.Ledger())
    control = host.caches[0]
    web_asks = group({0, 1}, (cache_request(control, 0, 2), cache_request(control, 1, 2)), (), [])
    db_asks = group({0, 1}, (cache_request(control, 0, 4),), (), [])
    wishes = [
        Wish(msgspec.structs.replace(domain(web_asks), id=1), GUEST),
        Wish(msgspec.structs.replace(domain(db_asks, name="db"), id=2), Guest(threads[0].tid, threads)),
    ]
    return sim, place, plan_guests(wishes, host, Options())


SCENES = [prepared, a_change, a_removal, guests_of_libvirt]


def operations_in(scene: Callable[[Path], Scene], run: Path) -> int:
    sim, place, plan = scene(run)
    begin = len(sim.operations)
    assert apply(plan, place, adopt=True).outcome == "done"
    return len(sim.operations) - begin


@pytest.mark.parametrize("scene", SCENES)
def test_one_or_two_failures_anywhere_end_in_the_same_tree_at_the_latest_after_recover(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    total = operations_in(scene, tmp_path / "dry")
    for first in range(1, total + 1):
        for second in range(4):
            sim, place, plan = scene(tmp_path / f"{first}-{second}")
            before, book = sim.tree(), ledger.load(place.run)
            sim.fail(errno.EIO, at=first)
            if second:
                sim.fail(errno.EIO, at=first + second)
            report = apply(plan, place, adopt=True)
            sim._faults.clear()
            if report.outcome == "rollback incomplete":
                assert recover(place).exit_code == 0
            assert sim.tree() == before, (first, second)
            assert ledger.load(place.run) == book
            assert not journal.exists(place.run)


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_and_its_recovery_killed_anywhere_lead_back_to_the_same_tree(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    total = operations_in(scene, tmp_path / "dry")
    for first in range(1, total + 1):
        for second in range(1, 5):
            sim, place, plan = scene(tmp_path / f"{first}-{second}")
            before = sim.tree()
            kill_at(sim, first)
            with pytest.raises(Killed):
                apply(plan, place, adopt=True)
            kill_at(sim, second)
            with contextlib.suppress(Killed):
                recover(place)
            sim.before_operation = None
            assert recover(place).exit_code == 0
            assert sim.tree() == before, (first, second)
            assert recover(place).outcome == "nothing to do"


def kill_at(sim: SimulatedResctrl, number: int) -> None:
    """Raise Killed before the number-th operation from now that would change something."""
    left = number

    def hook(_: Operation) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    sim.before_operation = hook


def test_the_tids_of_the_samples_are_those_of_the_guest() -> None:
    assert set(TIDS) <= set(map(int, host_with_guest("skylake-2s").read("tasks").split()))
