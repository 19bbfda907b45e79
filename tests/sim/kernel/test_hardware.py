"""Hardware beyond Intel's plain RDT: assignable counters, io_alloc, Sub-NUMA clusters, MPAM, telemetry.

AMD, Sub-NUMA nodes and L2 are compared with real kernels in tests/conformance; here are the rules in short, and what no
kernel was recorded for.
"""

import msgspec
import pytest

from cachetune.errors import InputError, ResctrlError
from cachetune.host import read_host
from cachetune.sim import SimulatedResctrl, load_profile, simulate_host, sysfs_files
from cachetune.sim.kernel.telemetry import decimal
from cachetune.sim.resources import nearest_percent
from cachetune.testing import Clock
from tests.sim.kernel.asking import ask, attempt

ASSIGNMENTS = "mbm_L3_assignments"
EVERY_L3 = range(8)


def simulated(name: str, **changes: object) -> SimulatedResctrl:
    """Return a fresh machine with this profile."""
    return SimulatedResctrl(msgspec.structs.replace(load_profile(name), **changes), clock=Clock())


def assigned(sim: SimulatedResctrl, group: str) -> str:
    """Return the assignments in the first L3: one character each for total and local."""
    return "".join(line.partition(":0=")[2][:1] for line in sim.read(f"{group}/{ASSIGNMENTS}").splitlines())


# -- assignable counters (AMD) ----------------------------------------------------------------------------------


def test_groups_get_counters_until_all_are_taken_and_mkdir_does_not_fail() -> None:
    sim = simulated("turin-few-counters")
    sim.mkdir("g1")
    assert ask(sim, sim.mkdir, "g2") == (
        "ok",
        "".join(
            f"Failed to allocate counter for {event} in domain {i}\n"
            for event in ("mbm_total_bytes", "mbm_local_bytes")
            for i in EVERY_L3
        )[:511]
        + "[truncated]\n",
    )
    assert [assigned(sim, group) for group in (".", "g1", "g2")] == ["ee", "ee", "__"]
    assert sim.read("info/L3_MON/available_mbm_cntrs") == ";".join(f"{i}=0" for i in EVERY_L3) + "\n"
    assert sim.read("info/L3_MON/num_mbm_cntrs") == ";".join(f"{i}=4" for i in EVERY_L3) + "\n"
    values = [sim.read(f"g2/mon_data/mon_L3_00/{event}") for event in ("mbm_total_bytes", "llc_occupancy")]
    assert values == ["Unassigned\n", "0\n"]


def test_rmdir_frees_counters_and_a_freed_counter_can_be_assigned() -> None:
    sim = simulated("turin-few-counters")
    sim.mkdir("g1")
    sim.mkdir("g2")
    assert ask(sim, sim.write, f"g2/{ASSIGNMENTS}", "mbm_total_bytes:0=e\n") == (
        "ENOSPC",
        "Failed to allocate counter for mbm_total_bytes in domain 0\nAssign operation 'mbm_total_bytes:0=e' failed\n",
    )
    sim.rmdir("g1")
    assert ask(sim, sim.write, f"g2/{ASSIGNMENTS}", "mbm_total_bytes:*=e\n") == ("ok", "ok\n")
    assert assigned(sim, "g2") == "e_"


def test_a_counter_counts_from_its_assignment() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("turin"), clock=clock)
    path = "mon_data/mon_L3_00/mbm_total_bytes"
    clock.advance(2)
    before = int(sim.read(path))
    sim.write(ASSIGNMENTS, "mbm_total_bytes:0=_\n")
    assert sim.read(path) == "Unassigned\n"
    sim.write(ASSIGNMENTS, "mbm_total_bytes:0=e\n")
    clock.advance(1)
    assert 0 < int(sim.read(path)) < before


