"""The agent and a measurement of a guest that it keeps in place: it waits for the end, and restores after a death."""

from pathlib import Path

import pytest

from cachetune.apply.measure import arrange, begin, restore
from cachetune.apply.state import measurement
from cachetune.apply.state.measurement import Held, MeasuredGroup
from cachetune.cbm import Cbm
from cachetune.guests.tuning_files import TuningFile
from tests.agent.machine import wanted
from tests.agent.test_reconcile import GROUP, World, state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def measuring(world: World) -> Held:
    """The guest has one way instead of its three."""
    masks = tuple(map(Cbm, (1, 3, 7)))
    group = MeasuredGroup(guest="web", machine_name="cachetune-web", path=GROUP, before=masks[2], masks=masks)
    held = begin(lambda host, _: measurement.new(host.source, "L3", 0, (group,), 60.0), world.connection)
    assert arrange({GROUP: masks[0]}, held, world.connection).outcome == "done"
    return held


def mask(world: World) -> str:
    return world.sim.read(f"{GROUP}/schemata").partition("L3:0=")[2][:3]


def test_the_agent_leaves_a_guest_that_is_measured(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    held = measuring(world)
    world.logged()
    for _ in range(3):
        assert not reconciler.round()
    assert (mask(world), state(reconciler), world.logged()) == ("001", "placed", [])
    assert restore(held, world.connection).outcome == "done"
    assert not reconciler.round()
    assert (mask(world), world.logged()) == ("007", [])


def test_the_agent_restores_what_a_killed_measurement_left(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    measuring(world).release()  # as the end of the process does
    world.logged()
    reconciler.round()
    assert (mask(world), state(reconciler)) == ("007", "placed")
    (line,) = world.logged()
    assert line.startswith("warning: recovered from an interrupted run for cachetune-web: 0 steps undone; ")
    assert line.endswith(
        f"restored: write L3:0=007 to {GROUP}; the measurement of web was interrupted; the ways of before are restored"
    )
    assert not reconciler.round()


def test_the_agent_still_places_a_guest_whose_file_changes_after_the_measurement(world: World) -> None:
    """Its new request waits: it is refused while the guest is measured, and tried again."""
    reconciler = world.reconciler()
    reconciler.round()
    held = measuring(world)
    world.files = {"web": TuningFile(wanted(ways=2))}
    reconciler.round()
    assert (mask(world), state(reconciler)) == ("001", "failed")
    assert "has other ways for a measurement by process" in reconciler.statuses["web"].reason
    restore(held, world.connection)
    world.seconds += 3600
    reconciler.round()
    assert (mask(world), state(reconciler)) == ("003", "placed")
