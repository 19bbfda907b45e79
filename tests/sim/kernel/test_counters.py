"""Counters advance with the clock, plausibly and reproducibly."""

import pytest

from cachetune.sim import SimulatedResctrl, Workload, load_profile
from tests.sim.kernel.asking import Clock, attempt

MIB = 1 << 20
WAY = 25344 * 1024 // 11
STREAM = Workload(kind="streaming", bytes_per_second=256 * MIB)


def _busy(profile: str = "skylake-2s") -> tuple[SimulatedResctrl, Clock]:
    """A group in which task 5 streams 256 MiB/s through each cache."""
    clock = Clock()
    sim = SimulatedResctrl(load_profile(profile), clock=clock)
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    sim.add_task(5)
    sim.run("stream", STREAM, [5])
    sim.write("g1/tasks", "5")
    return sim, clock


def _read(sim: SimulatedResctrl, group: str, event: str, cache_id: int = 0) -> int:
    return int(sim.read(f"{group}/mon_data/mon_L3_{cache_id:02d}/{event}".lstrip("/")))


def _mib(sim: SimulatedResctrl, group: str, event: str, cache_id: int = 0) -> int:
    """The same in MiB; a counter's step less is still that."""
    return round(_read(sim, group, event, cache_id) / MIB)


def test_traffic_grows_only_while_a_group_has_tasks() -> None:
    sim, clock = _busy()
    seen = []
    for _ in range(3):
        clock.now += 1
        seen.append(_mib(sim, "g1", "mbm_total_bytes"))
    assert seen == [256, 512, 768]
    assert _mib(sim, "g1", "mbm_local_bytes") == 576
    sim.write("tasks", "5")
    clock.now += 100
    assert _mib(sim, "g1", "mbm_total_bytes") == 768


def test_a_control_group_includes_its_monitor_groups() -> None:
    sim, clock = _busy()
    clock.now += 1
    sim.write("g1/mon_groups/m/tasks", "5")
    clock.now += 2
    assert _mib(sim, "g1/mon_groups/m", "mbm_total_bytes") == 512
    assert _mib(sim, "g1", "mbm_total_bytes") == 768
    sim.rename("g1/mon_groups/m", "mon_groups/m")
    assert _mib(sim, "mon_groups/m", "mbm_total_bytes") == 512
    assert _mib(sim, "g1", "mbm_total_bytes") == 256


def test_a_stream_fills_the_ways_of_its_group_and_fades_after_it() -> None:
    sim, clock = _busy()
    sim.write("schemata", "L3:0=7f0;1=7f0\n")
    sim.write("g1/schemata", "L3:0=f;1=3\n")
    clock.now += 30
    assert _read(sim, "g1", "llc_occupancy", 0) == 4 * WAY // 65536 * 65536
    assert _read(sim, "g1", "llc_occupancy", 1) == 2 * WAY // 65536 * 65536
    sim.end_task(5)
    clock.now += 30
    assert _read(sim, "g1", "llc_occupancy", 0) == 0


def test_a_group_and_its_monitor_group_share_its_ways_by_what_they_put_in() -> None:
    sim, clock = _busy()
    sim.add_task(6)
    sim.run("slow", Workload(kind="streaming", bytes_per_second=64 * MIB), [6])
    sim.write("g1/tasks", "6")
    sim.write("g1/mon_groups/m/tasks", "6")
    sim.write("schemata", "L3:0=7f0\n")
    sim.write("g1/schemata", "L3:0=f\n")
    clock.now += 30
    assert 4 * WAY * 0.99 < _read(sim, "g1", "llc_occupancy") <= 4 * WAY
    assert _read(sim, "g1/mon_groups/m", "llc_occupancy") == pytest.approx(4 * WAY / 5, abs=65536)