def test_a_control_group_shows_the_sum_of_what_is_counted() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("turin-few-counters"), clock=clock)
    sim.mkdir("mon_groups/m")
    sim.mkdir("mon_groups/n")
    sim.write("mon_groups/n/tasks", "1")
    clock.advance(1)
    assert sim.read("mon_groups/n/mon_data/mon_L3_00/mbm_total_bytes") == "Unassigned\n"
    assert sim.read("mon_data/mon_L3_00/mbm_total_bytes") == "0\n"


def test_in_the_default_mode_nothing_is_assigned_and_events_can_be_configured() -> None:
    sim = simulated("turin")
    assert "mbm_total_bytes_config" not in sim.read("info/L3_MON/mon_features").split()
    sim.write("info/L3_MON/mbm_assign_mode", "default\n")
    assert sim.read("info/L3_MON/mbm_assign_mode") == "[default]\nmbm_event\n"
    assert "mbm_total_bytes_config" in sim.read("info/L3_MON/mon_features").split()
    assert sim.exists("info/L3_MON/mbm_total_bytes_config")
    for path in (ASSIGNMENTS, "info/L3_MON/available_mbm_cntrs", "info/L3_MON/mbm_assign_on_mkdir"):
        assert ask(sim, sim.read, path) == ("EINVAL", "mbm_event counter assignment mode is not enabled\n")
    assert sim.read("mon_data/mon_L3_00/mbm_total_bytes") == "0\n"


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_older_kernels_do_not_assign_counters(kernel: str) -> None:
    sim = SimulatedResctrl(load_profile("turin"), kernel=kernel, clock=Clock())
    assert not sim.exists(ASSIGNMENTS)
    assert not sim.exists("info/L3_MON/mbm_assign_mode")
    assert not sim.exists("info/L3/io_alloc")
    assert sim.read("mon_data/mon_L3_00/mbm_total_bytes") == "0\n"


# -- io_alloc (AMD) ---------------------------------------------------------------------------------------------


def test_io_alloc_takes_the_highest_closid_and_its_ways_count_as_the_hardwares() -> None:
    sim = simulated("turin")
    sim.write("info/L3/io_alloc", "1\n")
    sim.write("info/L3/io_alloc_cbm", "*=c000\n")
    sim.write("schemata", "L3:0=fff\n")
    assert sim.read("info/L3/bit_usage").split(";")[0] == "0=HH00SSSSSSSSSSSS"
    assert sim.read("info/L3/bit_usage").split(";")[1] == "1=XXSSSSSSSSSSSSSS"
    assert sum(attempt(sim.mkdir, f"g{n}") == "ok" for n in range(20)) == 14


def test_io_alloc_needs_its_closid() -> None:
    sim = simulated("turin")
    for number in range(15):
        sim.mkdir(f"g{number}")
    assert ask(sim, sim.write, "info/L3/io_alloc", "1\n") == (
        "ENOSPC",
        "CLOSID (ctrl_hw_id) 15 for io_alloc is used by g14 group\n",
    )


def test_a_new_group_does_not_get_the_ways_of_io_alloc_unless_others_share_them() -> None:
    sim = simulated("turin")
    sim.write("info/L3/io_alloc", "1\n")
    sim.write("info/L3/io_alloc_cbm", "*=f000\n")
    sim.write("schemata", "L3:" + ";".join(f"{i}=f0" for i in EVERY_L3) + "\n")
    sim.mkdir("g1")
    assert "L3:0=fff;" in sim.read("g1/schemata")
    assert ask(sim, sim.write, "g1/schemata", "L3:0=f000\n") == ("ok", "ok\n")
    assert ask(sim, sim.write, "g1/mode", "exclusive\n") == ("EINVAL", "Schemata overlaps\n")


# -- Sub-NUMA clusters (Intel) ----------------------------------------------------------------------------------


