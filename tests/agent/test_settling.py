"""The agent settles the host: ways made free for a guest that never came, groups that the hook left."""

import errno
from pathlib import Path

import pytest

from cachetune.apply.run import apply_planned
from cachetune.apply.settle import settlement
from cachetune.apply.state import departures, reservations
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.host.model import Host
from cachetune.plan import plan_guests
from cachetune.plan.model import Plan
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.reserve import only_default_group, upcoming_groups
from tests.agent.machine import wanted
from tests.agent.test_reconcile import World

FRESH = "L3:0=7ff;1=7ff"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host where the hook has made room for a guest of libvirt, and no guest is managed."""
    world = World(tmp_path)
    world.files, world.running = {}, ()

    def planner(host: Host, _: Ledger) -> Plan:
        plan = plan_guests([GuestRequest(wanted(name="db", id=9))], host, Options(shrink_default=True))
        reservations.reserve(tmp_path, "db", upcoming_groups(plan))
        return only_default_group(plan, host)

    assert apply_planned(planner, world.connection).outcome == "done"
    assert default(world) == "L3:0=7f8;1=7ff"
    return world


def default(world: World) -> str:
    return world.sim.read("schemata").split()[-1]


def test_ways_are_kept_for_a_guest_that_may_come_and_returned_once_when_it_has_not(world: World) -> None:
    reconciler = world.reconciler()
    assert not reconciler.round()
    assert default(world) == "L3:0=7f8;1=7ff"
    reservations.release(world.connection.run, "db")
    assert reconciler.round()
    assert default(world) == FRESH
    assert world.logged() == ["notice: cleanup: 1 group written"]
    assert not reconciler.round()
    assert world.logged() == []


def test_that_the_ways_cannot_be_returned_is_logged_once(world: World) -> None:
    reservations.release(world.connection.run, "db")
    world.sim.fail(errno.EIO, operation="write", times=2)
    reconciler = world.reconciler()
    for _ in range(2):
        assert not reconciler.round()
    (line,) = world.logged()
    assert line.startswith("warning: cleanup failed: cannot write")
    assert reconciler.round()
    assert default(world) == FRESH


def test_an_interrupted_run_is_recovered_whether_or_not_the_ways_can_be_returned_then(world: World) -> None:
    reservations.release(world.connection.run, "db")
    ledger = load_ledger(world.connection.run)
    plan = settlement(world.connection.look(ledger), ledger, ())
    Journal.begin(world.connection.run, plan, world.sim.source).keep()
    world.sim.fail(errno.EIO, operation="write")
    assert world.reconciler().round()
    assert default(world) == FRESH
    assert [line.split(":")[0] for line in world.logged()] == ["notice"]


def test_groups_of_a_guest_whose_end_the_hook_recorded_are_removed_once_they_are_empty(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.machine.placed()
    world.files = None  # there is no directory of tuning files: nothing says that there is a guest
    world.running = ()
    departures.record(tmp_path, "web")
    reconciler = world.reconciler()
    assert not reconciler.round()
    assert "cachetune-web-vcpus_0-1" in world.sim.listdir("")
    world.machine.ended()
    assert reconciler.round()
    assert "cachetune-web-vcpus_0-1" not in world.sim.listdir("")
    assert default(world) == FRESH
    assert departures.departed(tmp_path) == ()
