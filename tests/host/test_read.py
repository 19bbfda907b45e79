import errno
from pathlib import Path

import msgspec
import pytest

from cachetune.errors import HostError, ResctrlError
from cachetune.host import SysfsResctrl, check_host, read_host
from cachetune.host.model import CounterAssignment, Host
from cachetune.host.usage import free_mask, usage_of
from cachetune.sim import SimulatedResctrl, load_profile
from tests.host.trees import LIBVIRT, SKYLAKE, Tree, bandwidth, below, cache, cpu, group, index, make, monitoring


def host_of(tree: Tree, root: Path, sysfs: Tree | None = None) -> Host:
    resctrl = make(root / "resctrl", tree)
    system = make(root / "sys", sysfs) if sysfs is not None else None
    return check_host(read_host(SysfsResctrl(resctrl), system), "the copy")


# The free ways that libvirt 12.8 finds on these hosts.
FREE = {
    "resctrl": {"L3": {0: 0x000FF, 1: 0x000F0}},
    "resctrl-cdp": {"L3CODE": {0: 0x00FFC, 1: 0x0FF00}, "L3DATA": {0: 0, 1: 0x03FFF}},
    "resctrl-skx": {"L3": {0: 0x70F}},
    "resctrl-skx-twocaches": {"L3": {0: 0x001, 1: 0}},
    "resctrl-amd": {"L3": dict.fromkeys(range(0, 16, 2), 0)},
    "resctrl-mba_MBps": {"L2": dict.fromkeys([*range(12), *range(64, 76)], 0), "L3": {0: 0, 1: 0}},
    "resctrl-cmt": {},
}


@pytest.mark.parametrize("name", LIBVIRT)
def test_the_free_ways_match_libvirt(name: str, tmp_path: Path) -> None:
    host = host_of(LIBVIRT[name], tmp_path)
    free = {cache.name: {i: free_mask(host, cache, i) for i in cache.size_bytes} for cache in host.caches}
    assert free == FREE[name]


def test_everything_of_a_plain_copy_is_read(tmp_path: Path) -> None:
    host = host_of(SKYLAKE, tmp_path)
    (l3,), (mb,), (monitor,) = host.caches, host.bandwidths, host.monitors
    assert (l3.name, l3.level, l3.type, l3.ways, l3.shareable_bits, l3.num_closids) == ("L3", 3, "both", 11, 0x600, 16)
    assert (mb.unit, mb.min_bandwidth, mb.bandwidth_gran, mb.max_bandwidth, mb.ids) == ("percent", 10, 10, 100, (0, 1))
    assert monitor.features == ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")
    assert (monitor.num_rmids, monitor.max_threshold_occupancy) == (144, 67584)
    assert [(g.path, g.kind, g.owner, g.tids) for g in host.groups] == [
        (".", "control", "default", (1, 2, 3)),
        ("mon_groups/cadvisor-a", "monitor", "cadvisor", (2,)),
        ("cachetune-web-vcpus_0-1", "control", "cachetune", (101, 102)),
        ("cachetune-web-vcpus_0-1/mon_groups/cachetune-web-vcpus_0", "monitor", "cachetune", (101,)),
        ("qemu-3-db-vcpus_0", "control", "libvirt", (201,)),
    ]
    web, db = host.group("cachetune-web-vcpus_0-1"), host.group("qemu-3-db-vcpus_0")
    assert web is not None
    assert (web.masks, web.bandwidth, web.mode) == ({"L3": {0: 3, 1: 0x7FF}}, {"MB": {0: 50, 1: 100}}, "shareable")
    assert db is not None
    assert (db.mode, db.cpus) == ("exclusive", "2-3")
    assert (host.closids_total, host.closids_used, host.rmids_total, host.rmids_used) == (8, 3, 144, 5)


