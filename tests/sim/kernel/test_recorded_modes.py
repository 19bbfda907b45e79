"""Modes, pseudo-locking and last_cmd_status are as on real kernels."""

from collections.abc import Callable

import msgspec
import pytest

from cachetune.sim import SimulatedResctrl, load_profile
from tests.sim.kernel.asking import KERNELS, TASK, Clock, arrange, ask, attempt, machine, modes, write_masks
from tests.sim.kernel.recorded.modes import CDP, PLAIN, PSEUDO_LOCKING

BEFORE = "Unknown or unsupported mode\n"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("options", "name", "rows"), [((), "L3", PLAIN), (("cdp",), "L3DATA", CDP)])
def test_modes_change_as_recorded(
    kernel: str, options: tuple[str, ...], name: str, rows: list[tuple[str, str, str, str, str, str]]
) -> None:
    sim = machine(*options, kernel=kernel)
    sim.add_task(TASK)
    sim.mkdir("g1")
    sim.mkdir("g2")
    for path, text, result, status, after, has in rows:
        if path:
            arrange(sim, has)
            assert ask(sim, sim.write, path, text) == (result, status), text
            assert modes(sim, name) == after, text
        elif text.startswith("mkdir g3"):
            assert ask(sim, sim.mkdir, "g3") == (result, status)
            assert sim.read("g3/schemata") == after
            sim.rmdir("g3")
        else:
            for group, mask in ((".", "1"), ("g1", "6"), ("g2", "18")):
                write_masks(sim, group, f"0={mask};1={mask}")
            assert modes(sim, name) == after


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("options", "names"), [((), ("L3",)), (("cdp",), ("L3DATA", "L3CODE"))])
def test_a_new_group_gets_the_lowest_free_run(kernel: str, options: tuple[str, ...], names: tuple[str, ...]) -> None:
    sim = machine(*options, kernel=kernel)
    sim.mkdir("g1")
    write_masks(sim, ".", "0=1;1=1")
    write_masks(sim, "g1", "0=7fe;1=7fe")
    assert ask(sim, sim.write, "g1/mode", "exclusive\n") == ("EINVAL", "Schemata overlaps\n")
    write_masks(sim, "g1", "0=1fe;1=1fe")
    assert ask(sim, sim.write, "g1/mode", "exclusive\n") == ("ok", "ok\n")
    sim.mkdir("g3")
    assert sim.read("g3/schemata") == "    MB:0=100;1=100\n" + "".join(f"{name:>6}:0=001;1=001\n" for name in names)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("options", [(), ("cdp",)])
@pytest.mark.parametrize(
    ("mask", "result", "status", "usage", "new"),
    [
        ("7ff", "EINVAL", "Schemata overlaps\n", "XXSSSSSSSSS", "7ff"),
        ("1ff", "ok", "ok\n", "HHEEEEEEEEE", "600"),
    ],
)
def test_an_exclusive_default_group_leaves_the_hardwares_ways(
    kernel: str, options: tuple[str, ...], mask: str, result: str, status: str, usage: str, new: str
) -> None:
    sim = machine(*options, kernel=kernel)
    name = "L3DATA" if options else "L3"
    write_masks(sim, ".", f"0={mask};1={mask}")
    assert ask(sim, sim.write, "mode", "exclusive\n") == (result, status)
    assert sim.read(f"info/{name}/bit_usage") == f"0={usage};1={usage}\n"
    assert attempt(sim.mkdir, "g3") == "ok"
    assert sim.read("info/last_cmd_status") == status
    assert f"{name:>6}:0={new};1={new}\n" in sim.read("g3/schemata")


@pytest.mark.parametrize("kernel", KERNELS)
def test_mkdir_without_free_bits_reports_the_cache(kernel: str) -> None:
    plain = load_profile("cascade-lake")
    cache = msgspec.structs.replace(plain.caches[0], shareable="0")
    sim = SimulatedResctrl(msgspec.structs.replace(plain, caches=(cache,)), kernel=kernel, clock=Clock())
    sim.write("mode", "exclusive\n")
    assert ask(sim, sim.mkdir, "g1") == ("ENOSPC", "No space on L3:0\n")
    assert not sim.exists("g1")


