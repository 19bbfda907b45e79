"""The page of a host: each part on hosts that have it, and the words for what they lack."""

import pytest

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.cli.show.console import show
from cachetune.cli.show.host import host_page
from cachetune.host.model import (
    BandwidthControl,
    CacheControl,
    CounterAssignment,
    Group,
    Host,
    MonitorControl,
    Topology,
)
from cachetune.host.usage import usage_of

MIB = 1 << 20
ALL = Cbm(0xFFFF)


def l3(**more: object) -> CacheControl:
    fields = {"cbm_mask": ALL, "min_cbm_bits": 1, "size_bytes": {0: 32 * MIB, 1: 32 * MIB}, "num_closids": 16}
    return CacheControl(**{"name": "L3", "level": 3, "type": "both", **fields, **more})  # type: ignore[arg-type]


def l3_mon(rmids: int = 64, assignment: CounterAssignment | None = None) -> MonitorControl:
    return MonitorControl("L3_MON", ("llc_occupancy",), rmids, assignment=assignment)


def mb(*ids: int, **more: object) -> BandwidthControl:
    fields = {"unit": "percent", "min_bandwidth": 10, "bandwidth_gran": 10, "max_bandwidth": 100, "num_closids": 8}
    return BandwidthControl(**{"name": "MB", "ids": ids, **fields, **more})  # type: ignore[arg-type]


def control(path: str, mask: int = 0xF, **more: object) -> Group:
    fields = {"kind": "control", "owner": "unknown", "masks": Masks.of([("L3", 0, mask), ("L3", 1, mask)])}
    return Group(path=path, **{**fields, **more})  # type: ignore[arg-type]


def monitor(path: str, owner: str = "unknown", **more: object) -> Group:
    return Group(path=path, kind="monitor", owner=owner, **more)  # type: ignore[arg-type]


def host(*groups: Group, **more: object) -> Host:
    full = Group(path=".", kind="control", owner="default", masks=Masks.of([("L3", 0, 0xFFFF), ("L3", 1, 0xFFFF)]))
    return Host(source="x", **{"caches": (l3(),), "groups": (full, *groups), **more})  # type: ignore[arg-type]


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> "Page":
    return Page(capsys, monkeypatch)


class Page:
    """A host as it is shown on a terminal with 80 columns, or any other number."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, shown: Host, width: int = 80) -> str:
        self._monkeypatch.setenv("COLUMNS", str(width))
        show(host_page(usage_of(shown)))
        return self._capsys.readouterr().out

    def line(self, shown: Host, start: str) -> str:
        """The line that starts with these words, and the lines that continue it, as one."""
        lines = iter(self(shown).splitlines())
        found = next((line for line in lines if line.startswith(start)), "")
        indent = len(found) - len(found[len(start) :].lstrip()) if start else 0
        for line in lines:
            if not line.startswith(" " * max(indent, 1)):
                break
            found += f" {line.strip()}"
        return found


# Sub-NUMA clusters


def test_a_way_of_a_clustered_cache_has_the_size_of_each_nodes_share(page: Page) -> None:
    shown = page(host(snc_nodes=2))
    assert "\nL3     16 ways of 2 MiB, 1 MiB for each of 2 Sub-NUMA nodes\n" in shown
    assert "\n  A size counts all Sub-NUMA nodes of a cache; a guest on one node has 1/2.\n" in shown


def test_caches_that_are_not_l3_are_not_clustered(page: Page) -> None:
    l2 = CacheControl("L2", 2, "both", Cbm(0xFF), 1, {0: MIB})
    assert "Sub-NUMA" not in page(host(caches=(l2,), snc_nodes=2))


def test_a_cache_of_unknown_size_says_which_part_of_a_way_a_node_has(page: Page) -> None:
    shown = page(host(caches=(l3(size_bytes={0: None, 1: None}),), snc_nodes=3))
    assert "L3     16 ways, 1/3 of a way for each of 3 Sub-NUMA nodes\n" in shown


# ways of several groups


@pytest.mark.parametrize(("second", "explained"), [(0xFF00, False), (0xFFF0, True)])
def test_a_way_of_several_groups_is_in_the_legend(page: Page, second: int, explained: bool) -> None:
    lines = page(host(groups=(control(".", 0x00FF), control("a", second)))).splitlines()
    assert any("cache" in line and "#" in line for line in lines) is explained
    assert any(line.startswith("Ways: ") and "# = several groups" in line for line in lines) is explained


# ways that I/O uses


def test_io_ways_that_differ_between_caches_are_marked_below_each(page: Page) -> None:
    shown = page(host(caches=(l3(io_alloc=True, io_alloc_cbm={0: Cbm(0xF), 1: Cbm(0xF000)}),)))
    assert "io_alloc is on and takes a CLOSID\n" in shown
    assert (
        """
           15             0
  cache 0  dddddddddddddddd  nothing free
                       ^^^^
  cache 1  dddddddddddddddd  nothing free
           ^^^^

