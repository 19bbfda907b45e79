"""Sums that lack a group: a control group's bandwidth where some of its monitor groups have no counter."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune.host import SysfsResctrl, read_host
from cachetune.host.model import Host
from cachetune.watch import Reading, read_counters, uncounted
from tests.host.trees import ALL_EVENTS, Tree, bandwidth, below, group, make, monitoring
from tests.plan.counted import ALL, LOCAL, NONE, ONE_EACH, TOTAL
from tests.plan.counted import group as counted_group
from tests.plan.counted import host as counted_host

WEB = "cachetune-web-vcpus_0-1"
M0, M1 = (f"{WEB}/mon_groups/cachetune-web-vcpus_{n}" for n in (0, 1))
PLACES = {(event, cache_id) for event in (TOTAL, LOCAL) for cache_id in (0, 1)}


def counters(assigned: str, total: str, local: str, tids: str = "") -> Tree:
    """The files of a group with these values in both caches."""
    values = {"llc_occupancy": "65536", TOTAL: total, LOCAL: local}
    data = {f"mon_data/mon_L3_0{i}/{event}": value for i in (0, 1) for event, value in values.items()}
    return {**data, "mbm_L3_assignments": assigned.replace(" ", "\n"), "tasks": tids, "cpus_list": ""}


# A machine with four counters, as Linux 7.3 shows it: the control group took two of them when it was created.
FEW: Tree = {
    **below("info/MB", bandwidth(0, 1, 0, 16)),
    **below("info/L3_MON", monitoring(*ALL_EVENTS)),
    **below("info/L3_MON", {"mbm_assign_mode": "[mbm_event]\ndefault", "num_mbm_cntrs": "0=4;1=4"}),
    **below("info/L3_MON", {"available_mbm_cntrs": "0=0;1=0", "mbm_assign_on_mkdir": "1"}),
    **group("MB:0=2048;1=2048", "1", cpus_list="0-1"),
    **counters(ALL, "7", "5", "1"),
    "cpus_list": "0-1",
    **below(WEB, {**group("MB:0=64;1=2048"), **counters(ALL, "0", "0", "11\n12")}),
    **below(M0, counters(NONE, "Unassigned", "Unassigned", "11")),
    **below(M1, counters(NONE, "Unassigned", "Unassigned", "12")),
}


def readings(root: Path, tree: Tree) -> tuple[Host, tuple[Reading, ...]]:
    fs = SysfsResctrl(make(root, tree))
    host = read_host(fs)
    return host, read_counters(fs, host, [g.path for g in host.groups])


def partial(reading: Reading) -> set[tuple[str, int]]:
    return {(counter.event, counter.id) for counter in reading.counters if counter.partial}


def test_the_sum_of_a_control_group_whose_vcpus_are_all_uncounted_is_partial(tmp_path: Path) -> None:
    host, (default, web, *monitors) = readings(tmp_path, FEW)
    assert partial(web) == PLACES
    assert [(c.value, c.state) for c in web.counters if c.event == TOTAL] == [(0, "ok"), (0, "ok")]
    assert not any(partial(reading) for reading in (default, *monitors))
    assert uncounted(host) == {WEB: dict.fromkeys(PLACES, (M0, M1))}


def test_only_the_events_and_caches_without_a_counter_are_partial(tmp_path: Path) -> None:
    tree = FEW | below(M0, counters(ALL, "3", "2", "11")) | below(M1, counters(ONE_EACH, "4", "Unassigned", "12"))
    _, (_, web, *_) = readings(tmp_path, tree)
    assert partial(web) == {(LOCAL, 0), (LOCAL, 1)}


def test_a_value_that_is_missing_is_not_a_partial_sum(tmp_path: Path) -> None:
    _, (_, web, *_) = readings(tmp_path, FEW | below(WEB, counters(NONE, "Unassigned", "Unassigned", "11\n12")))
    assert partial(web) == set()


def on(*groups: object) -> dict[str, set[str]]:
    """The groups that each control group's sums lack."""
    return {
        path: {p for place in places.values() for p in place}
        for path, places in uncounted(counted_host(*groups)).items()
    }  # type: ignore[arg-type]


def test_a_control_group_without_counters_lacks_only_its_direct_threads() -> None:
    inside = counted_group(M0, ALL, tids=[11])
    assert on(counted_group(WEB, NONE, tids=[11]), inside) == {}
    assert on(counted_group(WEB, NONE, tids=[11, 12]), inside) == {WEB: {WEB}}
    assert on(replace(counted_group(WEB, NONE, tids=[11]), cpus="3"), inside) == {WEB: {WEB}}


def test_an_empty_monitor_group_lacks_nothing() -> None:
    assert on(counted_group(WEB, ALL, tids=[11]), counted_group(M0, NONE)) == {}
    assert on(counted_group(WEB, ALL, tids=[11]), replace(counted_group(M0, NONE), cpus="3")) == {WEB: {M0}}
    assert on(counted_group(WEB, ALL, tids=[11]), replace(counted_group(M0, NONE), other_tasks=("iommu_group:1",))) == {
        WEB: {M0}
    }


def test_the_default_group_has_monitor_groups_too_and_always_direct_threads() -> None:
    assert on(counted_group("mon_groups/web", NONE, tids=[11])) == {".": {"mon_groups/web"}}
    bare = counted_host()
    assert uncounted(replace(bare, groups=(counted_group(".", NONE, "default"),))) == {
        ".": dict.fromkeys(PLACES, (".",))
    }


@pytest.mark.parametrize("mode", ["default", "mbm_event"])
def test_where_every_group_is_counted_no_sum_is_partial(mode: str) -> None:
    counts = "" if mode == "default" else ALL
    host = counted_host(counted_group(WEB, counts, tids=[11, 12]), counted_group(M0, counts, tids=[11]), mode=mode)
    assert uncounted(host) == {}
