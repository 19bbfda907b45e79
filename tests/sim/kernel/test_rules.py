"""Rules that are in no recorded table: other processors, the order of checks, limbo, unusual paths."""

import errno

import msgspec
import pytest

from cachetune.errors import ProfileNotFoundError, ResctrlError, UnknownVersionError
from cachetune.sim import Profile, SimulatedResctrl, load_profile, profile_names
from cachetune.sim.rules import KERNELS as ALL_KERNELS
from tests.sim.kernel.asking import KERNELS, Clock, ask, attempt, machine, where


def _with_rmids(profile: str, rmids: int) -> Profile:
    plain = load_profile(profile)
    assert plain.monitoring is not None
    return msgspec.structs.replace(plain, monitoring=msgspec.structs.replace(plain.monitoring, rmids=rmids))


@pytest.mark.parametrize(
    ("profile", "text", "result", "status"),
    [
        ("haswell", "L3:0=1\n", "EINVAL", "Need at least 2 bits in the mask\n"),
        ("haswell", "L3:0=3\n", "ok", "ok\n"),
        ("haswell", "MB:0=50\n", "EINVAL", "Unknown or unsupported resource name 'MB'\n"),
        ("milan", "L3:0=5\n", "ok", "ok\n"),
        ("milan", "L3:2=0\n", "ok", "ok\n"),
        ("milan", "L3:1=f\n", "EINVAL", "ok\n"),
        ("milan", "L3:14=10000\n", "EINVAL", "Mask out of range\n"),
        ("milan", "MB:0=0\n", "ok", "ok\n"),
        ("milan", "MB:0=17\n", "ok", "ok\n"),
        ("milan", "MB:0=2049\n", "EINVAL", "MB value 2049 out of range [0,2048]\n"),
        ("genoa", "SMBA:11=64\n", "ok", "ok\n"),
        ("genoa", "SMBA:0=9999\n", "EINVAL", "MB value 9999 out of range [0,4096]\n"),
        ("atom-l2", "L2:0=f;1=f0\n", "ok", "ok\n"),
        ("atom-l2", "L3:0=f\n", "EINVAL", "Unknown or unsupported resource name 'L3'\n"),
        ("sapphire-rapids", "L2:31=3\nL3:0=7\n", "ok", "ok\n"),
        ("sapphire-rapids-cdp", "L3CODE:0=7\n", "ok", "ok\n"),
        ("sapphire-rapids-mbps", "MB:0=4294967295\n", "ok", "ok\n"),
        ("sapphire-rapids-mbps", "MB:0=4294967296\n", "EINVAL", "Invalid MB value 4294967296\n"),
        ("monitor-only", "L3:0=f\n", "EINVAL", "Unknown or unsupported resource name 'L3'\n"),
    ],
)
def test_each_processor_accepts_its_own_values(profile: str, text: str, result: str, status: str) -> None:
    sim = SimulatedResctrl(load_profile(profile))
    assert ask(sim, sim.write, "schemata", text) == (result, status)


@pytest.mark.parametrize(
    ("profile", "shown"),
    [
        ("haswell", "L3:0=fffff\n"),
        ("atom-l2", "L2:0=ff;1=ff\n"),
        ("icelake", "    MB:0=100\n    L3:0=fff\n"),
        ("monitor-only", ""),
        ("allocation-only", "    L3:0=fff\n"),
    ],
)
def test_schemata_is_aligned_for_the_longest_name_and_the_widest_value(profile: str, shown: str) -> None:
    assert SimulatedResctrl(load_profile(profile)).read("schemata") == shown


def test_all_values_have_the_width_of_the_widest_resource() -> None:
    lines = SimulatedResctrl(load_profile("sapphire-rapids")).read("schemata").splitlines()
    assert lines[0] == "    MB:0= 100"
    assert lines[1].startswith("    L2:0=ffff;1=ffff;")
    assert lines[2] == "    L3:0=7fff"


def test_slow_memory_needs_6_12() -> None:
    assert SimulatedResctrl(load_profile("genoa")).read("schemata").startswith("  SMBA:0=4096;")
    assert SimulatedResctrl(load_profile("genoa"), kernel="6.1").read("schemata").startswith("    MB:0=4096;")


def test_masks_with_holes_on_intel_need_6_12() -> None:
    plain = load_profile("cascade-lake")
    profile = msgspec.structs.replace(plain, caches=(msgspec.structs.replace(plain.caches[0], sparse=True),))
    answers = {k: attempt(SimulatedResctrl(profile, kernel=k).write, "schemata", "L3:0=5\n") for k in KERNELS}
    assert answers == {"6.1": "EINVAL", "6.12": "ok"}


