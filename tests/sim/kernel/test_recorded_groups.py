"""mkdir, rmdir, rename, limits and the tree are as on real kernels."""

import re
import stat

import pytest

from cachetune.sim import SimulatedResctrl
from tests.sim.kernel.asking import KERNELS, Clock, ask, attempt, machine, where
from tests.sim.kernel.recorded import tree
from tests.sim.kernel.recorded.groups import MKDIR, RENAME, RMDIR

A = 2001


def _mode(sim: SimulatedResctrl, path: str) -> str:
    return f"{sim.stat_mode(path) & 0o7777:o}"


def _check_tree(sim: SimulatedResctrl, rows: list[tuple[str, str, str]]) -> None:
    for path, mode, content in rows:
        is_directory = content == "directory"
        assert stat.S_ISDIR(sim.stat_mode(path)) == is_directory, path
        assert _mode(sim, path) == mode, path
        if not is_directory:
            assert sim.read(path) == content, path


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("options", "rows", "after_mkdir"),
    [((), tree.PLAIN, tree.NEW_GROUPS), (("cdp",), tree.CDP, tree.CDP_NEW_GROUP)],
)
def test_the_tree_is_as_recorded(
    kernel: str, options: tuple[str, ...], rows: list[tuple[str, str, str]], after_mkdir: list[tuple[str, str, str]]
) -> None:
    sim = machine(*options, kernel=kernel)
    _check_tree(sim, rows)
    expected = {path.rstrip("/") for path, _, _ in rows} - {"."} | {"tasks", "info/last_cmd_status"}
    shown = {path.rstrip("/") for path in sim.tree()} | {"info/last_cmd_status"}
    sparse = {f"info/{name}/sparse_masks" for name in ("L3", "L3DATA", "L3CODE")} if kernel == "6.12" else set()
    monitors = {path for path in shown if path.startswith("mon_data")}
    assert shown - monitors - sparse == expected - monitors
    sim.mkdir("g1")
    sim.mkdir("mon_groups/m1")
    _check_tree(sim, after_mkdir)


@pytest.mark.parametrize(("group", "mode"), [("", "555"), ("g1", "755"), ("mon_groups/m1", "755")])
def test_every_group_has_counters_for_each_cache(group: str, mode: str) -> None:
    sim = machine()
    sim.mkdir("g1")
    sim.mkdir("mon_groups/m1")
    directory = f"{group}/mon_data".lstrip("/")
    assert sim.listdir(directory) == ["mon_L3_00", "mon_L3_01"]
    for inside in (directory, f"{directory}/mon_L3_00", f"{directory}/mon_L3_01"):
        assert _mode(sim, inside) == mode
    for cache in sim.listdir(directory):
        assert sim.listdir(f"{directory}/{cache}") == ["llc_occupancy", "mbm_local_bytes", "mbm_total_bytes"]
        for event in sim.listdir(f"{directory}/{cache}"):
            assert _mode(sim, f"{directory}/{cache}/{event}") == "444"
            assert sim.read(f"{directory}/{cache}/{event}") == "0\n"


def test_only_6_12_reports_whether_masks_may_have_holes() -> None:
    assert machine(kernel="6.12").read("info/L3/sparse_masks") == "0\n"
    assert not machine(kernel="6.1").exists("info/L3/sparse_masks")


def test_debug_shows_closids_and_rmids() -> None:
    sim = machine("debug")
    sim.mkdir("g1")
    sim.mkdir("mon_groups/m1")
    _check_tree(sim, tree.DEBUG)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("options", [(), ("cdp",)])
def test_groups_run_out_as_recorded(kernel: str, options: tuple[str, ...]) -> None:
    sim = machine(*options, kernel=kernel)
    made = 0
    while ask(sim, sim.mkdir, f"g{made}") == ("ok", "ok\n"):
        made += 1
    assert made == 7
    assert ask(sim, sim.mkdir, "again") == ("ENOSPC", "Out of CLOSIDs\n")
    assert ask(sim, sim.mkdir, "mon_groups/x") == ("ok", "ok\n")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("options", [(), ("cdp",)])
def test_rmids_run_out_and_come_back_after_limbo_as_recorded(kernel: str, options: tuple[str, ...]) -> None:
    sim, clock = machine(*options, kernel=kernel), Clock()
    sim = SimulatedResctrl(sim.profile, kernel=kernel, clock=clock)
    made = 0
    while ask(sim, sim.mkdir, f"mon_groups/m{made}") == ("ok", "ok\n"):
        made += 1
    assert made == 63
    assert ask(sim, sim.mkdir, "mon_groups/more") == ("ENOSPC", "Out of RMIDs\n")
    assert ask(sim, sim.mkdir, "g1") == ("ENOSPC", "Out of RMIDs\n")
    assert ask(sim, sim.rmdir, "mon_groups/m0") == ("ok", "ok\n")
    for wait, result in ((0, "EBUSY"), (0.5, "EBUSY"), (1, "ok")):
        clock.now += wait
        said = "ok\n" if result == "ok" else "Out of RMIDs\n"
        assert ask(sim, sim.mkdir, "mon_groups/again") == (result, said)


