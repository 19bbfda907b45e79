"""Assignable counters in plans: who gets them, who gives them up, and which monitors will read ``Unassigned``."""

import pytest
from msgspec.structs import replace

from cachetune.domain.model import Domain
from cachetune.host.model import Host
from cachetune.plan import GuestRequest, Options, Plan, plan_guests
from cachetune.plan.render import describe
from cachetune.plan.steps import WriteFile, effect_of
from tests.plan.counted import ALL, NONE, ONE_EACH, about_counters, after, counters_of, group, guest, host, tune
from tests.samples import GUEST, TIDS

WEB = "cachetune-web-vcpus_0-1"
M0, M1 = (f"{WEB}/mon_groups/cachetune-web-vcpus_{n}" for n in (0, 1))
TWO_MONITORS = guest(tune("0-1", "0", "1"))
DEFAULT_MODE = "write 'default' to info/L3_MON/mbm_assign_mode, which restarts every count on this host"


def planned(domain: Domain, on: Host, *, assign: bool = False, owned: tuple[str, ...] = ()) -> Plan:
    request = GuestRequest(domain, GUEST, owned=frozenset(owned))
    return plan_guests([request], on, Options(assign_counters=assign))


def assigned(domain: Domain, on: Host) -> Host:
    """The host after a plan with --assign-counters, which is complete: planning again changes nothing."""
    plan = planned(domain, on, assign=True)
    found = after(on, plan)
    assert planned(domain, found, assign=True).steps == ()
    return found


def placed(on: Host, domain: Domain = TWO_MONITORS, *, assign: bool = False) -> Host:
    """The host with the guest on it."""
    return after(on, planned(domain, on, assign=assign))


# -- warnings -----------------------------------------------------------------------------------------------------


def test_a_plan_says_which_monitors_will_lack_counters_who_has_them_and_what_helps() -> None:
    (found,) = about_counters(planned(TWO_MONITORS, host(group("batch", NONE, "unknown"))))
    assert (found.rule, found.severity, found.line) == ("CT230", "warning", 5)
    assert found.message == (
        "monitors cachetune-web-vcpus_0 and cachetune-web-vcpus_1 will read 'Unassigned' for mbm_total_bytes and "
        "mbm_local_bytes: 2 of 4 counters left on L3 caches 0-1, held by the default group"
    )
    assert found.hint == (
        f"--assign-counters takes counters from {WEB}, whose vCPUs are all in monitor groups, but then monitors "
        "cachetune-web-vcpus_0 and cachetune-web-vcpus_1 still lack mbm_local_bytes; write 'EVENT:*=_' to "
        f"mbm_L3_assignments of a group that does not need its counters, request fewer monitors, or {DEFAULT_MODE}"
    )


def test_the_option_is_enough_where_the_control_group_has_what_its_monitors_lack() -> None:
    domain = guest(tune("0-1", "0", "1"))
    (found,) = about_counters(planned(domain, host(counters=6)))
    assert found.message.startswith("monitor cachetune-web-vcpus_1 will read 'Unassigned'")
    assert found.hint == f"--assign-counters takes counters from {WEB}, whose vCPUs are all in monitor groups"
    assert about_counters(planned(domain, host(counters=6), assign=True)) == []


def test_other_holders_are_named_with_their_owners() -> None:
    on = host(group("batch", ALL, "unknown"))
    (found,) = about_counters(planned(guest(tune("0", "0")), on))
    assert found.message.endswith(
        "0 of 4 counters left on L3 caches 0-1, held by the default group and batch (unknown)"
    )
    assert (
        found.hint
        == f"write 'EVENT:*=_' to mbm_L3_assignments of a group that does not need its counters, or {DEFAULT_MODE}"
    )


def test_groups_of_other_guests_that_could_give_counters_up_are_named() -> None:
    db = GuestRequest(guest(tune("3", "3"), "db"))
    full = placed(host(counters=8))
    (found,) = about_counters(plan_guests([db], full, Options()))
    assert found.hint.startswith(
        f"plan all guests together (--all-guests --assign-counters), because {WEB} could give some up, "
        "write 'EVENT:*=_' to"
    )
    together = [GuestRequest(TWO_MONITORS, GUEST), db]
    both = after(full, plan_guests(together, full, Options(assign_counters=True)))
    assert counters_of(both) == {"vcpus_0-1": "", "vcpus_0": "both", "vcpus_1": "both", "cachetune-db-vcpus_3": "both"}