Ways: letter = group below, ^ = shared with I/O
"""
        in shown
    )


def test_io_ways_that_all_caches_share_are_marked_once(page: Page) -> None:
    masks = Masks.of([("L3", 0, 0xFFFF), ("L3", 1, 0xFF00)])
    groups = (Group(path=".", kind="control", owner="default", masks=masks),)
    shown = page(host(caches=(l3(shareable_bits=Cbm(0xC000)),), groups=groups))
    assert shown.count("  ^^\n") == 1
    assert shown.index("cache 1") < shown.index("^^")


def test_on_arm_all_ways_may_be_shared_so_none_is_marked(page: Page) -> None:
    shown = page(host(caches=(l3(shareable_bits=ALL),)))
    assert "^" not in shown
    assert "L3     16 ways of 2 MiB, all may be shared with I/O\n" in shown


# CPUs and NUMA nodes


def test_the_cpus_of_each_cache_and_their_nodes_have_a_table(page: Page) -> None:
    topology = Topology({3: {0: "0-17,36-53", 1: "18-35,54-71"}}, {0: "0-17,36-53", 1: "18-35,54-71"})
    assert """
CPUS         NODE  L3
0-17,36-53   0     0
18-35,54-71  1     1
""" in page(host(topology=topology))


def test_a_cache_that_spans_nodes_has_a_row_for_each(page: Page) -> None:
    topology = Topology({3: {0: "0-3"}}, {0: "0-1", 1: "2-3"})
    assert "\nCPUS  NODE  L3\n0-1   0     0\n2-3   1     0\n" in page(host(topology=topology, snc_nodes=2))


def test_a_node_with_several_caches_has_a_row_for_each(page: Page) -> None:
    topology = Topology({3: {0: "0-1", 1: "2-3"}}, {0: "0-3"})
    assert "\nCPUS  NODE  L3\n0-1   0     0\n2-3   0     1\n" in page(host(topology=topology))


def test_nodes_without_cpus_and_cpus_without_a_node_are_no_obstacle(page: Page) -> None:
    topology = Topology({3: {0: "0-1", 1: "2-3"}}, {0: "0-1", 1: ""})
    assert "\nCPUS  NODE  L3\n0-1   0     0\n2-3         1\n" in page(host(topology=topology))


def test_a_host_without_sysfs_has_no_such_table(page: Page) -> None:
    assert "CPUs" not in page(host())


def test_256_l2_caches_are_folded_into_a_row_for_each_l3(page: Page) -> None:
    l2 = CacheControl("L2", 2, "both", ALL, 1, dict.fromkeys(range(256), 2 * MIB), num_closids=8)
    topology = Topology(
        {
            2: {n: f"{n},{n + 256}" for n in range(256)},
            3: {0: "0-127,256-383", 1: "128-255,384-511"},
        }
    )
    masks = Masks.of([("L2", n, 0xFFFF) for n in range(256)] + [("L3", 0, 0xFFFF), ("L3", 1, 0xFFFF)])
    full = Group(path=".", kind="control", owner="default", masks=masks)
    shown = page(Host(source="x", caches=(l2, l3()), groups=(full,), topology=topology))
    assert (
        """
CPUS             L3  L2
0-127,256-383    0   0-127 (2 CPUs each)
128-255,384-511  1   128-255 (2 CPUs each)
"""
        in shown
    )
    assert "  caches 0-255  dddddddddddddddd  nothing free\n" in shown
    assert len(shown.splitlines()) < 25


def test_more_than_32_l3_caches_are_folded_into_a_row_for_each_node(page: Page) -> None:
    topology = Topology({3: {n: f"{4 * n}-{4 * n + 3}" for n in range(64)}}, {0: "0-127", 1: "128-255"})
    assert """