def test_a_first_run_below_the_minimum_is_refused_where_holes_are_allowed() -> None:
    plain = load_profile("milan")
    cache = msgspec.structs.replace(plain.caches[0], min_cbm_bits=2)
    sim = SimulatedResctrl(msgspec.structs.replace(plain, caches=(cache,)))
    assert ask(sim, sim.write, "schemata", "L3:0=31\n") == ("EINVAL", "Need at least 2 bits in the mask\n")


def test_mb_in_mib_applies_immediately_even_if_a_later_line_is_invalid() -> None:
    sim = machine("mba_MBps")
    assert attempt(sim.write, "schemata", "MB:0=77\nL3:0=0\n") == "EINVAL"
    assert sim.read("schemata") == "    MB:0= 77;1=4294967295\n    L3:0=7ff;1=7ff\n"


@pytest.mark.parametrize(("kernel", "said"), [("6.1", "Out of RMIDs\n"), ("6.12", "Out of CLOSIDs\n")])
def test_the_kernels_allocate_rmid_and_closid_in_different_orders(kernel: str, said: str) -> None:
    sim = SimulatedResctrl(_with_rmids("cascade-lake", 8), kernel=kernel)
    for number in range(7):
        sim.mkdir(f"g{number}")
    assert ask(sim, sim.mkdir, "more") == ("ENOSPC", said)


@pytest.mark.parametrize(("kernel", "result"), [("6.1", "EBUSY"), ("6.12", "ok")])
def test_a_refused_control_group_leaves_an_rmid_in_limbo_on_6_1(kernel: str, result: str) -> None:
    clock = Clock()
    sim = SimulatedResctrl(_with_rmids("cascade-lake", 9), kernel=kernel, clock=clock)
    for number in range(7):
        sim.mkdir(f"g{number}")
    assert attempt(sim.mkdir, "more") == "ENOSPC"
    assert attempt(sim.mkdir, "mon_groups/m") == result
    clock.now += 1.5
    assert attempt(sim.mkdir, "mon_groups/n") == ("ok" if kernel == "6.1" else "ENOSPC")


@pytest.mark.parametrize(("kernel", "result"), [("6.1", "ok"), ("6.12", "EBUSY")])
def test_with_one_cache_6_1_frees_an_empty_rmid_immediately(kernel: str, result: str) -> None:
    sim = SimulatedResctrl(_with_rmids("icelake", 2), kernel=kernel, clock=Clock())
    sim.mkdir("mon_groups/m")
    sim.rmdir("mon_groups/m")
    assert attempt(sim.mkdir, "mon_groups/n") == result


def test_an_rmid_stays_in_limbo_until_its_lines_are_evicted() -> None:
    clock = Clock()
    sim = SimulatedResctrl(_with_rmids("cascade-lake", 2), clock=clock)
    sim.write("info/L3_MON/max_threshold_occupancy", "65536\n")
    sim.mkdir("g1")
    sim.add_task(5)
    sim.write("g1/tasks", "5")
    clock.now += 10
    sim.rmdir("g1")
    results = []
    for _ in range(4):
        clock.now += 0.6
        results.append(attempt(sim.mkdir, "g1"))
    assert results == ["EBUSY", "EBUSY", "EBUSY", "ok"]


def test_with_a_threshold_of_zero_no_rmid_leaves_limbo() -> None:
    clock = Clock()
    sim = SimulatedResctrl(_with_rmids("cascade-lake", 2), clock=clock)
    sim.write("info/L3_MON/max_threshold_occupancy", "0\n")
    sim.mkdir("g1")
    sim.rmdir("g1")
    clock.now += 100_000
    assert ask(sim, sim.mkdir, "g1") == ("EBUSY", "Out of RMIDs\n")
    sim.write("info/L3_MON/max_threshold_occupancy", "65536\n")
    clock.now += 1
    assert attempt(sim.mkdir, "g1") == "ok"


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_monitor_only_host_has_only_monitor_groups(kernel: str) -> None:
    sim = SimulatedResctrl(load_profile("monitor-only"), kernel=kernel)
    assert ask(sim, sim.mkdir, "g1") == ("EPERM", "ok\n")
    assert ask(sim, sim.mkdir, "mon_groups/m") == ("ok", "ok\n")
    sim.write("mon_groups/m/tasks", "1")
    assert (sim.read("tasks"), sim.read("mon_groups/m/tasks")) == ("", "1\n")
    assert (sim.read("schemata"), sim.read("size"), sim.read("mode")) == ("", "", "shareable\n")
    assert ask(sim, sim.write, "mode", "exclusive\n") == ("EINVAL", "Cannot be exclusive without CAT/CDP\n")


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_allocation_only_host_has_no_monitoring_files(kernel: str) -> None:
    sim = SimulatedResctrl(load_profile("allocation-only"), kernel=kernel)
    sim.mkdir("g1")
    assert sim.listdir("info") == ["L3", "last_cmd_status"]
    for group in ("", "g1"):
        assert not {"mon_groups", "mon_data"} & set(sim.listdir(group))
    assert attempt(sim.mkdir, "mon_groups/m") == "ENOENT"
    made = sum(attempt(sim.mkdir, f"h{n}") == "ok" for n in range(20))
    assert made == 14


