from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from cachetune.host import sysfs
from cachetune.host.model import Topology
from cachetune.host.sysfs import read_caches, topology_of
from tests.host.trees import Tree, cpu, index

SYS = Path("/sys")


def fake(fs: FakeFilesystem, tree: Tree) -> None:
    for name, text in tree.items():
        fs.create_file(SYS / name, contents=f"{text}\n")


def sizes(*levels: int) -> dict[tuple[int, int], int | None]:
    return {place: cache.size_bytes for place, cache in read_caches(SYS, levels).items()}


def milan(fs: FakeFilesystem) -> None:
    """128 processors; each has an L2, and 8 share an L3."""
    for n in range(128):
        first = n // 8 * 8
        fake(fs, cpu(n, index(2, n, "512K", f"{n}"), index(3, n // 8, "32768K", f"{first}-{first + 7}")))


@pytest.mark.parametrize(("text", "size"), [("15360K", 15360 << 10), ("32M", 32 << 20), ("1G", 1 << 30), ("512", 512)])
def test_sizes_have_units(text: str, size: int, fs: FakeFilesystem) -> None:
    fake(fs, cpu(0, index(3, 0, text, "0")))
    assert sizes(3) == {(3, 0): size}


def test_all_caches_of_the_levels_are_found(fs: FakeFilesystem) -> None:
    milan(fs)
    assert sizes(3) == {(3, i): 32 << 20 for i in range(16)}
    assert sizes(2, 3) == {(3, i): 32 << 20 for i in range(16)} | {(2, i): 512 << 10 for i in range(128)}


def test_one_processor_is_read_for_each_cache(fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    milan(fs)
    looked_at: list[str] = []
    real = sysfs._caches_of
    monkeypatch.setattr(sysfs, "_caches_of", lambda c, levels: (looked_at.append(c.name), real(c, levels))[1])
    read_caches(SYS, {3})
    assert looked_at == [f"cpu{n}" for n in range(0, 128, 8)]


def test_nothing_is_read_when_no_level_is_requested(fs: FakeFilesystem) -> None:
    milan(fs)
    assert sizes() == {}


def test_the_topology_lists_the_cpus_of_each_cache_and_numa_node(fs: FakeFilesystem) -> None:
    fake(fs, {**cpu(0, index(3, 1, "1M", "0,2")), **cpu(1, index(3, 122, "1M", "1,3"))})
    fake(fs, {"devices/system/node/node0/cpulist": "0-3", "devices/system/node/node1/cpulist": ""})
    assert topology_of(read_caches(SYS, {3}), SYS) == Topology({3: {1: "0,2", 122: "1,3"}}, {0: "0-3"})


@pytest.mark.parametrize("missing", ["id", "level", "type"])
def test_an_incompletely_described_cache_is_left_out(missing: str, fs: FakeFilesystem) -> None:
    tree = {name: text for name, text in cpu(0, index(3, 0, "1M", "0")).items() if not name.endswith(missing)}
    fake(fs, {**tree, **cpu(1, index(3, 1, "2M", "1"))})
    assert sizes(3) == {(3, 1): 2 << 20}


def test_without_shared_cpu_list_every_processor_is_read(fs: FakeFilesystem) -> None:
    tree = {**cpu(0, index(3, 0, "1M", "0-1")), **cpu(1, index(3, 1, "1M", "1"))}
    fake(fs, {name: text for name, text in tree.items() if not name.endswith("shared_cpu_list")})
    assert sizes(3) == {(3, 0): 1 << 20, (3, 1): 1 << 20}
    assert topology_of(read_caches(SYS, {3}), SYS).caches == {}


def test_instruction_caches_are_ignored(fs: FakeFilesystem) -> None:
    fake(fs, cpu(0, index(2, 0, "1M", "0", "Instruction"), index(2, 0, "2M", "0", "Data")))
    assert sizes(2) == {(2, 0): 2 << 20}


@pytest.mark.parametrize("text", ["", "0K", "-1K", "1T", "K", "1e3K"])
def test_an_invalid_size_is_unknown(text: str, fs: FakeFilesystem) -> None:
    fake(fs, cpu(0, index(3, 0, text, "0")))
    assert sizes(3) == {(3, 0): None}


def test_a_missing_sysfs_has_no_caches(fs: FakeFilesystem) -> None:
    assert not fs.exists(SYS)
    assert topology_of(read_caches(SYS, {3}), SYS) == Topology()
