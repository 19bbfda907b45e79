"""Ways that the default group gave up for a guest go back to it in the plan after which no group has them."""

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune.apply.run import Connection, apply
from cachetune.apply.settle import settlement
from cachetune.apply.state import reservations
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP, Group
from cachetune.plan import Options, Plan
from cachetune.plan.render import render
from cachetune.plan.request import GuestRequest
from cachetune.plan.steps import WriteSchemata
from cachetune.service.plans import compare_requests, plan_requests
from cachetune.sim import SimulatedResctrl
from tests.effort import examples
from tests.samples import GUEST, cache_request, domain, domains, group, host_with_guest, plan_for


def asks(connection: Connection, *ways: int, name: str = "web") -> Plan:
    """The plan for a guest that requests this many ways of L3 cache 0, each number for a separate group."""
    control = connection.look(load_ledger(connection.run)).caches[0]
    groups = [group({n}, (cache_request(control, 0, number),), (), []) for n, number in enumerate(ways)]
    return plan_for(domain(*groups, name=name), connection)


def given_to(connection: Connection, *ways: int) -> None:
    assert apply(asks(connection, *ways), connection).outcome == "done"


def mask_of(sim: SimulatedResctrl, path: str = "") -> str:
    return sim.read(f"{path}/schemata".lstrip("/")).split("L3:0=")[1].split(";")[0]


def test_a_guest_that_shrinks_leaves_no_ways_idle(sim: SimulatedResctrl, connection: Connection) -> None:
    given_to(connection, 6)
    assert mask_of(sim) == "7c0"
    plan = asks(connection, 1)
    writes = [(step.path, step.after) for step in plan.steps if isinstance(step, WriteSchemata)]
    assert writes == [("cachetune-web-vcpus_0", "L3:0=001\n"), (DEFAULT_GROUP, "L3:0=7fe\n")]
    assert apply(plan, connection).outcome == "done"
    assert mask_of(sim) == "7fe"
    assert not asks(connection, 1).steps
    assert load_ledger(connection.run).shrunk is not None, "one way is still to come back"


def test_ways_that_lie_idle_since_an_earlier_version_are_a_plan(sim: SimulatedResctrl, connection: Connection) -> None:
    """That a guest's own groups match is no reason to say "No changes"."""
    given_to(connection, 6)
    sim.write("cachetune-web-vcpus_0/schemata", "L3:0=001\n")
    plan = asks(connection, 1)
    assert [step.path for step in plan.steps] == [DEFAULT_GROUP]
    assert apply(plan, connection).outcome == "done"
    assert not asks(connection, 1).steps


def test_only_contiguous_ways_go_back(sim: SimulatedResctrl, connection: Connection) -> None:
    """vCPU 1's group stays between the default group and what vCPU 0's group has given up."""
    given_to(connection, 3, 3)
    masks = [mask_of(sim, f"cachetune-web-vcpus_{n}") for n in (0, 1)]
    assert masks == ["007", "038"]
    given_to(connection, 1, 3)
    assert mask_of(sim) == "7c0"
    assert not asks(connection, 1, 3).steps
    given_to(connection, 1, 1)
    assert mask_of(sim) == "7f0"