@pytest.mark.parametrize(
    ("text", "result", "status", "chosen"),
    [
        ("0=0x33;2=0x33\n", "ok", "ok\n", "0=0x33;2=0x33;4=0x7f"),
        ("0=33\n", "ok", "ok\n", "0=0x33;2=0x7f;4=0x7f"),
        ("0=33;x=1\n", "EINVAL", "Missing '=' or non-numeric domain id\n", "0=0x33;2=0x7f;4=0x7f"),
        ("0=zz\n", "EINVAL", "Non-numeric event configuration value\n", "0=0x7f;2=0x7f;4=0x7f"),
        (
            "0=80\n",
            "EINVAL",
            "Invalid event configuration: max valid mask is 0x7f\n",
            "0=0x7f;2=0x7f;4=0x7f",
        ),
        ("1=1\n", "EINVAL", "ok\n", "0=0x7f;2=0x7f;4=0x7f"),
        ("0=33", "EINVAL", "ok\n", "0=0x7f;2=0x7f;4=0x7f"),
    ],
)
def test_amd_events_are_configurable(text: str, result: str, status: str, chosen: str) -> None:
    sim = SimulatedResctrl(load_profile("milan"))
    path = "info/L3_MON/mbm_total_bytes_config"
    assert ask(sim, sim.write, path, text) == (result, status)
    assert sim.read(path).startswith(chosen)
    assert "mbm_total_bytes_config" in sim.read("info/L3_MON/mon_features").split()


def test_6_1_has_no_configurable_events() -> None:
    sim = SimulatedResctrl(load_profile("milan"), kernel="6.1")
    assert sim.read("info/L3_MON/mon_features") == "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"
    assert not sim.exists("info/L3_MON/mbm_total_bytes_config")


def test_l2_can_be_split_without_l3() -> None:
    sim = SimulatedResctrl(load_profile("sapphire-rapids").mounted("cdpl2"))
    assert [name for name in sim.listdir("info") if name.startswith("L")] == ["L2CODE", "L2DATA", "L3", "L3_MON"]
    assert sim.read("info/L2CODE/num_closids") == "4\n"
    assert sum(attempt(sim.mkdir, f"g{n}") == "ok" for n in range(9)) == 3


@pytest.mark.parametrize(
    ("operation", "arguments", "number"),
    [
        ("read", ("absent",), errno.ENOENT),
        ("read", ("g1",), errno.EISDIR),
        ("read", ("schemata/x",), errno.ENOTDIR),
        ("listdir", ("schemata",), errno.ENOTDIR),
        ("listdir", ("absent",), errno.ENOENT),
        ("write", ("g1", "x"), errno.EISDIR),
        ("write", ("absent", "x"), errno.ENOENT),
        ("mkdir", ("",), errno.EEXIST),
        ("mkdir", ("schemata/x",), errno.ENOTDIR),
        ("mkdir", ("x" * 5000,), errno.ENAMETOOLONG),
        ("rename", ("absent", "x"), errno.ENOENT),
        ("rename", ("g1", "absent/x"), errno.ENOENT),
        ("rename", ("absent/x", "schemata/x"), errno.ENOENT),
        ("rename", ("schemata/x", "absent/x"), errno.ENOTDIR),
        ("rename", ("g1", "schemata/x"), errno.ENOTDIR),
        ("rename", ("g1", "g1/mon_groups/x"), errno.EINVAL),
        ("rename", ("g1/mon_groups/m", "g1"), errno.ENOTEMPTY),
        ("rename", ("g1", "schemata"), errno.ENOTDIR),
        ("rename", ("schemata", "g1"), errno.EISDIR),
        ("rename", ("", "g1"), errno.EXDEV),
        ("rename", ("g1", ""), errno.EXDEV),
        ("rename", ("schemata", "mon_groups/x"), errno.EPERM),
        ("rename", ("g1/mon_groups/m", "g1/mon_groups/mon_groups"), errno.EPERM),
    ],
)
def test_nonexistent_paths_are_refused(operation: str, arguments: tuple[str, ...], number: int) -> None:
    sim = machine()
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    with pytest.raises(ResctrlError) as caught:
        getattr(sim, operation)(*arguments)
    assert caught.value.errno == number


