"""The agent and the host's policy: read again in each round, followed once, and never a reason to flap."""

from pathlib import Path

import msgspec
import pytest

from cachetune.agent.reconcile import Clock, Inputs, Reconciler
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Cbm
from cachetune.errors import DocumentError
from cachetune.plan.policy import BandwidthPolicy, LeastWays, Policy, Reserved
from cachetune.units import Rate, Size
from tests.agent.machine import OPTIONS
from tests.agent.test_reconcile import World, state

FIXED = Policy("host.toml", bandwidth=(BandwidthPolicy("MB", value=Rate(60, "%")),))


class Policed(World):
    """A world with a policy, which a test edits between rounds."""

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self.policy: Policy | None = None
        self.broken = ""

    def reconciler(self, *_: object) -> Reconciler:
        inputs = Inputs(lambda: self.connection, lambda _: self.files, self._look, self._policy)
        clock = Clock(time=lambda: self.seconds, monotonic=lambda: self.seconds)
        return Reconciler(inputs, OPTIONS, clock, self._log)

    def _policy(self) -> Policy | None:
        if self.broken:
            raise DocumentError("host.toml", self.broken)
        return self.policy


@pytest.fixture
def world(tmp_path: Path) -> Policed:
    return Policed(tmp_path)


def settled(reconciler: Reconciler) -> int:
    """Run rounds until one changes nothing; return how many changed something."""
    return next(number for number in range(10) if not reconciler.round())


def test_a_policy_is_followed_in_a_round_that_has_nothing_else_to_do_and_only_once(world: Policed) -> None:
    world.policy = FIXED
    reconciler = world.reconciler()
    assert reconciler.round()
    assert "MB:0=100;1=100" in world.sim.read("schemata"), "first the guest"
    assert reconciler.round()
    assert "MB:0= 60;1= 60" in world.sim.read("schemata")
    assert world.logged()[-1] == "notice: policy host.toml: 1 group written"
    assert not reconciler.round()
    assert world.logged() == []


def test_an_edited_policy_counts_in_the_next_round(world: Policed) -> None:
    reconciler = world.reconciler()
    settled(reconciler)
    world.policy = msgspec.structs.replace(FIXED, reserved=(Reserved("L3", 0, Cbm(0x007)),))
    assert settled(reconciler) == 2
    assert "L3:0=038" in world.sim.read("cachetune-web-vcpus_0-1/schemata"), "the guest had the reserved ways"
    assert "MB:0= 60;1= 60" in world.sim.read("schemata")
    assert not reconciler.round()
    world.policy = None
    assert not reconciler.round(), "its values stay"


def test_a_guest_that_would_take_too_much_is_not_placed_until_the_policy_allows_it(world: Policed) -> None:
    world.policy = Policy("host.toml", least=(LeastWays("L3", None, Size(9, "ways")),))
    reconciler = world.reconciler()
    settled(reconciler)
    assert state(reconciler) == "failed"
    assert "less than 9 ways (default.L3.least in host.toml)" in reconciler.statuses["web"].reason
    world.policy = Policy("host.toml", least=(LeastWays("L3", None, Size(8, "ways")),))
    world.seconds += 1000
    settled(reconciler)
    assert state(reconciler) == "placed"


def test_a_policy_that_breaks_is_named_once_and_the_last_one_stays_in_force(world: Policed) -> None:
    world.policy = FIXED
    reconciler = world.reconciler()
    settled(reconciler)
    world.logged()
    world.broken = "unknown key 'defaults'"
    for _ in range(3):
        assert not reconciler.round()
    assert world.logged() == [
        "warning: host.toml is not valid: unknown key 'defaults'; the last valid policy stays in force"
    ]
    world.sim.write("schemata", "MB:0=100\n")
    assert reconciler.round()
    assert "MB:0= 60" in world.sim.read("schemata")


def test_a_policy_that_cannot_be_followed_is_logged_once(world: Policed) -> None:
    reconciler = world.reconciler()
    settled(reconciler)
    world.logged()
    world.policy = FIXED
    world.sim.fail(5, operation="write", times=20)
    for _ in range(3):
        assert not reconciler.round()
    assert len(world.logged()) == 1
    world.sim._faults.clear()
    assert reconciler.round()


def test_keys_for_other_hardware_are_warned_of_once(world: Policed) -> None:
    world.policy = Policy("host.toml", least=(LeastWays("L2", None, Size(2, "ways")),))
    reconciler = world.reconciler()
    settled(reconciler)
    warnings = [line for line in world.logged() if "host.toml" in line]
    assert warnings == ["warning: host.toml: default.L2.least has no effect, as the host has no such resource"]


def test_the_first_values_are_remembered_when_the_agent_follows_a_policy(world: Policed) -> None:
    world.policy = FIXED
    settled(world.reconciler())
    assert load_ledger(world.connection.run).initial.bandwidth == {"MB": {0: 100, 1: 100}}
