"""Profiles, their sysfs, plain copies, and simulations of saved hosts."""

import json
from pathlib import Path

import msgspec
import pytest

from cachetune.errors import DocumentError
from cachetune.host import SysfsResctrl, read_host
from cachetune.host.model import Group, Host, Topology
from cachetune.sim import (
    SimulatedResctrl,
    decode_profile,
    load_profile,
    profile_names,
    simulate_host,
    sysfs_files,
    write_sysfs,
    write_tree,
)
from tests.sim.kernel.asking import attempt, machine

NAMES = (
    *("allocation-only", "atom-l2", "cascade-lake", "clearwater-forest", "genoa", "granite-rapids-snc3"),
    *("haswell", "icelake", "kunpeng-920-mpam", "milan", "monitor-only", "sapphire-rapids"),
    *("sapphire-rapids-cdp", "sapphire-rapids-mbps", "sapphire-rapids-snc2", "skylake-2s", "turin"),
    "turin-few-counters",
)


def _busy(name: str) -> SimulatedResctrl:
    """Return a machine with groups, as far as it supports them."""
    sim = SimulatedResctrl(load_profile(name))
    for tid in (5, 6, 7):
        sim.add_task(tid, parent=1)
    for path in ("g1", "g2", "g1/mon_groups/m", "mon_groups/n"):
        attempt(sim.mkdir, path)
    for path, text in (
        ("g1/tasks", "5"),
        ("g1/mon_groups/m/tasks", "5"),
        ("g2/tasks", "6"),
        ("mon_groups/n/tasks", "7"),
        ("g1/cpus_list", "0"),
        ("g1/schemata", "L3:0=3;1=3\n"),
        ("g1/schemata", "L3:0=3\n"),
        ("g1/schemata", "L2:0=3\n"),
        ("g1/schemata", "MB:0=50\n"),
        ("schemata", "L3:0=7c\n"),
        ("schemata", "L3:0=7c;1=7c\n"),
        ("g2/schemata", "L3:0=180;1=180\n"),
        ("g2/mode", "exclusive\n"),
    ):
        attempt(sim.write, path, text)
    return sim


def _without(host: Host, *, sizes: bool) -> Host:
    """Return the host without the parts that depend on how it is read."""
    caches = tuple(msgspec.structs.replace(c, size_bytes={} if sizes else c.size_bytes) for c in host.caches)
    return msgspec.structs.replace(host, source="", mount_options=(), caches=caches, topology=Topology())


def test_the_shipped_profiles_are_these() -> None:
    assert profile_names() == NAMES
    assert {load_profile(name).name for name in NAMES} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_sysfs_and_size_files_agree_on_sizes(name: str, tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile(name))
    write_sysfs(sim.profile, tmp_path)
    from_size, from_sysfs = read_host(sim), read_host(sim, sysfs=tmp_path)
    for a, b in zip(from_size.caches, from_sysfs.caches, strict=True):
        assert list(a.size_bytes) == list(b.size_bytes)
        for cache_id in a.size_bytes:
            assert a.way_bytes(cache_id) == b.way_bytes(cache_id)


@pytest.mark.parametrize("name", NAMES)
def test_every_cpu_has_each_of_its_caches_once(name: str) -> None:
    profile = load_profile(name)
    files = sysfs_files(profile)
    for cpu in range(profile.cpu_count):
        prefix = f"devices/system/cpu/cpu{cpu}/cache/"
        found = [
            (files[path], files[path.replace("level", "type")])
            for path in files
            if path.startswith(prefix) and path.endswith("/level")
        ]
        assert len(found) == len(set(found)) == len(profile.core_caches) + len(profile.caches)
    assert files["devices/system/cpu/online"].startswith("0-")


def test_the_sysfs_of_skylake_has_two_sockets_and_two_threads_per_core() -> None:
    files = sysfs_files(load_profile("skylake-2s"))
    shown = {
        name: files[f"devices/system/cpu/cpu54/cache/index{index}/{name}"]
        for index, name in ((3, "id"), (3, "size"), (3, "shared_cpu_list"), (2, "size"), (3, "type"))
        if name != "size" or index == 3
    }
    assert shown == {"id": "1\n", "size": "25344K\n", "shared_cpu_list": "18-35,54-71\n", "type": "Unified\n"}
    assert files["devices/system/cpu/cpu54/cache/index2/shared_cpu_list"] == "18,54\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_copy_reads_like_the_original(name: str, tmp_path: Path) -> None:
    sim = _busy(name)
    write_tree(sim, tmp_path / "resctrl")
    copy, original = read_host(SysfsResctrl(tmp_path / "resctrl")), read_host(sim)
    assert _without(copy, sizes=False) == _without(original, sizes=False)


