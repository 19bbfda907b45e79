"""Exclusive groups on a simulated host: whatever fails, and wherever a run is killed, the modes are as before or after.

The scenes change modes in every way that a plan can: to exclusive with new masks, to exclusive alone, back to
shareable with masks that are shared again, and removal.
"""

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune import documents
from cachetune.apply.guard import check_plan
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain.model import Domain
from cachetune.errors import ApplyRefusedError, DocumentError
from cachetune.host.read import read_host
from cachetune.plan import Plan, plan_removal
from cachetune.plan.consistency import plan_problems
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import WriteFile, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.apply.test_nothing_is_lost import Killed, kill_at
from tests.samples import cache_request, domain, group, host_with_guest, plan_for

pytestmark = pytest.mark.slow
GROUP = "cachetune-web-vcpus_0-1"
MODE = f"{GROUP}/mode"
Scene = tuple[SimulatedResctrl, Connection, Plan]


def wanted(*ways: int, exclusive: bool = True) -> Domain:
    """The guest with a group for vCPUs 0 and 1 with these ways of the L3 caches of skylake-2s."""
    (control,) = read_host(host_with_guest("skylake-2s")).caches
    requests = tuple(cache_request(control, i, n) for i, n in enumerate(ways))
    return domain(msgspec.structs.replace(group({0, 1}, requests, (), [{0}]), exclusive=exclusive))


def after(run: Path, first: Domain | None) -> tuple[SimulatedResctrl, Connection]:
    """The host with the guest as first requested."""
    sim = host_with_guest("skylake-2s")
    connection = Connection(sim, run)
    if first:
        assert apply(plan_for(first, connection), connection).outcome == "done"
    return sim, connection


def a_new_group(run: Path) -> Scene:
    sim, connection = after(run, None)
    return sim, connection, plan_for(wanted(2, 1), connection)


def the_mode_alone(run: Path) -> Scene:
    sim, connection = after(run, wanted(2, 1, exclusive=False))
    return sim, connection, plan_for(wanted(2, 1), connection)


def other_masks_and_the_mode(run: Path) -> Scene:
    """On cache 1 the group had the default group's ways."""
    sim, connection = after(run, wanted(3, exclusive=False))
    return sim, connection, plan_for(wanted(2, 2), connection)


def back_to_shared_ways(run: Path) -> Scene:
    sim, connection = after(run, wanted(2, 1))
    return sim, connection, plan_for(wanted(4, exclusive=False), connection)


def more_ways_of_an_exclusive_group(run: Path) -> Scene:
    sim, connection = after(run, wanted(2, 1))
    return sim, connection, plan_for(wanted(3, 2), connection)