def test_a_guest_whose_monitors_lack_counters_gives_none_to_another() -> None:
    there = placed(host())
    (found,) = about_counters(plan_guests([GuestRequest(guest(tune("3", "3"), "db"))], there, Options()))
    assert "--all-guests" not in found.hint


def test_no_hint_recommends_a_mode_that_the_host_does_not_have() -> None:
    (found,) = about_counters(planned(TWO_MONITORS, host(modes="mbm_event")))
    assert "default'" not in found.hint


def test_there_is_no_hint_where_nothing_helps() -> None:
    alone = host(counters=1, modes="mbm_event")
    none = replace(alone.monitors[0], assignment=replace(alone.counter_assignment, available={0: 1, 1: 1}))
    on = replace(alone, monitors=(none,), groups=(group(".", NONE, "default"),))
    (found,) = about_counters(planned(guest(tune("0-1", "0-1")), on))
    assert found.message.endswith("for mbm_local_bytes: 1 of 1 counter left on L3 caches 0-1")
    assert found.hint == ""


def test_caches_are_counted_apart() -> None:
    on = host(group("batch", "mbm_total_bytes:0=e;1=_ mbm_local_bytes:0=e;1=_", "unknown"))
    (found,) = about_counters(planned(guest(tune("0-1", "0-1")), on))
    assert found.message.endswith("0 of 4 counters left on L3 cache 0, held by the default group and batch (unknown)")


def test_nothing_is_said_where_every_monitor_gets_its_counters() -> None:
    assert about_counters(planned(guest(tune("0-1", "0-1")), host())) == []
    assert about_counters(planned(TWO_MONITORS, host(counters=8))) == []


def test_nothing_is_said_and_done_in_mode_default_and_on_other_hosts() -> None:
    for on in (host(mode="default"), replace(host(), monitors=(replace(host().monitors[0], assignment=None),))):
        plain, made = (
            planned(TWO_MONITORS, replace(on, groups=on.groups[:1]), assign=assign) for assign in (False, True)
        )
        assert (about_counters(plain), plain.steps) == ([], made.steps)


def test_an_energy_monitor_needs_no_counter() -> None:
    full = host(group("batch", ALL, "unknown"))
    assert about_counters(planned(guest(tune("0-1", "0", "1", kind="energy")), full)) == []


def test_with_mbm_assign_on_mkdir_off_new_groups_have_none() -> None:
    off = host(counters=32, on_mkdir=False)
    (found,) = about_counters(planned(TWO_MONITORS, off))
    assert found.rule == "CT231"
    assert found.message.endswith("for mbm_total_bytes and mbm_local_bytes, although counters are left")
    assert found.hint == (
        "--assign-counters assigns them, and writing 1 to info/L3_MON/mbm_assign_on_mkdir beforehand has the kernel "
        "assign them"
    )
    assert counters_of(assigned(TWO_MONITORS, off)) == {"vcpus_0-1": "", "vcpus_0": "both", "vcpus_1": "both"}
    (again,) = about_counters(planned(TWO_MONITORS, placed(off)))
    assert again.hint == "--assign-counters assigns them", "the groups exist, so on_mkdir no longer matters"


# -- who gets counters --------------------------------------------------------------------------------------------


def test_counters_go_from_a_new_control_group_to_its_monitors_event_by_event() -> None:
    plan = planned(TWO_MONITORS, host(), assign=True)
    assert [describe(step) for step in plan.steps if isinstance(step, WriteFile)] == [
        f"release counters for mbm_total_bytes and mbm_local_bytes on L3 caches 0-1 of {WEB}",
        f"assign counters for mbm_total_bytes on L3 caches 0-1 to {M0}",
        f"assign counters for mbm_total_bytes on L3 caches 0-1 to {M1}",
    ]
    assert counters_of(assigned(TWO_MONITORS, host())) == {"vcpus_0-1": "", "vcpus_0": "total", "vcpus_1": "total"}


def test_without_the_option_a_plan_assigns_nothing() -> None:
    assert not [step for step in planned(TWO_MONITORS, host()).steps if isinstance(step, WriteFile)]


def test_no_step_is_planned_that_the_kernel_takes_itself() -> None:
    plain, made = (planned(TWO_MONITORS, host(counters=8), assign=assign) for assign in (False, True))
    assert made.steps == plain.steps


def test_monitors_that_exist_are_drift_only_with_the_option() -> None:
    there = placed(host())
    assert counters_of(there) == {"vcpus_0-1": "both", "vcpus_0": "", "vcpus_1": ""}
    assert planned(TWO_MONITORS, there).steps == ()
    assert counters_of(assigned(TWO_MONITORS, there)) == {"vcpus_0-1": "", "vcpus_0": "total", "vcpus_1": "total"}