def test_a_copy_omits_unreadable_files(tmp_path: Path) -> None:
    profile = msgspec.structs.replace(load_profile("cascade-lake"), pseudo_locking=True)
    sim = SimulatedResctrl(profile)
    sim.mkdir("g1")
    sim.write("g1/mode", "pseudo-locksetup\n")
    write_tree(sim, tmp_path / "resctrl")
    names = {path.name for path in (tmp_path / "resctrl/g1").iterdir()}
    assert names == {"mode", "mon_data", "mon_groups", "schemata", "size"}


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_host_reads_like_the_saved_one(name: str) -> None:
    saved = read_host(_busy(name))
    rehearsal = read_host(simulate_host(saved))
    assert rehearsal.fingerprint == saved.fingerprint
    assert rehearsal.groups == saved.groups


def test_a_simulated_host_continues_in_the_saved_state() -> None:
    sim = simulate_host(read_host(_busy("skylake-2s")))
    assert attempt(sim.write, "g1/schemata", "L3:0=80\n") == "EINVAL"
    assert attempt(sim.mkdir, "g3") == "ok"
    assert sim.read("g3/schemata") == "    MB:0=100;1=100\n    L3:0=07f;1=07f\n"
    made = sum(attempt(sim.mkdir, f"h{n}") == "ok" for n in range(20))
    assert made == 8 - 4


def test_a_simulated_host_keeps_pseudo_locked_regions_and_unknown_lines() -> None:
    profile = msgspec.structs.replace(load_profile("cascade-lake"), pseudo_locking=True)
    sim = SimulatedResctrl(profile)
    sim.mkdir("g1")
    sim.write("schemata", "L3:0=7f0\n")
    sim.write("g1/mode", "pseudo-locksetup\n")
    sim.write("g1/schemata", "L3:0=3\n")
    saved = read_host(sim)
    strange = msgspec.structs.replace(saved.groups[0], other_lines=("NPU:0=1",))
    again = simulate_host(msgspec.structs.replace(saved, groups=(strange, *saved.groups[1:])))
    assert again.read("info/L3/bit_usage") == sim.read("info/L3/bit_usage") == "0=XXSSSSS00PP;1=XXSSSSSSSSS\n"
    assert again.read("g1/schemata") == "L3:0=3\n"
    assert again.read("schemata").startswith("NPU:0=1\n")


def test_a_saved_host_with_missing_values_can_be_simulated() -> None:
    saved = read_host(machine())
    cache = msgspec.structs.replace(saved.caches[0], size_bytes={0: None, 1: None}, num_closids=None)
    monitor = msgspec.structs.replace(saved.monitors[0], num_rmids=None)
    bandwidth = msgspec.structs.replace(saved.bandwidths[0], num_closids=None)
    many = tuple(Group(path=f"g{n}", kind="control", owner="unknown") for n in range(200))
    host = msgspec.structs.replace(
        saved, caches=(cache,), monitors=(monitor,), bandwidths=(bandwidth,), groups=(*saved.groups, *many)
    )
    sim = simulate_host(host)
    assert len(read_host(sim).groups) == 201
    assert read_host(sim).caches[0].size_bytes == {0: None, 1: None}
    assert attempt(sim.mkdir, "more") == "ENOSPC"


@pytest.mark.parametrize(
    "change",
    [
        {"caches": 5},
        {"strange": 1},
        {"caches": []},
        {"name": None},
        {"caches": [{"level": 3, "ids": [0, 1], "cpu_lists": ["0"], "size_bytes": 1, "ways": 1}]},
        {"caches": [{"level": 3, "ids": [0], "cpu_lists": [""], "size_bytes": 1, "ways": 1}]},
        {"caches": [{"level": 3, "ids": [0], "cpu_lists": ["x"], "size_bytes": 1, "ways": 1}]},
        {"caches": [{"level": 3, "ids": [0], "cpu_lists": ["0"], "size_bytes": 1, "ways": 0}]},
        {"caches": [{"level": 3, "ids": [0], "cpu_lists": ["0"], "size_bytes": 1, "ways": 1, "shareable": "g"}]},
        {"caches": [{"level": 2, "ids": [0], "cpu_lists": ["0"], "size_bytes": 1, "ways": 8}]},
    ],
)
def test_an_inconsistent_profile_is_refused(change: dict[str, object]) -> None:
    document = msgspec.to_builtins(load_profile("cascade-lake")) | change
    with pytest.raises(DocumentError, match="is not valid"):
        decode_profile(json.dumps(document).encode(), "my.json")


def test_a_handwritten_profile_is_accepted() -> None:
    document = msgspec.json.encode(load_profile("milan"))
    assert decode_profile(document, "my.json") == load_profile("milan")
