"""The host's policy in every plan: what the default group keeps, its bandwidth, and reserved ways."""

import pytest
from msgspec.structs import replace

from cachetune.apply.run import Connection, apply, apply_planned
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Cbm
from cachetune.errors import PlanRefusedError
from cachetune.plan import Options, Plan
from cachetune.plan.default_group import plan_policy
from cachetune.plan.policy import BandwidthPolicy, LeastWays, Policy, Reserved, strangers
from cachetune.service.default_group import DefaultValues, RateFor, SizeFor, default_planner, policy_planner
from cachetune.service.plans import within_policy
from cachetune.sim import SimulatedResctrl
from cachetune.units import Rate, Size
from tests.apply.test_default_group import now
from tests.samples import cache_request, domain, group, plan_for

KEEPS_3 = Policy("host.toml", least=(LeastWays("L3", None, Size(3, "ways")),))
RESERVES = Policy("host.toml", reserved=(Reserved("L3", 0, Cbm(0x003)),))


def plan(ways: int, connection: Connection, policy: Policy | None, **more: bool) -> Plan:
    control = connection.look(load_ledger(connection.run)).caches[0]
    wanted = domain(group({0}, (cache_request(control, 0, ways),), (), []))
    return plan_for(wanted, connection, options=Options(**{"shrink_default": True, "policy": policy, **more}))


def refusal(ways: int, connection: Connection, policy: Policy | None) -> tuple[str, str]:
    with pytest.raises(PlanRefusedError) as refused:
        plan(ways, connection, policy)
    (finding,) = (f for f in refused.value.findings if f.severity == "error")
    return f"{finding.rule} {finding.message}", finding.hint


def test_a_plan_that_leaves_less_is_refused_with_file_and_key(connection: Connection) -> None:
    assert plan(8, connection, KEEPS_3).steps
    assert refusal(9, connection, KEEPS_3) == (
        "CT237 L3 cache 0: the default group would have 2 ways, less than 3 ways (default.L3.least in host.toml)",
        "request 1 way less of it, or change default.L3.least",
    )


@pytest.mark.parametrize(
    ("size", "most"),
    [("5ways", 6), ("40%", 6), ("41%", 6), ("9MiB", 7), ("10MiB", 6), ("1%", 10), ("100%", 0), ("1000ways", 0)],
)
def test_the_least_is_rounded_up_to_whole_ways(size: str, most: int, connection: Connection) -> None:
    policy = Policy("host.toml", least=(LeastWays("L3", None, Size.parse(size)),))
    fitting = [ways for ways in range(1, 10) if _fits(ways, connection, policy)]
    assert max(fitting, default=0) == min(most, 9)


def _fits(ways: int, connection: Connection, policy: Policy) -> bool:
    try:
        return bool(plan(ways, connection, policy).steps)
    except PlanRefusedError:
        return False


def test_an_entry_for_one_cache_goes_before_that_for_the_others(connection: Connection) -> None:
    entries = (LeastWays("L3", 0, Size(6, "ways")), LeastWays("L3", None, Size(1, "ways")))
    rule, _ = refusal(7, connection, Policy("host.toml", least=entries))
    assert "less than 6 ways (default.L3.least.0 in host.toml)" in rule


def test_less_than_a_quarter_is_a_warning_unless_the_policy_allows_it(connection: Connection) -> None:
    allows = Policy("host.toml", least=(LeastWays("L3", None, Size(2, "ways")),))
    elsewhere = Policy("host.toml", least=(LeastWays("L3", 1, Size(2, "ways")),))
    assert [f.message for f in plan(9, connection, None).warnings] == [
        "L3 cache 0: the default group keeps only 2 of 11 ways"
    ]
    assert [f.rule for f in plan(9, connection, elsewhere).warnings] == ["CT238"]
    assert plan(9, connection, allows).warnings == ()
    assert plan(8, connection, None).warnings == ()