def test_without_sysfs_the_size_file_gives_the_size_of_a_way(tmp_path: Path) -> None:
    (l3,) = host_of(SKYLAKE, tmp_path).caches
    assert l3.size_bytes == {0: 11 * 2359296, 1: 11 * 2359296}
    assert l3.way_bytes(0) == 2359296


def test_sysfs_gives_the_size_of_a_whole_cache(tmp_path: Path) -> None:
    sysfs = {
        **cpu(0, index(1, 0, "32K", "0", "Data"), index(3, 0, "25344K", "0-1")),
        **cpu(1, index(1, 1, "32K", "1", "Data"), index(3, 0, "25344K", "0-1")),
        **cpu(2, index(1, 2, "32K", "2", "Data"), index(3, 1, "12M", "2-3")),
    }
    (l3,) = host_of(SKYLAKE, tmp_path, sysfs).caches
    assert l3.size_bytes == {0: 25344 << 10, 1: 12 << 20}


def test_a_size_without_a_source_is_unknown(tmp_path: Path) -> None:
    tree = {name: text for name, text in SKYLAKE.items() if name != "size"}
    (l3,) = host_of(tree, tmp_path, {}).caches
    assert l3.size_bytes == {0: None, 1: None}
    assert l3.way_bytes(0) is None


def test_code_and_data_share_the_size_of_their_cache(tmp_path: Path) -> None:
    sysfs = {**cpu(0, index(3, 0, "20M", "0")), **cpu(1, index(3, 1, "20M", "1"))}
    host = host_of(LIBVIRT["resctrl-cdp"], tmp_path, sysfs)
    assert [(c.name, c.type, c.way_bytes(1)) for c in host.caches] == [
        ("L3CODE", "code", 1 << 20),
        ("L3DATA", "data", 1 << 20),
    ]


def test_ids_with_gaps_and_levels_two_and_three_are_read(tmp_path: Path) -> None:
    l2, l3 = host_of(LIBVIRT["resctrl-mba_MBps"], tmp_path).caches
    assert (l2.level, tuple(l2.size_bytes)) == (2, (*range(12), *range(64, 76)))
    assert l3.shareable_bits == 0x6000


def test_amd_bandwidth_is_in_eighths_of_gigabytes_and_config_entries_are_not_events(tmp_path: Path) -> None:
    host = host_of(LIBVIRT["resctrl-amd"], tmp_path)
    assert [(b.name, b.unit, b.min_bandwidth, b.bandwidth_gran, b.max_bandwidth) for b in host.bandwidths] == [
        ("MB", "1/8 GB/s", 0, 1, 2048),
        ("SMBA", "1/8 GB/s", 0, 1, 2048),
    ]
    assert host.monitors[0].features == ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")
    assert host.caches[0].sparse_masks
    assert host.caches[0].min_cbm_bits == 0


@pytest.mark.parametrize(("seen", "most"), [(16, None), (2048, 2048), (2049, None), (8192, 8192)])
def test_the_maximum_of_amd_is_known_if_a_group_has_no_limit(seen: int, most: int | None, tmp_path: Path) -> None:
    tree = {**LIBVIRT["resctrl-amd"], **below("other", group(f"MB:0={seen};2=16"))}
    tree["schemata"] = "MB:0=16;2=16\nL3:0=ffff;2=ffff"
    assert host_of(tree, tmp_path).bandwidths[0].max_bandwidth == most


def test_values_beyond_percent_in_a_copy_mean_mba_mbps(tmp_path: Path) -> None:
    (mb,) = host_of(LIBVIRT["resctrl-mba_MBps"], tmp_path).bandwidths
    assert (mb.unit, mb.min_bandwidth, mb.bandwidth_gran, mb.max_bandwidth) == ("MiB/s", 0, 1, 4294967295)


def test_without_a_line_in_the_default_group_the_bandwidth_nodes_are_the_l3_caches(tmp_path: Path) -> None:
    assert host_of(LIBVIRT["resctrl"], tmp_path).bandwidths[0].ids == (0, 1)