def test_a_fresh_mount_never_shows_more_occupancy_than_the_cache_has() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("skylake-2s"), clock=clock)
    groups = [f"g{number}" for number in range(6)]
    for number, name in enumerate(groups):
        sim.mkdir(name)
        for tid in range(100 * number + 100, 100 * number + 104):
            sim.add_task(tid)
            sim.write(f"{name}/tasks", f"{tid}\n")
    for _ in range(20):
        clock.now += 0.3
        held = [_read(sim, name, "llc_occupancy") for name in ("", *groups)]
        assert sum(held) <= 11 * WAY
    assert min(held) > 0
    assert sum(held) > 10 * WAY


def test_without_allocation_a_group_competes_for_the_whole_cache() -> None:
    clock = Clock()
    sim = SimulatedResctrl(load_profile("monitor-only"), clock=clock)
    sim.mkdir("mon_groups/m")
    sim.add_task(5)
    sim.run("stream", STREAM, [5])
    sim.write("mon_groups/m/tasks", "5")
    clock.now += 60
    cache = load_profile("monitor-only").cache(3)
    assert cache
    assert _read(sim, "mon_groups/m", "llc_occupancy", cache.ids[0]) > cache.size_bytes // 2


@pytest.mark.parametrize(
    ("profile", "text", "expected"),
    [
        ("skylake-2s", "MB:0=50\n", 128),
        ("sapphire-rapids-mbps", "MB:0=64\n", 64),
        ("milan", "MB:0=1\n", 119),
        ("milan", "MB:0=2048\n", 256),
    ],
)
def test_bandwidth_is_limited_in_the_processors_unit(profile: str, text: str, expected: int) -> None:
    sim, clock = _busy(profile)
    sim.write("g1/schemata", text)
    clock.now += 1
    assert _mib(sim, "g1", "mbm_total_bytes") == expected


def test_a_new_group_starts_from_zero_with_a_reused_rmid() -> None:
    sim, clock = _busy()
    sim.write("g1/mon_groups/m/tasks", "5")
    clock.now += 5
    sim.write("tasks", "5")
    sim.rmdir("g1/mon_groups/m")
    clock.now += 5
    made = [f"mon_groups/n{n}" for n in range(200) if attempt(sim.mkdir, f"mon_groups/n{n}") == "ok"]
    assert len(made) == 142
    assert {_read(sim, group, "mbm_total_bytes") for group in made} == {0}


def test_an_event_can_be_set_to_a_number_or_a_text() -> None:
    sim, _ = _busy()
    sim.set_counter("g1", 1, "mbm_total_bytes", "Unavailable")
    assert sim.read("g1/mon_data/mon_L3_01/mbm_total_bytes") == "0\n"
    sim.set_counter("g1/mon_groups/m", 1, "mbm_total_bytes", "Error")
    assert sim.read("g1/mon_data/mon_L3_01/mbm_total_bytes") == "Error\n"  # the last one that was read
    assert sim.read("g1/mon_groups/m/mon_data/mon_L3_01/mbm_total_bytes") == "Error\n"
    sim.set_counter("g1/mon_groups/m", 1, "mbm_total_bytes", 12345678901234)
    assert sim.read("g1/mon_data/mon_L3_01/mbm_total_bytes") == "12345678901234\n"
    assert attempt(sim.set_counter, "info", 1, "mbm_total_bytes", 1) == "ENOENT"


def test_reconfiguring_events_resets_them() -> None:
    sim, clock = _busy("milan")
    clock.now += 1
    sim.write("info/L3_MON/mbm_total_bytes_config", "0=0x33\n")
    assert _read(sim, "g1", "mbm_total_bytes", 0) == 0
    assert _mib(sim, "g1", "mbm_total_bytes", 2) == 256


def test_the_same_clock_gives_the_same_numbers() -> None:
    def run() -> list[str]:
        sim, clock = _busy()
        clock.now += 3.7
        return [sim.read(f"g1/mon_data/mon_L3_00/{event}") for event in sim.listdir("g1/mon_data/mon_L3_00")]

    assert run() == run()