def test_a_default_group_that_has_less_already_refuses_nothing_that_takes_nothing(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.write("schemata", "L3:0=600\n")
    assert plan(3, connection, KEEPS_3).steps
    assert plan(3, connection, None).warnings == ()


def test_no_guest_gets_reserved_ways(sim: SimulatedResctrl, connection: Connection) -> None:
    assert apply(plan(3, connection, RESERVES), connection).outcome == "done"
    assert now(sim, "cachetune-web-vcpus_0")[0] == "01c"
    assert not plan(3, connection, RESERVES).steps
    rule, hint = refusal(8, connection, RESERVES)
    assert "the policy host.toml has 3" in rule
    assert "at most 7 ways" in hint


def test_a_guest_that_has_them_moves(sim: SimulatedResctrl, connection: Connection) -> None:
    assert apply(plan(3, connection, None), connection).outcome == "done"
    assert now(sim, "cachetune-web-vcpus_0")[0] == "007"
    assert apply(plan(3, connection, RESERVES), connection).outcome == "done"
    assert now(sim, "cachetune-web-vcpus_0")[0] == "01c"
    assert not plan(3, connection, RESERVES).steps


def test_a_reservation_takes_no_closid_and_is_not_in_the_plan(connection: Connection) -> None:
    made, without = plan(3, connection, RESERVES), plan(3, connection, None)
    assert made.summary == without.summary
    assert made.host_groups == without.host_groups
    assert made.host_fingerprint == without.host_fingerprint


def test_a_saved_plan_is_compared_with_the_policy_of_the_host(connection: Connection) -> None:
    saved = plan(9, connection, None)
    host = connection.look(load_ledger(connection.run))
    assert within_policy(saved, host, None) is saved
    with pytest.raises(PlanRefusedError) as refused:
        within_policy(saved, host, KEEPS_3)
    assert [f.rule for f in refused.value.findings] == ["CT237"]


# -- cachetune default ----------------------------------------------------------------------------------------------

ON_BANDWIDTH = Policy("host.toml", bandwidth=(BandwidthPolicy("MB", least=Rate(25, "%")),))
FIXED = Policy("host.toml", bandwidth=(BandwidthPolicy("MB", least=Rate(20, "%"), value=Rate(60, "%")),))


def wish(policy: Policy, ways: int | None = None, rate: str | None = None):  # type: ignore[no-untyped-def]
    caches = () if ways is None else (SizeFor("L3", (0,), Size(ways, "ways")),)
    limits = () if rate is None else (RateFor("MB", (0,), Rate.parse(rate)),)
    return default_planner(DefaultValues(caches, limits), None, policy)


@pytest.mark.parametrize(
    ("policy", "ways", "rate", "what"),
    [
        (KEEPS_3, 2, None, "CT237 L3 cache 0: the default group would have 2 ways, less than 3 ways"),
        (ON_BANDWIDTH, None, "20%", "CT237 MB 0: the default group would have 20 percent, less than 30 percent"),
        (FIXED, None, "50%", "CT240 the default group cannot have 50% of MB 0: host.toml sets 60 percent"),
    ],
)
def test_the_verb_does_not_go_below_it(
    policy: Policy, ways: int | None, rate: str | None, what: str, connection: Connection
) -> None:
    with pytest.raises(PlanRefusedError) as refused:
        apply_planned(wish(policy, ways, rate), connection)
    (finding,) = refused.value.findings
    assert f"{finding.rule} {finding.message}".startswith(what)


def test_the_verb_sets_what_the_policy_allows(sim: SimulatedResctrl, connection: Connection) -> None:
    assert apply_planned(wish(KEEPS_3, 3), connection).outcome == "done"
    assert apply_planned(wish(FIXED, None, "60%"), connection).outcome == "done"
    assert apply_planned(wish(ON_BANDWIDTH, None, "30%"), connection).outcome == "done"
    assert now(sim) == ("700", "30")


def test_the_default_group_does_not_grow_into_reserved_ways(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write("schemata", "L3:0=7f0\n")
    with pytest.raises(PlanRefusedError) as refused:
        apply_planned(wish(RESERVES, 11), connection)
    assert "the policy host.toml has 3" in refused.value.findings[0].message
    assert apply_planned(wish(RESERVES, 9), connection).outcome == "done"
    assert now(sim)[0] == "7fc"


def test_a_policy_is_followed_once_and_then_there_is_nothing_to_do(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    both = replace(FIXED, least=KEEPS_3.least)
    sim.write("schemata", "L3:0=600;1=600\n")
    assert apply_planned(policy_planner(both), connection).outcome == "done"
    assert "L3:0=700;1=700" in sim.read("schemata")
    assert "MB:0= 60;1= 60" in sim.read("schemata")
    assert apply_planned(policy_planner(both), connection).outcome == "nothing to do"
    more = Policy("host.toml", bandwidth=(BandwidthPolicy("MB", least=Rate(80, "%")),))
    assert apply_planned(policy_planner(more), connection).outcome == "done"
    assert now(sim)[1] == "80"


def test_where_ways_are_taken_it_gets_as_many_as_there_are(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write("schemata", "L3:0=600\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=0ff;1=001\n")
    keeps_5 = Policy("host.toml", least=(LeastWays("L3", None, Size(5, "ways")),))
    assert apply_planned(policy_planner(keeps_5), connection).outcome == "done"
    assert now(sim)[0] == "700"
    assert apply_planned(policy_planner(keeps_5), connection).outcome == "nothing to do"


def test_a_policy_for_other_hardware_does_nothing_and_its_keys_are_named(connection: Connection) -> None:
    host = connection.look(load_ledger(connection.run))
    policy = Policy(
        "host.toml",
        least=(LeastWays("L2", None, Size(2, "ways")), LeastWays("L3", 7, Size(2, "ways"))),
        bandwidth=(BandwidthPolicy("MB", least=Rate(500, "MiB/s")), BandwidthPolicy("SMBA", value=Rate(50))),
        reserved=(Reserved("L3", 9, Cbm(1)),),
    )
    assert plan_policy(host, policy).steps == ()
    assert plan(9, connection, policy).steps
    assert strangers(policy, host) == (
        "default.L2.least",
        "default.L3.least.7",
        "reserved.L3.9",
        "default.MB.least",
        "default.SMBA.value",
    )
