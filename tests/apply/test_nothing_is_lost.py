"""Whatever fails, and wherever a run is killed, the host ends in the state before or after the run, never between."""

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.guests.model import Guest, Thread
from cachetune.plan import GuestRequest, Options, Plan, plan_guests, plan_removal
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

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """As close to SIGKILL as a test gets: no code of ours catches it."""


def prepared(run: Path, profile: str = "skylake-2s", kernel: str = "6.12") -> tuple[SimulatedResctrl, Connection, Plan]:
    sim = host_with_guest(profile, kernel)
    connection = Connection(sim, run)
    return sim, connection, plan_for(web(profile), connection)


def steps_in(profile: str, tmp: Path) -> int:
    sim, connection, plan = prepared(tmp / "dry", profile)
    begin = len(sim.operations)
    assert apply(plan, connection).outcome == "done"
    return len(sim.operations) - begin


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("profile", FAST_PROFILES)
def test_a_failure_at_any_operation_is_rolled_back_to_the_same_tree(profile: str, kernel: str, tmp_path: Path) -> None:
    for number in range(1, steps_in(profile, tmp_path) + 1):
        sim, connection, plan = prepared(tmp_path / f"run{number}", profile, kernel)
        before = sim.tree()
        sim.fail(errno.EIO, at=number)
        report = apply(plan, connection)
        assert report.outcome == "rolled back", (number, report)
        assert "EIO" in report.error
        assert sim.tree() == before, number
        assert not journal.exists(connection.run)
        assert load_ledger(connection.run) == Ledger()


def test_a_write_that_fails_after_taking_effect_is_rolled_back(tmp_path: Path) -> None:
    total = steps_in("skylake-2s", tmp_path)
    struck = 0
    for number in range(1, total + 1):
        sim, connection, plan = prepared(tmp_path / f"run{number}")
        before = sim.tree()
        sim.fail(errno.EIO, at=number, operation="write", after=True)
        report = apply(plan, connection)
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
        sim, connection, plan = prepared(tmp_path / f"run{number}", profile)
        before = sim.tree()
        kill_at(sim, number)
        with pytest.raises(Killed):
            apply(plan, connection)
        sim.before_operation = None
        assert recover(connection).exit_code == 0
        assert sim.tree() == before, number
        assert recover(connection).outcome == "nothing to do"
        assert apply(plan_for(web(profile), connection), connection).outcome == "done"


def test_a_killed_recovery_can_be_repeated(tmp_path: Path) -> None:
    sim, connection, plan = prepared(tmp_path)
    before = sim.tree()
    kill_at(sim, 6)
    with pytest.raises(Killed):
        apply(plan, connection)
    for number in range(1, 20):
        kill_at(sim, number)
        try:
            recover(connection)
        except Killed:
            continue
        break
    sim.before_operation = None
    recover(connection)
    assert sim.tree() == before


def test_a_failed_rollback_is_reported_and_recover_finishes_it(tmp_path: Path) -> None:
    sim, connection, plan = prepared(tmp_path)
    before = sim.tree()
    sim.fail(errno.EIO, at=5)
    sim.fail(errno.EIO, operation="rmdir", times=4)
    report = apply(plan, connection)
    assert (report.outcome, report.exit_code) == ("rollback incomplete", 3)
    assert report.undo_errors
    assert sim.tree() != before
    assert recover(connection).exit_code == 0
    assert sim.tree() == before


