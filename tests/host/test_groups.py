"""Whatever is wrong with a group of another program, the host is read, and the problem names the file."""

import os
import random
from pathlib import Path

import pytest

from cachetune.host import SysfsResctrl, check_host, read_host
from cachetune.host.model import Host, Problem
from cachetune.host.usage import usage_of
from tests.host.trees import SKYLAKE, Tree, below, group, make, monitoring

FOREIGN = {
    **below("nic", group("L3:0=3;1=3\nMB:0=50;1=50", "301\n302")),
    **below("nic/mon_groups/inner", {"tasks": "301", "cpus_list": ""}),
}


def read(root: Path) -> Host:
    return check_host(read_host(SysfsResctrl(root)), "the copy")


def host_of(tree: Tree, root: Path) -> Host:
    return read(make(root, {**SKYLAKE, **FOREIGN, **tree}))


def test_an_intact_host_has_no_problems(tmp_path: Path) -> None:
    assert host_of({}, tmp_path).problems == ()


def test_a_device_in_a_group_is_kept_and_is_no_problem(tmp_path: Path) -> None:
    host = host_of({"nic/tasks": "301\niommu_group:17\n302"}, tmp_path)
    nic = host.group("nic")
    assert nic is not None
    assert (nic.tids, nic.other_tasks) == ((301, 302), ("iommu_group:17",))
    assert host.problems == ()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("nic/tasks", "301 two", "not a thread id: 301 two"),
        ("nic/tasks", "99999999999", "not a thread id: 99999999999"),
        ("nic/tasks", "-5", "not a thread id: -5"),
        ("nic/tasks", "\x1b[31m", r"not a thread id: \x1b[31m"),
        ("nic/schemata", "", "the file is empty; a copy by tar or rsync loses the content of kernel files"),
        ("nic/schemata", "L3:0=xyz\nMB:0=50;1=50", "not understood: L3:0=xyz"),
        ("nic/schemata", "no colon", "not understood: no colon"),
        ("nic/schemata", "L3:0=fff;1=3", "impossible on this host: L3:0=fff"),
        ("nic/schemata", "MB:0=99999999999", "impossible on this host: MB:0=99999999999"),
        ("nic/schemata", "L3:0=3\nMB:0=50;1=50", "it has no mask of L3 cache 1"),
        ("nic/schemata", "L3:1=3\nL3:0=3", "it has no mask of L3 cache 1"),
        ("nic/schemata", "XX:0=3", "it has no mask of L3 caches 0-1"),
        ("nic/mode", "", "the file is empty; a copy by tar or rsync loses the content of kernel files"),
        ("nic/mode", "pseudo", "not a mode: pseudo"),
        ("nic/cpus_list", "0-x", "not a list of CPUs: 0-x"),
        ("nic/mon_groups/inner/tasks", "x", "not a thread id: x"),
        ("nic/mon_groups/inner/cpus_list", "9-1", "not a list of CPUs: 9-1"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(name: str, text: str, reason: str, tmp_path: Path) -> None:
    host = host_of({name: text}, tmp_path)
    assert host.problems == (Problem(name, reason),)
    assert host.group("nic") is not None


def test_impossible_values_are_kept_as_lines_and_take_no_ways(tmp_path: Path) -> None:
    nic = host_of({"nic/schemata": "L3:0=fff;1=3\nMB:0=50"}, tmp_path).group("nic")
    assert nic is not None
    assert (nic.masks, nic.other_lines) == ({"L3": {1: 3}}, ("L3:0=fff",))


def test_ways_of_a_group_whose_mask_of_a_cache_is_missing_are_not_free(tmp_path: Path) -> None:
    tree = {"schemata": "L3:0=700;1=7ff", "info/L3/bit_usage": "0=SSS00SSSSSS", "nic/schemata": "L3:1=3\nMB:0=50;1=50"}
    assert usage_of(host_of(tree, tmp_path)).caches[0].free == 0x0C0, "030 is of nic, whatever its file says"


def test_a_pseudo_locked_group_lists_only_its_own_cache(tmp_path: Path) -> None:
    host = host_of({"nic/mode": "pseudo-locked", "nic/schemata": "L3:1=3"}, tmp_path)
    assert host.problems == ()


def test_a_missing_file_of_a_group_that_exists_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, {**SKYLAKE, **FOREIGN})
    (root / "nic/tasks").unlink()
    assert read(root).problems == (Problem("nic/tasks", "the file is missing"),)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, {**SKYLAKE, **FOREIGN})
    (root / "nic/mode").unlink()
    (root / "nic/mode").symlink_to("tasks")
    assert read(root).problems == (Problem("nic/mode", "Too many levels of symbolic links"),)


def test_a_damaged_list_of_counters_is_named(tmp_path: Path) -> None:
    counters = {**monitoring("llc_occupancy"), "mbm_assign_mode": "[mbm_event]"}
    names = ("", "nic/", "nic/mon_groups/inner/", "cachetune-web-vcpus_0-1/", "qemu-3-db-vcpus_0/")
    tree = {**below("info/L3_MON", counters), **{f"{n}mbm_L3_assignments": "mbm_total_bytes:0=e" for n in names}}
    host = host_of({**tree, "nic/mbm_L3_assignments": "mbm_total_bytes:0=x"}, tmp_path)
    assert host.problems == (Problem("nic/mbm_L3_assignments", "not understood: mbm_total_bytes:0=x"),)


def damage(file: Path, chance: random.Random) -> None:
    """Make one file of a group unusable in one of the ways in which files go bad."""
    data = file.read_bytes()
    match chance.randrange(10):
        case 0:
            file.write_bytes(b"")
        case 1:
            file.unlink()
        case 2:
            file.unlink()
            file.mkdir()
        case 3:
            file.unlink()
            file.symlink_to("/etc/passwd")
        case 4:
            file.unlink()
            os.mkfifo(file)
        case 5:
            file.write_bytes(chance.randbytes(chance.randrange(1, 300)))
        case 6:
            file.write_bytes(data * chance.randrange(2, 400))
        case 7:
            file.write_bytes(data[: chance.randrange(len(data) + 1)])
        case 8:
            at = chance.randrange(len(data) + 1)
            file.write_bytes(
                data[:at] + chance.choice([b"\0", b"\xff", b";", b"=", b"-1", b"9" * 30, b"\n\n"]) + data[at:]
            )
        case _:
            file.write_bytes(b"L3:0=0;1=0\nL2:0=1\nMB:0=4294967296\nGMB:0=1\n")


@pytest.mark.parametrize("seed", range(150))
def test_no_damage_to_a_foreign_group_makes_the_host_unreadable(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    root = make(tmp_path, {**SKYLAKE, **FOREIGN})
    whole = read(root)
    files = sorted(path for path in (root / "nic").rglob("*") if path.is_file())
    damage(chance.choice(files), chance)
    host = read(root)
    usage_of(host)
    others = [g for g in host.groups if not g.path.startswith("nic")]
    assert others == [g for g in whole.groups if not g.path.startswith("nic")]
    assert all(problem.path.startswith("nic") for problem in host.problems)
    assert host == whole or host.problems or host.groups != whole.groups