def removal(run: Path) -> Scene:
    sim, connection = after(run, wanted(2, 1))
    ledger = load_ledger(run)
    host = connection.look(ledger)
    return sim, connection, plan_removal(host, [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk)


SCENES = [
    a_new_group,
    the_mode_alone,
    other_masks_and_the_mode,
    back_to_shared_ways,
    more_ways_of_an_exclusive_group,
    removal,
]
each_scene = pytest.mark.parametrize("scene", SCENES)


def operations_in(scene: Callable[[Path], Scene], run: Path) -> int:
    sim, connection, plan = scene(run)
    begin = len(sim.operations)
    assert apply(plan, connection).outcome == "done"
    return len(sim.operations) - begin


@each_scene
def test_a_failure_anywhere_before_or_after_its_effect_is_rolled_back(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    struck = 0
    for number in range(1, operations_in(scene, tmp_path / "dry") + 1):
        for late in (False, True):
            sim, connection, plan = scene(tmp_path / f"{number}-{late}")
            before, ledger = sim.tree(), load_ledger(connection.run)
            if late:
                sim.fail(errno.EIO, at=number, operation="write", after=True)
            else:
                sim.fail(errno.EIO, at=number)
            report = apply(plan, connection)
            if late and report.outcome == "done":
                continue
            struck += 1
            assert report.outcome == "rolled back", (number, report)
            assert sim.tree() == before, number
            assert load_ledger(connection.run) == ledger
    assert struck >= 2


@each_scene
def test_a_run_and_its_recovery_killed_anywhere_leave_the_state_before(
    scene: Callable[[Path], Scene], tmp_path: Path
) -> None:
    for first in range(1, operations_in(scene, tmp_path / "dry") + 1):
        for second in range(1, 5):
            sim, connection, plan = scene(tmp_path / f"{first}-{second}")
            before = sim.tree()
            kill_at(sim, first)
            with pytest.raises(Killed):
                apply(plan, connection)
            kill_at(sim, second)
            try:
                recover(connection)
            except Killed:
                sim.before_operation = None
                assert recover(connection).exit_code == 0
            sim.before_operation = None
            assert sim.tree() == before, (first, second)
            assert recover(connection).outcome == "nothing to do"
            assert not journal.exists(connection.run)


def test_the_tree_is_as_found_after_an_exclusive_guest_is_removed(tmp_path: Path) -> None:
    fresh = host_with_guest("skylake-2s").tree()
    sim, connection, plan = removal(tmp_path)
    assert sim.tree() != fresh
    assert apply(plan, connection).outcome == "done"
    assert sim.tree() == fresh


def killed_after_opening(run: Path) -> tuple[SimulatedResctrl, Connection]:
    """The group is shareable again, and then the run dies."""
    sim, connection, plan = back_to_shared_ways(run)
    assert plan.steps[0] == WriteFile(MODE, "exclusive", "shareable")
    kill_at(sim, 2)
    with pytest.raises(Killed):
        apply(plan, connection)
    sim.before_operation = None
    assert sim.read(MODE) == "shareable\n"
    return sim, connection


def test_a_killed_run_is_undone_without_the_mode_if_another_program_shares_the_ways_now(tmp_path: Path) -> None:
    sim, connection = killed_after_opening(tmp_path)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=002;1=400\n")
    report = recover(connection)
    assert report.outcome == "done"
    assert report.notes[:1] == (f"{MODE} stays shareable: it shares ways 2 of L3 cache 0 with COS1",)
    assert sim.read(MODE) == "shareable\n"
    assert recover(connection).outcome == "nothing to do"


def test_a_kernel_that_refuses_the_mode_moves_no_thread(tmp_path: Path) -> None:
    sim, connection, plan = a_new_group(tmp_path)
    number = [step for step in plan.steps if not isinstance(step, WriteSchemata)].index(
        WriteFile(MODE, "shareable", "exclusive")
    )
    assert number == 2  # after the control group and its monitor group
    moved = []
    sim.before_operation = lambda operation: moved.append(operation) if operation.path.endswith("tasks") else None
    sim.fail(errno.EINVAL, operation="write", path=MODE)
    report = apply(plan, connection)
    assert report.outcome == "rolled back"
    assert "EINVAL" in report.error
    assert moved == []


# -- a plan from outside ------------------------------------------------------------------------------------------


def refused(plan: Plan, connection: Connection) -> str:
    with pytest.raises(ApplyRefusedError) as caught:
        check_plan(plan, connection.look(load_ledger(connection.run)), load_ledger(connection.run))
    assert caught.value.finding.rule == "CT504"
    return caught.value.finding.message


def with_steps(plan: Plan, *steps: WriteFile | WriteSchemata) -> Plan:
    return msgspec.structs.replace(plan, steps=steps)


def test_a_plan_cannot_make_a_group_exclusive_that_shares_ways(tmp_path: Path) -> None:
    _, connection = after(tmp_path, wanted(3, exclusive=False))
    plan = plan_for(wanted(3, 1), connection)
    edited = with_steps(plan, WriteFile(MODE, "shareable", "exclusive"))
    assert "but it shares ways 600 of L3 cache 1 with devices" in refused(edited, connection)


def test_a_plan_cannot_give_an_exclusive_group_the_default_groups_ways(tmp_path: Path) -> None:
    _, connection = after(tmp_path, wanted(2, 1))
    plan = plan_for(wanted(2, 2), connection)
    edited = with_steps(plan, WriteSchemata(GROUP, "L3:1=001\n", "L3:1=7fe\n"))
    assert "ways that are not its own in mode exclusive" in refused(edited, connection)


def test_a_plan_cannot_change_the_mode_of_another_group(tmp_path: Path) -> None:
    sim, connection = after(tmp_path, wanted(2, 1))
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=400;1=400\n")
    plan = plan_for(wanted(2, 2), connection)
    for path in ("COS1/mode", "mode"):
        edited = with_steps(plan, WriteFile(path, "shareable", "exclusive"))
        assert path in refused(edited, connection)


def test_a_plan_cannot_set_another_mode(tmp_path: Path) -> None:
    _, connection = after(tmp_path, wanted(2, 1, exclusive=False))
    plan = plan_for(wanted(2, 2), connection)
    edited = with_steps(plan, WriteFile(MODE, "shareable", "pseudo-locksetup"))
    assert "'pseudo-locksetup'" in refused(edited, connection)


def test_a_monitor_group_with_a_mode_is_not_a_plan(tmp_path: Path) -> None:
    _, connection = after(tmp_path, None)
    plan = plan_for(wanted(2, 1), connection)
    groups = tuple(msgspec.structs.replace(each, mode="exclusive") for each in plan.groups)
    edited = documents.encode(msgspec.structs.replace(plan, groups=groups))
    with pytest.raises(DocumentError, match=r"monitor group .* has a mode"):
        documents.decode(edited, Plan, "plan.json", plan_problems)


def test_ways_that_an_exclusive_group_has_taken_since_do_not_go_back_to_the_default_group(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=001;1=001\n")  # shared with the default group
    connection = Connection(sim, tmp_path)
    assert apply(plan_for(wanted(2, 2, exclusive=False), connection), connection).outcome == "done"
    assert load_ledger(tmp_path) != Ledger()
    ledger = load_ledger(tmp_path)
    default = read_host(sim).default_group.masks.at("L3", 0)
    assert default is not None
    assert default & 1 == 0, "the default group gave the way up"
    sim.write("COS1/mode", "exclusive\n")
    plan = plan_removal(connection.look(ledger), [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk)
    assert apply(plan, connection).outcome == "done"
    assert sim.read("COS1/mode") == "exclusive\n"
