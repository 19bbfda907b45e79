"""Writes to schemata are answered as real kernels answered them."""

import pytest

from cachetune.sim import SimulatedResctrl
from tests.sim.kernel.asking import KERNELS, ask, machine
from tests.sim.kernel.recorded.schemata import CDP, MBPS, PLAIN

ROWS = [
    (kernel, options, *row)
    for kernel in KERNELS
    for options, rows in (((), PLAIN), (("cdp",), CDP), (("mba_MBps",), MBPS))
    for row in rows
]


def _with_group(kernel: str, *options: str) -> SimulatedResctrl:
    sim = machine(*options, kernel=kernel)
    sim.mkdir("g1")
    return sim


@pytest.mark.parametrize(("kernel", "options", "text", "result", "status", "after"), ROWS)
def test_a_write_is_answered_as_recorded(
    kernel: str, options: tuple[str, ...], text: str, result: str, status: str, after: str | None
) -> None:
    sim = _with_group(kernel, *options)
    before = sim.read("g1/schemata")
    assert ask(sim, sim.write, "g1/schemata", text) == (result, status)
    assert sim.read("g1/schemata") == (before if after is None else after)


@pytest.mark.parametrize("kernel", KERNELS)
def test_writes_without_mb_are_answered_the_same_with_mba_mbps(kernel: str) -> None:
    for text, result, status, _ in PLAIN:
        if "MB" not in text:
            sim = _with_group(kernel, "mba_MBps")
            assert ask(sim, sim.write, "g1/schemata", text) == (result, status)


@pytest.mark.parametrize(("option", "name"), [((), "L3"), (("cdp",), "L3DATA")])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_write_larger_than_a_page_is_refused(kernel: str, option: tuple[str, ...], name: str) -> None:
    sim = _with_group(kernel, *option)
    assert ask(sim, sim.write, "g1/schemata", f"{name}:0=f;" * 700 + "\n") == ("E2BIG", "ok\n")
    entry, newline = f"{name}:0=f", "\n"
    padded = entry + " " * (4096 - len(entry) - 1) + newline
    assert ask(sim, sim.write, "g1/schemata", padded) == ("ok", "ok\n")
    assert ask(sim, sim.write, "g1/schemata", " " + padded) == ("E2BIG", "ok\n")


@pytest.mark.parametrize(("option", "name"), [((), "L3"), (("cdp",), "L3DATA")])
@pytest.mark.parametrize("kernel", KERNELS)
def test_each_half_of_a_split_line_is_refused(kernel: str, option: tuple[str, ...], name: str) -> None:
    sim = _with_group(kernel, *option)
    assert ask(sim, sim.write, "g1/schemata", f"{name}:0=") == ("EINVAL", "ok\n")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("mask", "size"), [("1", 1525201), ("3", 3050402), ("f", 6100804), ("7ff", 16777211)])
def test_size_is_bytes_per_way_times_bits(kernel: str, mask: str, size: int) -> None:
    sim = _with_group(kernel)
    sim.write("g1/schemata", f"L3:0={mask}\n")
    assert sim.read("g1/size") == f"    MB:0=100;1=100\n    L3:0={size};1=16777211\n"


@pytest.mark.parametrize("mask", ["1", "3", "f", "7ff"])
def test_size_with_cdp_has_data_and_code(mask: str) -> None:
    sim = _with_group("6.1", "cdp")
    sim.write("g1/schemata", f"L3DATA:0={mask}\n")
    size = 1525201 * int(mask, 16).bit_count()
    assert sim.read("g1/size") == (f"    MB:0=100;1=100\nL3DATA:0={size};1=16777211\nL3CODE:0=16777211;1=16777211\n")


@pytest.mark.parametrize(("option", "name"), [((), "L3"), (("cdp",), "L3DATA")])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_new_group_does_not_copy_the_default_group(kernel: str, option: tuple[str, ...], name: str) -> None:
    sim = machine(*option, kernel=kernel)
    full = sim.read("schemata"), sim.read("size")
    sim.write("schemata", f"{name}:0=f\n")
    sim.mkdir("g1")
    assert (sim.read("g1/schemata"), sim.read("g1/size")) == full


@pytest.mark.parametrize("path", ["g1/size", "info/last_cmd_status", "mon_data/mon_L3_00/llc_occupancy"])
def test_read_only_files_refuse_writes(path: str) -> None:
    sim = _with_group("6.12")
    assert ask(sim, sim.write, path, "1\n") == ("EACCES", "ok\n")


def test_chmod_of_a_file_and_of_a_group_works() -> None:
    sim = _with_group("6.12")
    for path, mode in (("g1/schemata", 0o600), ("g1", 0o700)):
        assert ask(sim, sim.chmod, path, mode) == ("ok", "ok\n")
        assert sim.stat_mode(path) & 0o7777 == mode