def test_a_control_group_with_vcpus_outside_its_monitor_groups_keeps_its_counters() -> None:
    domain = guest(tune("0-2", "0", "1"))
    there = placed(host(), domain)
    assert counters_of(assigned(domain, there)) == {"vcpus_0-2": "both", "vcpus_0": "", "vcpus_1": ""}


def test_a_whole_process_keeps_its_counters() -> None:
    domain = guest(tune("", "0", "1"))
    there = placed(host(), domain)
    assert counters_of(assigned(domain, there)) == {"cachetune-web": "both", "vcpus_0": "", "vcpus_1": ""}


def test_foreign_groups_and_the_default_group_keep_theirs() -> None:
    on = host(group("batch", ALL, "unknown"), group("qemu-2-web-vcpus_0-1", ALL, "libvirt"), counters=6)
    plan = planned(TWO_MONITORS, on, assign=True)
    assert {effect_of(step).written for step in plan.steps} <= {None, WEB, M0, M1}
    assert counters_of(after(on, plan))["batch"] == "both"


def test_monitors_that_exist_keep_what_they_have() -> None:
    one = guest(tune("0-1", "0"))
    there = placed(host(counters=6), one, assign=True)
    assert counters_of(there) == {"vcpus_0-1": "both", "vcpus_0": "both"}
    assert counters_of(assigned(TWO_MONITORS, there)) == {"vcpus_0-1": "", "vcpus_0": "both", "vcpus_1": "both"}


def test_no_more_counters_are_released_than_are_needed() -> None:
    there = host(group(WEB), group(M0), group(M1, ONE_EACH), counters=7)
    assert counters_of(assigned(TWO_MONITORS, there)) == {"vcpus_0-1": "total", "vcpus_0": "both", "vcpus_1": "both"}


def test_monitors_of_memory_bandwidth_come_before_those_of_a_cache() -> None:
    domain = guest(f"{tune('0', '0', kind='cache')}\n{tune('1', '1')}")
    assert counters_of(assigned(domain, host())) == {"vcpus_0": "", "vcpus_1": "both"}


def test_counters_come_back_when_the_monitors_are_removed() -> None:
    there = placed(host(), assign=True)
    assert counters_of(assigned(guest(tune("0-1")), there)) == {"vcpus_0-1": "both"}


def test_removed_groups_leave_their_counters_to_others() -> None:
    there = host(group("mon_groups/cachetune-web-vcpus_3", ALL, tids=TIDS[3:]))
    assert counters_of(assigned(guest(tune("0-1", "0-1")), there)) == {"vcpus_0-1": "both"}


def test_counters_of_one_guest_serve_another_in_the_same_plan_but_not_in_a_separate_plan() -> None:
    db = guest(tune("0-1", "0-1"), "db")
    there = placed(host(counters=6))
    assert counters_of(there) == {"vcpus_0-1": "both", "vcpus_0": "both", "vcpus_1": ""}
    alone = after(there, plan_guests([GuestRequest(db)], there, Options(assign_counters=True)))
    assert counters_of(alone)["cachetune-db-vcpus_0-1"] == ""
    requests = [GuestRequest(TWO_MONITORS, GUEST), GuestRequest(db)]
    both = after(there, plan_guests(requests, there, Options(assign_counters=True)))
    assert counters_of(both) == {
        "vcpus_0-1": "",
        "vcpus_0": "both",
        "vcpus_1": "total",
        "cachetune-db-vcpus_0-1": "total",
    }


@pytest.mark.parametrize("counters", range(2, 12))
@pytest.mark.parametrize("on_mkdir", [True, False])
def test_a_monitor_lacks_a_counter_only_if_none_is_left(counters: int, on_mkdir: bool) -> None:
    domain = guest(f"{tune('0-1', '0', '1')}\n{tune('2', '2')}\n{tune('3', '3', kind='cache')}")
    found = assigned(domain, host(counters=counters, on_mkdir=on_mkdir))
    wanting = [g for g in found.groups if g.path not in (".", WEB)]
    lacking = sum(not counter for g in wanting for row in g.assignments.values() for counter in row.values())
    assignment = found.counter_assignment
    assert assignment
    assert lacking == max(0, 8 - (counters - 2)) * 2
    assert all(left == 0 for left in assignment.available.values()) or not lacking