def test_sub_numa_nodes_share_the_rmids_and_add_up_to_their_cache() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("granite-rapids-snc3"), clock=clock)
    clock.advance(1)
    where = "mon_data/mon_L3_01"
    nodes = [name for name in sim.listdir(where) if name.startswith("mon_sub")]
    assert nodes == ["mon_sub_L3_03", "mon_sub_L3_04", "mon_sub_L3_05"]
    for event in ("llc_occupancy", "mbm_total_bytes"):
        parts = [int(sim.read(f"{where}/{node}/{event}")) for node in nodes]
        assert int(sim.read(f"{where}/{event}")) == sum(parts) > 0
    assert sim.read("info/L3_MON/num_rmids") == "192\n"
    assert sim.read("size").splitlines()[1] == "    L3:0=503316480;1=503316480"


def test_sysfs_has_the_cpus_of_each_sub_numa_node() -> None:
    profile = load_profile("granite-rapids-snc3")
    nodes = {path: text for path, text in sysfs_files(profile).items() if "/node/" in path}
    assert nodes["devices/system/node/node4/cpulist"] == "128-159,320-351\n"
    assert len(nodes) == 6
    assert read_host(SimulatedResctrl(profile)).snc_nodes == 3


def test_bandwidth_in_mib_cannot_be_mounted_with_sub_numa_nodes_or_assignable_counters() -> None:
    for name in ("sapphire-rapids-snc2", "turin"):
        with pytest.raises(ResctrlError, match="mba_MBps"):
            load_profile(name).mounted("mba_MBps")
    assert load_profile("sapphire-rapids-snc2").mounted("mba_MBps", kernel="6.1")


# -- MPAM (Arm), after the source of Linux 7.3 ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "written", "read"),
    [(6, 10, 9), (6, 50, 50), (6, 1, 2), (6, 99, 98), (6, 100, 100), (2, 30, 25), (8, 7, 7)],
)
def test_mpam_reads_back_the_nearest_fraction(bits: int, written: int, read: int) -> None:
    assert nearest_percent(written, bits) == read


def test_mpam_rounds_up_to_a_step_and_then_to_the_fraction() -> None:
    sim = simulated("kunpeng-920-mpam")
    for value, kept in ((10, 9), (11, 13), (2, 2), (99, 100), (100, 100)):
        sim.write("schemata", f"MB:1={value}\n")
        assert sim.read("schemata").splitlines()[0] == f"    MB:1={kept};122=100"
    assert ask(sim, sim.write, "schemata", "MB:1=1\n") == ("EINVAL", "MB value 1 out of range [2,100]\n")
    assert ask(sim, sim.write, "schemata", "MB:0=50\n") == ("EINVAL", "ok\n")


def test_each_control_group_of_mpam_has_its_own_few_rmids() -> None:
    sim = simulated("kunpeng-920-mpam")
    assert sim.read("info/L3_MON/num_rmids") == "128\n"
    sim.mkdir("g1")
    made = [attempt(sim.mkdir, f"g1/mon_groups/m{n}") for n in range(4)]
    assert made == ["ok", "ok", "ok", "ENOSPC"]
    assert ask(sim, sim.mkdir, "g1/mon_groups/m") == ("ENOSPC", "Out of RMIDs\n")
    assert [attempt(sim.mkdir, f"mon_groups/m{n}") for n in range(4)] == ["ok", "ok", "ok", "ENOSPC"]
    assert sum(attempt(sim.mkdir, f"h{n}") == "ok" for n in range(40)) == 30


def test_a_new_group_of_mpam_takes_the_closid_whose_rmids_are_clean() -> None:
    sim = SimulatedResctrl(load_profile("kunpeng-920-mpam").mounted("debug"), clock=Clock())
    sim.mkdir("g1")
    assert sim.read("g1/ctrl_hw_id") == "1\n"
    sim.rmdir("g1")
    sim.mkdir("g2")
    assert (sim.read("g2/ctrl_hw_id"), sim.read("g2/mon_hw_id")) == ("2\n", "0\n")