@pytest.mark.parametrize("kernel", KERNELS)
def test_pseudo_locking_works_as_recorded(kernel: str) -> None:
    profile = msgspec.structs.replace(load_profile("cascade-lake"), pseudo_locking=True)
    sim = SimulatedResctrl(profile, kernel=kernel, clock=Clock())
    sim.add_task(TASK)
    sim.mkdir("g1")
    for path, text, result, status, after in PSEUDO_LOCKING:
        if "g1 has" in text:
            arrange(sim, text.rpartition("g1 has")[2].join(("g1 has", "")))
            assert ask(sim, sim.write, "g1/mode", "pseudo-locksetup\n") == (result, status), text
            if sim.exists("g1/mon_groups/m1"):
                sim.rmdir("g1/mon_groups/m1")
        elif text.startswith("root gets "):
            sim.write("schemata", text.removeprefix("root gets ") + "\n")
        elif text == "a pid to g1/tasks":
            assert ask(sim, sim.write, "g1/tasks", f"{TASK}\n") == (result, status)
        elif text.startswith("mkdir "):
            assert ask(sim, sim.mkdir, text.removeprefix("mkdir ")) == (result, status)
        else:
            assert ask(sim, sim.write, path, text) == (result, status), text
        shown = [sim.read(p).strip() for p in ("g1/mode", "g1/schemata", "g1/size", "info/L3/bit_usage")]
        assert tuple(shown) == after, text
    assert " ".join(sim.listdir("g1")) == "cpus cpus_list mode mon_data mon_groups schemata size tasks"
    assert ask(sim, sim.rmdir, "g1") == ("ok", "ok\n")
    assert sim.read("info/L3/bit_usage") == "0=XXSSSSS0000;1=XXSSSSS0000\n"


CLEARING: list[tuple[str, Callable[[SimulatedResctrl], object], str, str, tuple[str, str] | None]] = [
    ("reading the status", lambda s: s.read("info/last_cmd_status"), "ok", BEFORE, None),
    ("reading schemata", lambda s: s.read("schemata"), "ok", BEFORE, None),
    ("schemata", lambda s: s.write("schemata", "MB:0=100\n"), "ok", "ok\n", None),
    ("schemata without newline", lambda s: s.write("schemata", "MB:0=100"), "EINVAL", BEFORE, None),
    ("mode", lambda s: s.write("mode", "shareable\n"), "ok", "ok\n", None),
    ("tasks", lambda s: s.write("tasks", "1\n"), "ok", "ok\n", None),
    (
        "text to tasks",
        lambda s: s.write("tasks", "abc\n"),
        "EINVAL",
        BEFORE,
        ("EINVAL", "Task list parsing error pid abc\n"),
    ),
    ("-1 to tasks", lambda s: s.write("tasks", "-1\n"), "EINVAL", BEFORE, ("EINVAL", "Invalid pid -1\n")),
    (
        "a monitor group's tasks",
        lambda s: s.write("g1/mon_groups/m1/tasks", "999999\n"),
        "ESRCH",
        "No task 999999\n",
        ("ESRCH", "No task 999999\nError while processing task 999999\n"),
    ),
    ("cpus_list", lambda s: s.write("cpus_list", "0-1\n"), "ok", BEFORE, None),
    ("x to cpus_list", lambda s: s.write("cpus_list", "x\n"), "EINVAL", BEFORE + "Bad CPU list/mask\n", None),
    ("mkdir", lambda s: s.mkdir("g2"), "ok", BEFORE, None),
    ("mkdir of what is there", lambda s: s.mkdir("g2"), "EEXIST", BEFORE, None),
    ("mkdir of a monitor group", lambda s: s.mkdir("g2/mon_groups/m"), "ok", BEFORE, None),
    ("mkdir in the wrong place", lambda s: s.mkdir("g2/sub"), "EPERM", BEFORE, None),
    ("rmdir of a monitor group", lambda s: s.rmdir("g2/mon_groups/m"), "ok", BEFORE, None),
    ("rmdir", lambda s: s.rmdir("g2"), "ok", BEFORE, None),
    ("rmdir of info", lambda s: s.rmdir("info"), "EPERM", BEFORE, None),
    ("rename", lambda s: s.rename("g1", "g3"), "EPERM", BEFORE, ("EPERM", "Source must be a MON group\n")),
    ("threshold", lambda s: s.write("info/L3_MON/max_threshold_occupancy", "65536\n"), "ok", BEFORE, None),
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_last_cmd_status_is_cleared_and_appended_to_as_recorded(kernel: str) -> None:
    sim = machine(kernel=kernel)
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m1")
    for what, action, result, status, newer in CLEARING:
        attempt(sim.write, "mode", "bogus\n")
        assert sim.read("info/last_cmd_status") == BEFORE
        said = attempt(action, sim), sim.read("info/last_cmd_status")
        assert said == ((result, status) if newer is None or kernel == "6.1" else newer), what