@pytest.mark.parametrize("kernel", KERNELS)
def test_names_are_accepted_and_refused_as_recorded(kernel: str) -> None:
    sim = machine(kernel=kernel)
    sim.mkdir("g1")
    for name, result, status in MKDIR:
        length = re.fullmatch(r"<(\d+)>", name)
        path = "x" * int(length[1]) if length else name
        assert ask(sim, sim.mkdir, path) == (result, status), name
    sim.rmdir("g1")
    sim.mkdir("p", mode=0o700)
    assert _mode(sim, "p") == "700"


@pytest.mark.parametrize("kernel", KERNELS)
def test_rmdir_is_answered_as_recorded(kernel: str) -> None:
    sim = machine(kernel=kernel)
    for group in ("g1", "g1/mon_groups/m1", "g1/mon_groups/m2", "g2", "mon_groups/m0"):
        sim.mkdir(group)
    sim.add_task(A)
    sim.write("g1/tasks", f"{A}\n")
    sim.write("g1/mon_groups/m1/tasks", f"{A}\n")
    sim.write("g1/cpus_list", "0\n")
    for path, result, status in RMDIR:
        assert ask(sim, sim.rmdir, path) == (result, status), path
    assert ask(sim, sim.rmdir, "g1/mon_groups/m1") == ("ok", "ok\n")
    assert where(sim, {"A": A}) == "A in g1"
    assert ask(sim, sim.rmdir, "g1") == ("ok", "ok\n")
    assert where(sim, {"A": A}) == "A in ."
    assert sim.read("cpus_list") == "0-1\n"
    assert not sim.exists("g1")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("old", "new", "has_cpu", "answer_of_6_1", "answer_of_6_12"), RENAME)
def test_rename_is_answered_as_recorded(
    kernel: str,
    old: str,
    new: str,
    has_cpu: bool,
    answer_of_6_1: tuple[str, str, str],
    answer_of_6_12: tuple[str, str, str],
) -> None:
    sim = machine(kernel=kernel)
    for group in ("g1", "g1/mon_groups/m1", "g2", "mon_groups/m0"):
        sim.mkdir(group)
    sim.add_task(A)
    sim.write("g1/tasks", f"{A}\n")
    sim.write("g1/mon_groups/m1/tasks", f"{A}\n")
    if has_cpu:
        sim.write("g1/cpus_list", "0\n")
        sim.write("g1/mon_groups/m1/cpus_list", "0\n")
    said = ask(sim, sim.rename, old, new)
    groups = sorted(path.removesuffix("tasks").rstrip("/") or "." for path in sim.tree() if path.endswith("tasks"))
    after = f"{' '.join(groups)}; {where(sim, {'A': A})}"
    assert (*said, after) == (answer_of_6_1 if kernel == "6.1" else answer_of_6_12)


@pytest.mark.parametrize(
    ("options", "kernel", "result"),
    [
        ((), "6.1", "ok"),
        (("cdp",), "6.1", "ok"),
        (("cdpl2",), "6.1", "EINVAL"),
        (("mba_MBps",), "6.1", "ok"),
        (("cdp", "mba_MBps"), "6.1", "ok"),
        (("debug",), "6.1", "EINVAL"),
        (("debug",), "6.12", "ok"),
        (("bogus",), "6.1", "EINVAL"),
        (("cdp=1",), "6.1", "EINVAL"),
    ],
)
def test_mount_options_are_accepted_as_recorded(options: tuple[str, ...], kernel: str, result: str) -> None:
    assert attempt(lambda: machine(*options, kernel=kernel)) == result


def test_both_mount_options_together_split_masks_and_count_in_mib() -> None:
    sim = machine("cdp", "mba_MBps")
    assert sim.read("schemata") == ("    MB:0=4294967295;1=4294967295\nL3DATA:0=7ff;1=7ff\nL3CODE:0=7ff;1=7ff\n")
    assert sim.listdir("info") == ["L3CODE", "L3DATA", "L3_MON", "MB", "last_cmd_status"]


@pytest.mark.parametrize(
    ("text", "result", "then"),
    [
        ("100000\n", "ok", "65536\n"),
        ("0\n", "ok", "0\n"),
        ("-1\n", "EINVAL", "262144\n"),
        ("x\n", "EINVAL", "262144\n"),
        ("999999999999\n", "ERANGE", "262144\n"),
    ],
)
def test_the_occupancy_threshold_accepts_numbers_as_recorded(text: str, result: str, then: str) -> None:
    sim = machine()
    path = "info/L3_MON/max_threshold_occupancy"
    assert ask(sim, sim.write, path, text) == (result, "ok\n")
    assert sim.read(path) == then