CPUS     NODE  L3
0-127    0     0-31 (4 CPUs each)
128-255  1     32-63 (4 CPUs each)
""" in page(host(topology=topology))


# bandwidth


def test_a_missing_node_of_bandwidth_is_named(page: Page) -> None:
    assert "\nMB     1 node, none for L3 cache 1, percent from 10" in page(host(bandwidths=(mb(0),)))


def test_bandwidth_by_numa_node_is_called_so(page: Page) -> None:
    caches = (l3(size_bytes={1: 32 * MIB, 122: 32 * MIB}),)
    assert "\nMB     NUMA nodes 0-1, percent from 10" in page(host(caches=caches, bandwidths=(mb(0, 1),)))


def test_the_fraction_that_arm_keeps_of_a_percentage_is_shown(page: Page) -> None:
    shown = page(host(bandwidths=(mb(0, 1, min_bandwidth=2, bandwidth_gran=2),)))
    assert "\nMB     2 nodes, percent from 2 to 100 in steps of 2, rounded to 1/64\n" in shown


def test_a_maximum_that_is_not_known_is_not_invented(page: Page) -> None:
    shown = host(bandwidths=(mb(0, 1, unit="1/8 GB/s", max_bandwidth=None),))
    assert page.line(shown, "MB") == (
        "MB     2 nodes, eighths of a GB/s, the maximum is not known: every group has a limit"
    )


# groups


def test_devices_in_a_group_are_counted(page: Page) -> None:
    shown = page(host(control("nic", tids=(7, 8), other_tasks=("iommu_group:17",))))
    assert "A  nic                unknown      2  1 device  L3:all=f\n" in shown


def test_a_line_of_tasks_that_is_not_understood_is_no_device(page: Page) -> None:
    assert "device" not in page(host(control("nic", other_tasks=("garbage!",))))


def test_many_monitor_groups_of_a_foreign_owner_share_a_row(page: Page) -> None:
    groups = [monitor(f"mon_groups/cadvisor-{n:02}", "cadvisor", tids=(n,)) for n in range(1, 31)]
    assert "     mon cadvisor-01 and 29 more  cadvisor     30" in page(host(*groups, monitors=(l3_mon(),)))


def test_the_monitor_groups_of_a_guest_each_have_a_row(page: Page) -> None:
    groups = [monitor(f"mon_groups/cachetune-web-vcpus_{n}", "cachetune") for n in range(16)]
    shown = page(host(*groups, monitors=(l3_mon(),)))
    assert all(f"mon cachetune-web-vcpus_{n} " in shown for n in range(16))


def test_a_monitor_group_with_cpus_keeps_its_row(page: Page) -> None:
    groups = [monitor(f"mon_groups/c{n}", "cadvisor", cpus="3" if n == 7 else "") for n in range(9)]
    shown = page(host(*groups, monitors=(l3_mon(),)))
    assert "mon c0 and 7 more" in shown
    assert "mon c7             cadvisor      0  CPUs 3\n" in shown


def test_a_group_without_all_of_its_counters_shows_how_many_it_has(page: Page) -> None:
    assignments = {"mbm_total_bytes": {0: True, 1: False}, "mbm_local_bytes": {0: False, 1: False}}
    assert "  L3:all=f  1 of 4 counters\n" in page(host(control("a", assignments=assignments)))


# limits


def test_the_owners_of_control_groups_and_monitored_groups_are_counted(page: Page) -> None:
    groups = [control(f"COS{n}", owner="pqos") for n in range(1, 8)]
    shown = page(host(*groups, monitor("mon_groups/a", "cadvisor"), bandwidths=(mb(0, 1),), monitors=(l3_mon(),)))
    assert "\nControl groups    8 of 8 CLOSIDs used, 0 left (pqos 7)\n" in shown
    assert "\nGroups monitored  9 of 64 RMIDs used, 55 left (pqos 7, cadvisor 1)\n" in shown


def arm(*groups: Group, rmids: int) -> Host:
    return host(*groups, caches=(l3(shareable_bits=ALL, num_closids=64),), monitors=(l3_mon(rmids),))


def test_on_arm_the_rmids_of_each_control_group_are_shown_and_which_have_none_left(page: Page) -> None:
    shown = arm(control("a"), monitor("a/mon_groups/m"), rmids=128)
    assert page.line(shown, "Groups monitored") == (
        "Groups monitored  3; each control group has 2 RMIDs, its own included, none left in a"
    )


def test_on_arm_a_control_group_with_one_rmid_has_none_for_monitor_groups(page: Page) -> None:
    assert page.line(arm(rmids=64), "Groups monitored") == (
        "Groups monitored  1; each control group has 1 RMID, its own"
    )


@pytest.mark.parametrize("groups", [(), (control("a"), monitor("a/mon_groups/m"))])
def test_on_arm_a_number_that_is_no_limit_is_not_shown_as_one(groups: tuple[Group, ...], page: Page) -> None:
    used = 1 + len(groups)
    assert page.line(arm(*groups, rmids=1), "Groups monitored") == (
        f"Groups monitored  {used}, the host does not report how many a control group can have"
    )


def test_a_limit_that_the_host_exceeds_is_no_limit(page: Page) -> None:
    shown = host(control("a"), monitors=(l3_mon(1),))
    assert page.line(shown, "Groups monitored") == (
        "Groups monitored  2, more than the 1 RMID that the host reports, so that is no limit (unknown 1)"
    )


def test_the_limits_of_resources_that_are_not_understood_are_shown(page: Page) -> None:
    shown = host(unknown_resources={"GMB": 4, "L3MAX": 32, "L3MIN": 32, "ODD": None})
    assert page.line(shown, "Not understood") == (
        "Not understood  GMB (4 CLOSIDs); L3MAX, L3MIN (32 CLOSIDs each); ODD; such lines are kept"
    )
    assert "Control groups  1 of 4 CLOSIDs used, 3 left\n" in page(shown)


def counters(**more: object) -> Host:
    fields = {"mode": "mbm_event", "modes": ("mbm_event", "default"), "total": {0: 32, 1: 32}}
    return host(monitors=(l3_mon(assignment=CounterAssignment(**{**fields, **more})),))  # type: ignore[arg-type]


def test_the_counters_left_on_each_cache_are_shown(page: Page) -> None:
    shown = counters(available={0: 1, 1: 0}, on_mkdir=True)
    assert page.line(shown, "Counters") == (
        "Counters          mbm_event: 1 of 32 left on L3 0, 0 of 32 left on L3 1; new groups get those that are left"
    )


def test_caches_with_as_many_counters_left_share_their_number(page: Page) -> None:
    shown = counters(available={0: 4, 1: 4}, on_mkdir=False)
    assert page.line(shown, "Counters") == ("Counters          mbm_event: 4 of 32 left on L3 0-1; new groups get none")


def test_a_mode_that_is_off_but_available_is_named(page: Page) -> None:
    shown = counters(mode="default", total={})
    assert page.line(shown, "Counters") == "Counters          mbm_assign_mode is default, mbm_event is available"


def test_a_host_whose_only_mode_is_the_default_has_no_row_for_counters(page: Page) -> None:
    assert "Counters" not in page(counters(mode="default", modes=("default",), total={}))


# what is missing


def test_l3_that_is_not_controlled_has_a_reason_and_a_remedy(page: Page) -> None:
    shown = page(host(caches=(), bandwidths=(mb(0, 1),), monitors=(l3_mon(),)))
    assert "The L3 caches can be monitored but not allocated: info/ has L3_MON but no L3.\n" in shown
    assert "\nIf /proc/cpuinfo has the flag cat_l3, boot with rdt=l3cat: " in shown


def test_a_host_with_l2_alone_has_no_remedy_for_l3(page: Page) -> None:
    l2 = CacheControl("L2", 2, "both", Cbm(0xFF), 1, {0: MIB})
    assert "cat_l3" not in page(host(caches=(l2,)))


def test_caches_that_the_default_group_has_alone_are_folded(page: Page) -> None:
    l2 = CacheControl("L2", 2, "both", ALL, 1, dict.fromkeys(range(64), 2 * MIB))
    masks = [("L2", n, 0xFFFF) for n in range(64)] + [("L3", 0, 0xFFFF), ("L3", 1, 0xFF)]
    full = Group(path=".", kind="control", owner="default", masks=Masks.of(masks))
    shown = page(Host(source="x", caches=(l2, l3()), groups=(full,)))
    assert "\nThe default group has L2 0-63 and L3 0 alone; 'cachetune plan" in shown


def test_values_of_bandwidth_that_are_equal_are_folded(page: Page) -> None:
    group = control("a", bandwidth=Bandwidth.of([("MB", 0, 50), ("MB", 1, 50)]))
    assert "L3:all=f  MB:all=50\n" in page(host(group, bandwidths=(mb(0, 1),)))