def test_the_empty_schemata_of_a_host_that_only_monitors_is_no_problem() -> None:
    host = read_host(SimulatedResctrl(load_profile("monitor-only")))
    assert host.problems == ()


def test_a_host_that_only_monitors_limits_rmids_but_not_groups(tmp_path: Path) -> None:
    host = host_of(LIBVIRT["resctrl-cmt"], tmp_path)
    assert (host.caches, host.bandwidths, host.closids_total, host.rmids_total) == ((), (), None, 176)
    assert host.default_group.tids == (1, 2)


def test_package_telemetry_is_monitoring(tmp_path: Path) -> None:
    tree = {**SKYLAKE, **below("info/PERF_PKG_MON", monitoring("core_energy", "activity", rmids=100))}
    host = host_of(tree, tmp_path)
    assert [m.name for m in host.monitors] == ["L3_MON", "PERF_PKG_MON"]
    assert host.rmids_total == 100


def test_unknown_resources_and_lines_are_kept(tmp_path: Path) -> None:
    tree = {**SKYLAKE, **below("info/NEW", {"num_closids": "4"}), "info/L4/num_closids": "4"}
    tree["schemata"] += "\nNEW:0=max;1=3/4\n  L4:0=zz"
    host = host_of(tree, tmp_path)
    assert host.unknown_resources == {"L4": 4, "NEW": 4}
    assert host.closids_total == 4  # the kernel takes the least of all resources
    assert host.default_group.other_lines == ("NEW:0=max;1=3/4", "L4:0=zz")
    assert host.default_group.masks == {"L3": {0: 0x7F0, 1: 0x7FF}}


def test_a_group_in_pseudo_locksetup_has_no_masks(tmp_path: Path) -> None:
    lines = "    MB:uninitialized\n    L3:uninitialized"
    host = host_of({**SKYLAKE, **below("lock", group(lines, mode="pseudo-locksetup"))}, tmp_path)
    lock = host.group("lock")
    assert lock is not None
    assert (lock.mode, lock.masks, lock.other_lines) == ("pseudo-locksetup", {}, ())


def test_an_empty_directory_is_a_group_and_a_file_is_not(tmp_path: Path) -> None:
    host = host_of({**SKYLAKE, "bare/": "", "stray-file": "x"}, tmp_path)
    assert host.group("bare") is not None
    assert host.group("stray-file") is None


@pytest.mark.parametrize("name", ["mon_groups", "mon_data"])
def test_without_monitoring_a_group_may_be_called_mon_groups(name: str) -> None:
    fs = SimulatedResctrl(load_profile("allocation-only"))
    fs.write("schemata", "L3:0=00f\n")
    fs.mkdir(name)
    fs.write(f"{name}/schemata", "L3:0=0f0\n")
    host = read_host(fs)
    assert [(g.path, g.kind) for g in host.groups] == [(".", "control"), (name, "control")]
    assert free_mask(host, host.caches[0], 0) == 0xF00
    check_host(host, "node7.json")


def test_a_group_that_vanishes_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    class Vanishing(SysfsResctrl):
        def read(self, path: str) -> str:
            if path == "qemu-3-db-vcpus_0/tasks":
                for name in sorted((tmp_path / "qemu-3-db-vcpus_0").iterdir()):
                    name.unlink()
                (tmp_path / "qemu-3-db-vcpus_0").rmdir()
            return super().read(path)

    host = read_host(Vanishing(make(tmp_path, SKYLAKE)))
    assert [g.path for g in host.control_groups()] == [".", "cachetune-web-vcpus_0-1"]


def test_a_group_that_vanishes_from_a_mount_while_it_is_read_is_no_problem_of_the_host(tmp_path: Path) -> None:
    class Stale(SysfsResctrl):
        """FUSE, which answers for a directory that it has looked up before."""

        def listdir(self, path: str) -> list[str]:
            if path == "qemu-3-db-vcpus_0/mon_groups":
                raise ResctrlError(errno.ESTALE, "list", path)
            return super().listdir(path)

    assert read_host(Stale(make(tmp_path, SKYLAKE))).problems == ()