def test_a_run_that_is_killed_after_its_last_step_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim, connection, plan = prepared(tmp_path)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.run.save_ledger", killed)
        with pytest.raises(Killed):
            apply(plan, connection)
    after = sim.tree()
    report = recover(connection)
    assert report.outcome == "done"
    assert not report.undone
    assert sim.tree() == after
    assert load_ledger(tmp_path).owned == {g.path for g in plan.groups}


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rollback_is_the_identity_for_any_domain_and_any_moment(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profile = data.draw(st.sampled_from(FAST_PROFILES))
    sim = host_with_guest(profile)
    connection = Connection(sim, tmp_path_factory.mktemp("run"))
    first = data.draw(domains(connection.look(Ledger())))
    if apply(plan_for(first, connection), connection).outcome == "done":
        assert not plan_for(first, connection).steps, "planning again right after applying finds no changes"
    before = sim.tree()
    second = data.draw(domains(connection.look(load_ledger(connection.run))))
    sim.fail(data.draw(st.sampled_from([errno.EIO, errno.EINVAL, errno.ENOSPC])), at=data.draw(st.integers(1, 12)))
    report = apply(plan_for(second, connection), connection)
    if report.outcome == "rolled back":
        assert sim.tree() == before
    else:
        assert report.outcome in ("done", "nothing to do")
        assert not plan_for(second, connection).steps


Scene = tuple[SimulatedResctrl, Connection, Plan]


def a_change(run: Path) -> Scene:
    """A placed guest gets other groups: one is removed, and threads move from monitor to monitor."""
    sim, connection, first = prepared(run)
    assert apply(first, connection).outcome == "done"
    control = connection.look(Ledger()).caches[0]
    wanted = domain(
        group({0}, (cache_request(control, 0, 3),), (), [{0}]),
        group({1, 2}, (cache_request(control, 0, 1),), (), [{1}]),
    )
    return sim, connection, plan_for(wanted, connection)


def a_removal(run: Path) -> Scene:
    sim, connection, first = prepared(run)
    assert apply(first, connection).outcome == "done"
    ledger = load_ledger(run)
    return (
        sim,
        connection,
        plan_removal(connection.look(ledger), [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk),
    )


def guests_of_libvirt(run: Path) -> Scene:
    """Two guests placed by libvirt: one gives ways to the other, and gives up ways that it shares with COS1."""
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
    connection = Connection(sim, run)
    host = connection.look(Ledger())
    control = host.caches[0]
    web_asks = group({0, 1}, (cache_request(control, 0, 2), cache_request(control, 1, 2)), (), [])
    db_asks = group({0, 1}, (cache_request(control, 0, 4),), (), [])
    requests = [
        GuestRequest(msgspec.structs.replace(domain(web_asks), id=1), GUEST),
        GuestRequest(msgspec.structs.replace(domain(db_asks, name="db"), id=2), Guest(threads[0].tid, threads)),
    ]
    return sim, connection, plan_guests(requests, host, Options())


def a_give_back(run: Path) -> Scene:
    """A guest shrinks, gets a group that copies the default group's mask, and the default group grows back."""
    sim, connection, first = prepared(run)
    assert apply(first, connection).outcome == "done"
    control = connection.look(Ledger()).caches[0]
    wanted = domain(
        group({0, 1}, (cache_request(control, 0, 1),), (), [{0}]),
        group({2}, (cache_request(control, 1, 2),), (), []),
    )
    plan = plan_for(wanted, connection)
    assert [step.path for step in plan.steps[-2:]] == [".", "cachetune-web-vcpus_2"]
    return sim, connection, plan


SCENES = [prepared, a_change, a_removal, a_give_back, guests_of_libvirt]


def operations_in(scene: Callable[[Path], Scene], run: Path) -> int:
    sim, connection, plan = scene(run)
    begin = len(sim.operations)
    assert apply(plan, connection, adopt=True).outcome == "done"
    return len(sim.operations) - begin


@pytest.mark.parametrize("scene", SCENES)
def test_after_one_or_two_failures_anywhere_recover_restores_the_tree(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    total = operations_in(scene, tmp_path / "dry")
    for first in range(1, total + 1):
        for second in range(4):
            sim, connection, plan = scene(tmp_path / f"{first}-{second}")
            before, ledger = sim.tree(), load_ledger(connection.run)
            sim.fail(errno.EIO, at=first)
            if second:
                sim.fail(errno.EIO, at=first + second)
            report = apply(plan, connection, adopt=True)
            sim._faults.clear()
            if report.outcome == "rollback incomplete":
                assert recover(connection).exit_code == 0
            assert sim.tree() == before, (first, second)
            assert load_ledger(connection.run) == ledger
            assert not journal.exists(connection.run)


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_and_its_recovery_killed_anywhere_restore_the_tree(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    total = operations_in(scene, tmp_path / "dry")
    for first in range(1, total + 1):
        for second in range(1, 5):
            sim, connection, plan = scene(tmp_path / f"{first}-{second}")
            before = sim.tree()
            kill_at(sim, first)
            with pytest.raises(Killed):
                apply(plan, connection, adopt=True)
            kill_at(sim, second)
            with contextlib.suppress(Killed):
                recover(connection)
            sim.before_operation = None
            assert recover(connection).exit_code == 0
            assert sim.tree() == before, (first, second)
            assert recover(connection).outcome == "nothing to do"


def kill_at(sim: SimulatedResctrl, number: int) -> None:
    """Raise Killed before the number-th operation from now that changes something."""
    left = number

    def hook(_: Operation) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    sim.before_operation = hook


def test_the_tids_of_the_samples_are_those_of_the_guest() -> None:
    assert set(TIDS) <= set(map(int, host_with_guest("skylake-2s").read("tasks").split()))