def test_a_monitor_group_with_cpus_can_be_renamed_in_place() -> None:
    sim = machine()
    sim.mkdir("mon_groups/m")
    sim.write("mon_groups/m/cpus_list", "0\n")
    assert ask(sim, sim.rename, "mon_groups/m", "mon_groups/n") == ("ok", "ok\n")
    assert sim.read("mon_groups/n/cpus_list") == "0\n"


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_group_in_pseudo_locksetup_frees_its_rmid(kernel: str) -> None:
    clock = Clock()
    profile = msgspec.structs.replace(_with_rmids("cascade-lake", 2), pseudo_locking=True)
    sim = SimulatedResctrl(profile, kernel=kernel, clock=clock)
    sim.mkdir("g1")
    sim.write("g1/mode", "pseudo-locksetup\n")
    clock.now += 1.5
    sim.mkdir("mon_groups/m")
    assert ask(sim, sim.write, "g1/mode", "shareable\n") == ("ENOSPC", "Out of RMIDs\n")
    sim.rmdir("mon_groups/m")
    clock.now += 1.5
    assert ask(sim, sim.write, "g1/mode", "shareable\n") == ("ok", "ok\n")


def test_renaming_something_to_itself_does_nothing() -> None:
    sim = machine()
    sim.mkdir("mon_groups/m")
    sim.mkdir("g1")
    before = sim.tree()
    for path in ("mon_groups/m", "g1", "schemata", ""):
        sim.rename(path, path)
    assert sim.tree() == before


def test_a_new_task_starts_in_its_parents_monitor_group() -> None:
    sim = machine()
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    sim.add_task(5)
    sim.write("g1/tasks", "5")
    sim.write("g1/mon_groups/m/tasks", "5")
    sim.add_task(6, parent=5)
    assert where(sim, {"A": 5, "B": 6}) == "A in g1/mon_groups/m, g1; B in g1/mon_groups/m, g1"


def test_last_cmd_status_holds_512_bytes() -> None:
    sim = machine()
    sim.write("mode", "shareable\n")
    attempt(sim.write, "schemata", "X" * 600 + ":0=1\n")
    text = sim.read("info/last_cmd_status")
    assert len(text) == 511
    assert text.startswith("Unknown or unsupported resource name 'XXX")
    attempt(sim.write, "cpus_list", "x\n")
    assert sim.read("info/last_cmd_status") == text


def test_bytes_that_are_not_text_are_preserved() -> None:
    sim = machine()
    attempt(sim.write, "schemata", "ä\udcff:0=1\n")
    assert sim.read("info/last_cmd_status") == "Unknown or unsupported resource name 'ä\udcff'\n"


def test_an_error_has_only_its_own_operations_message() -> None:
    sim = machine()
    attempt(sim.write, "mode", "bogus\n")
    with pytest.raises(ResctrlError) as silent:
        sim.mkdir("info/x")
    assert silent.value.kernel_says == ""
    with pytest.raises(ResctrlError) as speaking:
        sim.write("tasks", "999")
    assert speaking.value.kernel_says == "No task 999; Error while processing task 999"
    assert speaking.value.written == "999"


@pytest.mark.parametrize(
    ("name", "kernel"),
    [(name, kernel) for name in profile_names() for kernel in ALL_KERNELS if load_profile(name).vendor != "arm"]
    + [("kunpeng-920-mpam", "7.3")],
)
def test_the_resource_with_the_fewest_closids_limits_the_groups(name: str, kernel: str) -> None:
    sim = SimulatedResctrl(load_profile(name), kernel=kernel)
    infos = [f"info/{r}/num_closids" for r in sim.listdir("info") if sim.exists(f"info/{r}/num_closids")]
    expected = min((int(sim.read(path)) for path in infos), default=1) - 1
    assert sum(attempt(sim.mkdir, f"g{n}") == "ok" for n in range(40)) == expected


def test_an_unknown_profile_or_kernel_is_reported() -> None:
    with pytest.raises(ProfileNotFoundError, match="unknown simulated host 'pentium'"):
        load_profile("pentium")
    with pytest.raises(UnknownVersionError, match=r"kernel version '2\.6'"):
        SimulatedResctrl(load_profile("milan"), kernel="2.6")