def test_a_group_whose_name_is_not_utf_8_is_shown_with_escapes(tmp_path: Path) -> None:
    make(tmp_path, SKYLAKE)
    (tmp_path / "g\udcff").mkdir()
    assert "g\\udcff" in [g.path for g in read_host(SysfsResctrl(tmp_path)).groups]


def test_the_ledger_makes_a_group_ours_whatever_its_name(tmp_path: Path) -> None:
    host = read_host(SysfsResctrl(make(tmp_path, SKYLAKE)), owned=["qemu-3-db-vcpus_0"])
    group = host.group("qemu-3-db-vcpus_0")
    assert group is not None
    assert group.owner == "cachetune"


@pytest.mark.parametrize(
    ("name", "text"),
    [("info/L3/cbm_mask", "xyz"), ("info/L3/num_closids", "-1"), ("info/L3_MON/num_rmids", "many")],
)
def test_an_invalid_file_is_named(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match=name):
        host_of({**SKYLAKE, name: text}, tmp_path)


def test_without_the_default_groups_schemata_there_is_no_host(tmp_path: Path) -> None:
    tree = {name: text for name, text in SKYLAKE.items() if name != "schemata"}
    fs = SysfsResctrl(make(tmp_path, tree))
    (tmp_path / "schemata").symlink_to("tasks")
    with pytest.raises(ResctrlError, match="cannot read schemata: ELOOP"):
        read_host(fs)


def test_usage_counts_free_ways_and_the_largest_hole(tmp_path: Path) -> None:
    tree = {**below("info/L3", cache("ff", 4)), **group("L3:0=18"), "size": "L3:0=2048"}
    usage = usage_of(host_of(tree, tmp_path))
    (l3,) = usage.caches
    assert (l3.free, l3.free_ways, l3.free_bytes) == (0b11100111, 6, 6144)
    assert (l3.largest_hole_ways, l3.largest_hole_bytes) == (3, 3072)
    assert (usage.closids.used, usage.closids.total, usage.closids.left) == (1, 4, 3)
    assert (usage.rmids.used, usage.rmids.total, usage.rmids.left) == (0, None, None)


def test_io_alloc_takes_a_control_group(tmp_path: Path) -> None:
    tree = {**below("info/L3", cache("ffff", 16, io_alloc="enabled")), **group("L3:0=ffff")}
    host = host_of(tree, tmp_path)
    assert host.caches[0].io_alloc
    assert host.closids_total == 15


def test_an_empty_file_in_info_is_a_bad_copy(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cbm_mask: the file is empty") as caught:
        host_of({**SKYLAKE, "info/L3/cbm_mask": ""}, tmp_path)
    assert "tar" in caught.value.hint


def test_mpam_of_a_4_19_kernel_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"MPAM as vendor kernels of Linux 4\.19 have it"):
        host_of({**SKYLAKE, "info/L3/features": "caPbm@7fff"}, tmp_path)


IO_ALLOC = cache(
    "ffff", 16, io_alloc="enabled", io_alloc_cbm="0=c000;1=000f", bit_usage=f"0=XX{14 * 'S'};1={12 * 'S'}XXXX"
)


def test_the_ways_of_io_alloc_are_those_of_each_cache(tmp_path: Path) -> None:
    (l3,) = host_of({**below("info/L3", IO_ALLOC), **group("L3:0=ffff;1=ffff")}, tmp_path).caches
    assert (l3.io_ways(0), l3.io_ways(1)) == (0xC000, 0x000F)


def test_while_io_alloc_is_off_its_mask_is_not_read(tmp_path: Path) -> None:
    info = {**cache("ffff", 16), "io_alloc": "disabled", "io_alloc_cbm": "not a mask"}
    (l3,) = host_of({**below("info/L3", info), **group("L3:0=ffff")}, tmp_path).caches
    assert (l3.io_alloc_cbm, l3.io_ways(0)) == ({}, 0)


