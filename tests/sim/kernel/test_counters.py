"""Counters advance with the clock, plausibly and reproducibly."""

import pytest

from cachetune.sim import SimulatedResctrl, load_profile
from tests.sim.kernel.asking import Clock, attempt

MIB = 1 << 20


def _busy(profile: str = "skylake-2s") -> tuple[SimulatedResctrl, Clock]:
    clock = Clock()
    sim = SimulatedResctrl(load_profile(profile), clock=clock)
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    sim.add_task(5)
    sim.write("g1/tasks", "5")
    return sim, clock


def _read(sim: SimulatedResctrl, group: str, event: str, cache_id: int = 0) -> int:
    return int(sim.read(f"{group}/mon_data/mon_L3_{cache_id:02d}/{event}".lstrip("/")))


def test_traffic_grows_only_while_a_group_has_tasks() -> None:
    sim, clock = _busy()
    seen = []
    for _ in range(3):
        clock.now += 1
        seen.append(_read(sim, "g1", "mbm_total_bytes"))
    assert seen == [256 * MIB, 512 * MIB, 768 * MIB]
    assert _read(sim, "g1", "mbm_local_bytes") == 576 * MIB
    sim.write("tasks", "5")
    clock.now += 100
    assert _read(sim, "g1", "mbm_total_bytes") == 768 * MIB


def test_a_control_group_includes_its_monitor_groups() -> None:
    sim, clock = _busy()
    clock.now += 1
    sim.write("g1/mon_groups/m/tasks", "5")
    clock.now += 2
    assert _read(sim, "g1/mon_groups/m", "mbm_total_bytes") == 512 * MIB
    assert _read(sim, "g1", "mbm_total_bytes") == 768 * MIB
    sim.rename("g1/mon_groups/m", "mon_groups/m")
    assert _read(sim, "mon_groups/m", "mbm_total_bytes") == 512 * MIB
    assert _read(sim, "g1", "mbm_total_bytes") == 256 * MIB


def test_occupancy_approaches_the_allowed_ways_and_decays() -> None:
    sim, clock = _busy()
    sim.write("g1/schemata", "L3:0=f;1=3\n")
    clock.now += 30
    way = 25344 * 1024 // 11
    assert _read(sim, "g1", "llc_occupancy", 0) == 4 * way // 65536 * 65536
    assert _read(sim, "g1", "llc_occupancy", 1) == 2 * way // 65536 * 65536
    sim.write("tasks", "5")
    clock.now += 30
    assert _read(sim, "g1", "llc_occupancy", 0) == 0


def test_a_group_and_its_monitor_groups_together_fill_at_most_its_ways() -> None:
    sim, clock = _busy()
    sim.add_task(6)
    sim.write("g1/tasks", "6")
    sim.write("g1/mon_groups/m/tasks", "6")
    sim.write("g1/schemata", "L3:0=f;1=3\n")
    clock.now += 30
    ways = 4 * (25344 * 1024 // 11)
    assert ways * 9 // 10 < _read(sim, "g1", "llc_occupancy") <= ways
    assert _read(sim, "g1/mon_groups/m", "llc_occupancy") == ways // 2 // 65536 * 65536


@pytest.mark.parametrize(
    ("profile", "text", "expected"),
    [
        ("skylake-2s", "MB:0=50\n", 128 * MIB),
        ("sapphire-rapids-mbps", "MB:0=64\n", 64 * MIB),
        ("milan", "MB:0=1\n", 125_000_000),
        ("milan", "MB:0=2048\n", 256 * MIB),
    ],
)
def test_bandwidth_is_limited_in_the_processors_unit(profile: str, text: str, expected: int) -> None:
    sim, clock = _busy(profile)
    sim.write("g1/schemata", text)
    clock.now += 1
    assert _read(sim, "g1", "mbm_total_bytes") == expected


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
    assert _read(sim, "g1", "mbm_total_bytes", 2) == 256 * MIB


def test_the_same_clock_gives_the_same_numbers() -> None:
    def run() -> list[str]:
        sim, clock = _busy()
        clock.now += 3.7
        return [sim.read(f"g1/mon_data/mon_L3_00/{event}") for event in sim.listdir("g1/mon_data/mon_L3_00")]

    assert run() == run()
