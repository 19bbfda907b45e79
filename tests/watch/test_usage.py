"""Moments: the use of each L3 cache by each group."""

from pathlib import Path

from cachetune.cbm import Cbm
from cachetune.host.read import read_host
from cachetune.host.resctrl.port import Resctrl
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.select import Selection
from cachetune.sim import SimulatedResctrl, load_profile, write_tree
from cachetune.testing import simulate
from cachetune.watch import Readings, read_counters
from cachetune.watch.usage import Cache, Moment, Usage, moment_of


def moment(fs: Resctrl) -> Moment:
    host = read_host(fs)
    monitors = read_counters(fs, host, [group.path for group in host.groups])
    return moment_of(Readings(source="sim", time=7.0, monitors=monitors), host)


def test_every_group_has_its_use_of_each_cache_and_a_monitor_group_the_ways_of_its_parent() -> None:
    fs = simulate("skylake-2s")
    fs.mkdir("web")
    fs.write("web/schemata", "L3:0=f;1=70\n")
    fs.mkdir("web/mon_groups/one")
    found = moment(fs)
    assert found.time == 7.0
    assert found.caches == (Cache(0, 25952256, 11), Cache(1, 25952256, 11))
    masks = {(usage.path, usage.kind, usage.cache_id): usage.mask for usage in found.usages}
    assert masks == {
        (".", "control", 0): Cbm(0x7FF),
        (".", "control", 1): Cbm(0x7FF),
        ("web", "control", 0): Cbm(0xF),
        ("web", "control", 1): Cbm(0x70),
        ("web/mon_groups/one", "monitor", 0): Cbm(0xF),
        ("web/mon_groups/one", "monitor", 1): Cbm(0x70),
    }
    assert all(isinstance(usage.occupancy_bytes, int) for usage in found.usages)
    assert {usage.total_bytes_per_second for usage in found.usages} == {None}


def test_with_cdp_the_ways_are_those_for_code_or_data() -> None:
    fs = SimulatedResctrl(load_profile("sapphire-rapids-cdp"))
    fs.mkdir("web")
    fs.write("web/schemata", "L3CODE:0=3\n")
    fs.write("web/schemata", "L3DATA:0=c\n")
    assert next(u.mask for u in moment(fs).usages if (u.path, u.cache_id) == ("web", 0)) == Cbm(0xF)


def test_a_host_that_only_monitors_has_no_ways() -> None:
    found = moment(SimulatedResctrl(load_profile("monitor-only")))
    assert {cache.ways for cache in found.caches} == {0}
    assert {usage.mask for usage in found.usages} == {None}


def test_a_node_of_a_cache_is_not_counted_beside_the_cache() -> None:
    found = moment(SimulatedResctrl(load_profile("sapphire-rapids-snc2")))
    places = [(usage.path, usage.cache_id) for usage in found.usages]
    assert len(places) == len(set(places)) > 0


def test_what_a_group_does_not_say_is_missing_and_not_zero(tmp_path: Path) -> None:
    root = tmp_path / "resctrl"
    write_tree(simulate("skylake-2s"), root)
    counters = root / "mon_data/mon_L3_00"
    (counters / "llc_occupancy").write_text("Unavailable\n")
    (counters / "mbm_total_bytes").write_text("1000\n")
    with Watcher(Location(resctrl=root), Selection()) as watcher:
        watcher.look()
        (counters / "mbm_total_bytes").write_text("2000\n")
        seen = watcher.look()
    usage = next(u for u in moment_of(seen.readings, seen.host).usages if u.cache_id == 0)
    assert usage.occupancy_bytes is None
    assert usage.total_bytes_per_second is not None
    assert usage.total_bytes_per_second > 0
    assert isinstance(usage, Usage)