def test_ways_that_bit_usage_gives_to_the_hardware_count_as_io_ways(tmp_path: Path) -> None:
    info = cache("ff", 16, bit_usage="0=HXSSEP00")
    (l3,) = host_of({**below("info/L3", info), **group("L3:0=70")}, tmp_path).caches
    assert (l3.io_ways(0), l3.used_ways(0)) == (0xC0, 0x7C)


def test_assignable_counters_are_read(tmp_path: Path) -> None:
    counters = {
        **monitoring("llc_occupancy", "mbm_total_bytes"),
        "mbm_assign_mode": "[mbm_event]\ndefault",
        "num_mbm_cntrs": "0=32;1=32",
        "available_mbm_cntrs": "0=30;1=0",
        "mbm_assign_on_mkdir": "1",
    }
    tree = {**SKYLAKE, **below("info/L3_MON", counters), "mbm_L3_assignments": "mbm_total_bytes:0=e;1=_"}
    host = host_of(tree, tmp_path)
    assert host.counter_assignment == CounterAssignment(
        "mbm_event", ("mbm_event", "default"), {0: 32, 1: 32}, {0: 30, 1: 0}, on_mkdir=True
    )
    assert host.default_group.assignments == {"mbm_total_bytes": {0: True, 1: False}}


def test_in_mode_default_no_counters_are_assigned(tmp_path: Path) -> None:
    counters = {**monitoring("llc_occupancy"), "mbm_assign_mode": "[default]"}
    host = host_of({**SKYLAKE, **below("info/L3_MON", counters)}, tmp_path)
    assert host.counter_assignment is not None
    assert not host.counter_assignment.is_active


def test_sub_numa_nodes_are_counted_in_the_monitoring_data(tmp_path: Path) -> None:
    inside = {f"mon_data/mon_L3_00/mon_sub_L3_0{n}/llc_occupancy": "1" for n in range(3)}
    assert host_of({**SKYLAKE, **inside}, tmp_path).snc_nodes == 3


@pytest.mark.parametrize(("rmids", "per_group"), [(128, 8), (16, 1), (8, None), (1, None)])
def test_mpam_has_rmids_for_each_control_group_if_there_is_one_for_each(
    rmids: int, per_group: int | None, tmp_path: Path
) -> None:
    tree = {
        **below("info/L3", cache("ffff", 16, shareable="ffff", sparse_masks="1")),
        **below("info/L3_MON", monitoring("llc_occupancy", rmids=rmids)),
        **group("L3:1=ffff;122=ffff"),
    }
    host = host_of(tree, tmp_path)
    assert (host.is_mpam, host.rmids_per_control_group) == (True, per_group)


@pytest.mark.parametrize(("step", "bits"), [(50, 1), (13, 3), (2, 6), (1, None), (10, None)])
def test_the_step_of_a_percentage_shows_how_many_bits_mpam_keeps(step: int, bits: int | None, tmp_path: Path) -> None:
    tree = {**SKYLAKE, **below("info/MB", bandwidth(step, step))}
    assert host_of(tree, tmp_path).bandwidths[0].fraction_bits == bits


def test_a_pseudo_locked_group_with_unreadable_tasks_is_read() -> None:
    sim = SimulatedResctrl(msgspec.structs.replace(load_profile("cascade-lake"), pseudo_locking=True))
    sim.mkdir("locked")
    sim.write("schemata", "L3:0=7f0\n")
    sim.write("locked/mode", "pseudo-locksetup\n")
    sim.write("locked/schemata", "L3:0=3\n")
    group = read_host(sim).group("locked")
    assert group is not None
    assert (group.mode, group.masks, group.tids) == ("pseudo-locked", {"L3": {0: 3}}, ())