def test_a_copy_of_the_default_groups_mask_gets_the_same_ways_back(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    given_to(connection, 6)
    control = connection.look(load_ledger(connection.run)).caches[0]
    copy = group({1}, (cache_request(control, 1, 2),), (), [])
    plan = plan_for(domain(group({0}, (cache_request(control, 0, 1),), (), []), copy), connection)
    made = "cachetune-web-vcpus_1"
    assert next(g for g in plan.groups if g.path == made).schemata.masks.at("L3", 0) == 0x7FE
    assert apply(plan, connection).outcome == "done"
    assert (mask_of(sim), mask_of(sim, made)) == ("7fe", "7fe")
    given_to(connection, 6)
    assert mask_of(sim) == "7c0", "the group of vCPU 1 has been removed"


def test_a_follower_of_another_guest_gets_the_same_ways_back(sim: SimulatedResctrl, connection: Connection) -> None:
    control = connection.look(Ledger()).caches[0]
    db = domain(group({0}, (cache_request(control, 1, 2),), (), []), name="db")
    other = Guest(5011, (Thread(5011, 0, "CPU 0/KVM", 0),))
    sim.add_task(5011)
    assert apply(plan_for(db, connection, other), connection).outcome == "done"
    given_to(connection, 6)
    follower = "cachetune-db-vcpus_0"
    assert (mask_of(sim), mask_of(sim, follower)) == ("7c0", "7c0")
    given_to(connection, 2)
    assert (mask_of(sim), mask_of(sim, follower)) == ("7fc", "7fc")


def test_ways_that_were_not_taken_for_a_guest_stay(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write("schemata", "L3:0=700\n")
    given_to(connection, 6)
    assert (mask_of(sim), mask_of(sim, "cachetune-web-vcpus_0")) == ("700", "03f")
    given_to(connection, 1)
    assert mask_of(sim) == "700"


def test_what_another_program_has_made_of_the_default_group_stays(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    given_to(connection, 6)
    sim.write("schemata", "L3:0=600\n")
    given_to(connection, 1)
    assert mask_of(sim) == "600"


def test_ways_reserved_for_a_guest_that_starts_stay_free(sim: SimulatedResctrl, connection: Connection) -> None:
    given_to(connection, 6)
    masks = Masks.of([("L3", 0, Cbm(0x030))])
    reservations.reserve(connection.run, "db", (Group("qemu-9-db-vcpus_0", "control", "libvirt", masks=masks),))
    sim.write("cachetune-web-vcpus_0/schemata", "L3:0=003\n")
    assert not asks(connection, 2).steps, "the reserved ways are between"
    reservations.release(connection.run, "db")
    assert asks(connection, 2).steps


def test_what_is_only_compared_is_not_given_back(sim: SimulatedResctrl, connection: Connection) -> None:
    """Idle ways are no drift of the guest that is looked at."""
    given_to(connection, 6)
    sim.write("cachetune-web-vcpus_0/schemata", "L3:0=001\n")
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    wanted = domain(group({0}, (cache_request(host.caches[0], 0, 1),), (), []))
    assert not compare_requests([GuestRequest(wanted, GUEST)], host, ledger, Options()).steps
    assert plan_requests([GuestRequest(wanted, GUEST)], host, ledger, Options()).steps


def test_the_plan_shows_a_new_copy_and_the_default_group_with_their_last_masks(connection: Connection) -> None:
    given_to(connection, 6)
    control = connection.look(load_ledger(connection.run)).caches[0]
    copy = group({1}, (cache_request(control, 1, 2),), (), [])
    plan = plan_for(domain(group({0}, (cache_request(control, 0, 1),), (), []), copy), connection)
    text = "\n".join(line.text for line in render(plan))
    assert "L3 0  ddddd------ 7c0 -> ##########- 7fe" in text
    assert "+ cachetune-web-vcpus_1  (vCPU 1)\n    L3 0  ##########- 7fe" in text


def a_give_back(run: Path) -> tuple[SimulatedResctrl, Connection, Plan]:
    sim = host_with_guest("skylake-2s")
    connection = Connection(sim, run)
    given_to(connection, 4, 2)
    return sim, connection, asks(connection, 1, 1)


def test_a_failure_anywhere_leaves_the_ways_where_they_were(tmp_path: Path) -> None:
    sim, connection, plan = a_give_back(tmp_path / "dry")
    begin = len(sim.operations)
    assert apply(plan, connection).outcome == "done"
    for number in range(1, len(sim.operations) - begin + 1):
        sim, connection, plan = a_give_back(tmp_path / str(number))
        before, ledger = sim.tree(), load_ledger(connection.run)
        sim.fail(errno.EIO, at=number)
        assert apply(plan, connection).outcome == "rolled back"
        assert (sim.tree(), load_ledger(connection.run)) == (before, ledger)


@pytest.mark.slow
@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_plan_nothing_is_left_to_give_back_and_planning_again_finds_no_changes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profile = data.draw(st.sampled_from(["skylake-2s", "milan", "sapphire-rapids-cdp", "haswell"]))
    sim = host_with_guest(profile)
    connection = Connection(sim, tmp_path_factory.mktemp("run"))
    for _ in range(3):
        wanted = data.draw(domains(connection.look(load_ledger(connection.run))))
        assert apply(plan_for(wanted, connection), connection).outcome in ("done", "nothing to do")
        assert not plan_for(wanted, connection).steps
        ledger = load_ledger(connection.run)
        assert not settlement(connection.look(ledger), ledger, ()).steps
