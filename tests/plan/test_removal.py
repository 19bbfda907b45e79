"""What a removal does and counts; most rows were mutants that no test noticed."""

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.domain.model import MonitorRequest
from cachetune.errors import PlanRefusedError
from cachetune.host.model import Host
from cachetune.plan import plan_removal
from cachetune.plan.model import DefaultShrink, PlanGuest
from cachetune.plan.settings import parse_value
from cachetune.plan.steps import WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.samples import HERE, domain, group, plan_for, web

WEB = PlanGuest("web", "cachetune-web")


def placed(connection: Connection) -> Host:
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    return connection.look(load_ledger(connection.run))


def test_the_ids_of_removed_groups_are_counted_as_free(connection: Connection) -> None:
    host = placed(connection)
    assert (host.closids_used, host.rmids_used) == (2, 4)
    summary = plan_removal(host, [WEB]).summary
    assert (summary.closids.used, summary.rmids.used, summary.groups_removed) == (1, 1, 3)


def test_a_foreign_monitor_group_inside_refuses_the_removal(connection: Connection, sim: SimulatedResctrl) -> None:
    placed(connection)
    sim.mkdir("cachetune-web-vcpus_0-1/mon_groups/theirs")
    with pytest.raises(PlanRefusedError):
        plan_removal(connection.look(load_ledger(connection.run)), [WEB])


RETURNS = {
    "all": ("L3:0=7f0", 0x7FF, 0x7F0, 0, "", "L3:0=7ff\n"),
    "what another group has stays": ("L3:0=7f0", 0x7FF, 0x7F0, 0, "L3:0=001", "L3:0=7fe\n"),
    "what another group shared before comes back": ("L3:0=7f0", 0x7FF, 0x7F0, 0x001, "L3:0=001", "L3:0=7ff\n"),
    "only contiguous ways": ("L3:0=7f0", 0x7FF, 0x7F0, 0, "L3:0=008", ""),
    "on both sides": ("L3:0=0f0", 0x7FF, 0x0F0, 0, "L3:0=001", "L3:0=7fe\n"),
    "not beyond what it had": ("L3:0=0f0", 0x1F8, 0x0F0, 0, "", "L3:0=1f8\n"),
    "not after a change by another program": ("L3:0=700", 0x7FF, 0x7F0, 0, "", ""),
}


@pytest.mark.parametrize("case", RETURNS)
def test_the_default_group_gets_back(case: str, connection: Connection, sim: SimulatedResctrl) -> None:
    now, before, after, shared, theirs, written = RETURNS[case]
    sim.write("schemata", f"{now}\n")
    if theirs:
        sim.mkdir("COS1")
        sim.write("COS1/schemata", f"{theirs};1=001\n")
    tables = [Masks({"L3": {0: Cbm(mask)}}) for mask in (before, after, shared)]
    plan = plan_removal(connection.look(load_ledger(connection.run)), [], (), DefaultShrink(*tables))
    assert [step.after for step in plan.steps if isinstance(step, WriteSchemata)] == ([written] if written else [])
    assert plan_removal(connection.look(load_ledger(connection.run)), []).steps == ()


def test_a_list_of_cpus_that_cannot_be_read_is_no_list_of_cpus() -> None:
    assert parse_value("web/cpus_list", " 0-1,3\n") == "0-1,3"
    assert parse_value("web/cpus_list", "0-x\n") == "0-x"


@pytest.mark.parametrize(("vcpus", "monitor", "needed"), [(None, None, False), ({0}, None, True), (None, {0}, True)])
def test_vcpus_are_needed_for_a_part_of_the_guest_only(
    vcpus: set[int] | None, monitor: set[int] | None, needed: bool
) -> None:
    import msgspec

    inside = MonitorRequest("cache", None if monitor is None else frozenset(monitor), "m", HERE)
    made = msgspec.structs.replace(
        group({0}, (), (), []), vcpus=None if vcpus is None else frozenset(vcpus), monitors=(inside,)
    )
    assert domain(made).needs_vcpus is needed


def test_a_plan_says_in_which_unit_bandwidth_is(connection: Connection) -> None:
    """Not the unit of SMBA, which a host may have as well."""
    assert plan_for(web("skylake-2s"), connection).bandwidth_unit == "percent"