def test_on_mpam_no_group_can_be_exclusive_and_every_way_is_shared() -> None:
    sim = simulated("kunpeng-920-mpam")
    sim.mkdir("g1")
    sim.write("g1/schemata", "L3:1=5\n")
    assert ask(sim, sim.write, "g1/mode", "exclusive\n") == ("EINVAL", "Schemata overlaps\n")
    assert set(sim.read("info/L3/bit_usage")) <= set("1;2=X\n")
    assert not sim.exists("info/MB/thread_throttle_mode")
    assert sim.listdir("mon_data/mon_L3_122") == ["llc_occupancy"]


def test_mpam_needs_a_kernel_that_has_it_and_no_cdp() -> None:
    profile = load_profile("kunpeng-920-mpam")
    with pytest.raises(InputError, match=r"kernel 6\.12 has no resctrl on Arm"):
        SimulatedResctrl(profile, kernel="6.12")
    with pytest.raises(ResctrlError, match="ENOTSUP"):
        profile.mounted("cdp")


def test_the_counters_of_mpam_can_only_be_assigned() -> None:
    profile = load_profile("kunpeng-920-mpam")
    assert profile.monitoring
    monitoring = msgspec.structs.replace(profile.monitoring, events=("llc_occupancy", "mbm_total_bytes"), counters=4)
    sim = simulated("kunpeng-920-mpam", monitoring=monitoring)
    assert sim.read("info/L3_MON/mbm_assign_mode") == "[mbm_event]\n"
    assert ask(sim, sim.write, "info/L3_MON/mbm_assign_mode", "default\n") == (
        "EINVAL",
        "Counter assignment mode is not configurable\n",
    )
    assert sim.stat_mode("info/L3_MON/event_configs/mbm_total_bytes/event_filter") & 0o777 == 0o444


# -- telemetry (Intel), after the source of Linux 7.3 -----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "bits", "text"),
    [
        (26, 18, "0.000099"),
        (0, 18, "0.000000"),
        (5 << 17, 18, "2.500000"),
        (3, 1, "1.5"),
        (7, 0, "7.0"),
        (1, 27, "0.000000007"),
    ],
)
def test_a_value_with_binary_digits_after_the_point_is_printed_as_the_kernel_does(
    value: int, bits: int, text: str
) -> None:
    assert decimal(value, bits) == text


def test_telemetry_grows_with_the_time_of_tasks_and_adds_up() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("clearwater-forest"), clock=clock)
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    sim.write("g1/tasks", "1")
    sim.write("g1/mon_groups/m/tasks", "1")
    clock.advance(2)
    where = "mon_data/mon_PERF_PKG_01"
    assert sim.read(f"g1/mon_groups/m/{where}/core_energy") == "5.000000\n"
    assert sim.read(f"g1/{where}/core_energy") == "5.000000\n"
    assert sim.read(f"g1/{where}/stalls_llc_hit") == "80000000\n"
    assert sim.read(f"{where}/core_energy") == "Unavailable\n"
    assert read_host(sim).rmids_total == 448


def test_a_saved_host_keeps_its_assigned_counters_io_alloc_and_nodes() -> None:
    sim = simulated("turin-few-counters")
    sim.mkdir("g1")
    sim.write("g1/mbm_L3_assignments", "mbm_local_bytes:*=_\n")
    sim.write("info/L3/io_alloc", "1\n")
    sim.write("info/L3/io_alloc_cbm", "*=f00f\n")
    sim.write("info/L3_MON/mbm_assign_on_mkdir", "0\n")
    saved = read_host(sim)
    again = simulate_host(saved)
    assert again.kernel == "7.3"
    assert read_host(again).fingerprint == saved.fingerprint
    assert [assigned(again, group) for group in (".", "g1")] == ["ee", "e_"]
    assert again.read("info/L3_MON/available_mbm_cntrs") == sim.read("info/L3_MON/available_mbm_cntrs")
    assert again.read("info/L3/io_alloc_cbm") == sim.read("info/L3/io_alloc_cbm")
    nodes = read_host(simulate_host(read_host(simulated("granite-rapids-snc3"))))
    assert (nodes.snc_nodes, nodes.rmids_total) == (3, 192)
