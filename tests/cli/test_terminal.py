"""What is shown on a real terminal: no line is longer than it is wide, and every number is in one piece."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.show.test_readings import EVENTS
from tests.guests.lookalike import add_process
from tests.host.trees import SKYLAKE, Tree, below, make, monitoring

WIDTHS = [80, 100, 140, 200]
NUMBER = re.compile(r"[0-9]{7,}(?:\.[0-9]+)?")


def on_terminal(columns: int, *words: object) -> str:
    """The output of cachetune on a terminal with this many columns, without colors."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environment |= {"NO_COLOR": "1", "TERM": "xterm", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "cachetune.cli.main", *map(str, words)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.STDOUT, env=environment) as process:
        os.close(its)
        output = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # EIO: the program has closed its end
                break
            if not part:
                break
            output += part
    os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", output.decode()).replace("\r\n", "\n")


def telemetry(package: int) -> Tree:
    """The files of a package; the first two events have six decimals."""
    values = [f"{1234567000001 + 10**6 * n + package}" + (f".{n:06}" if n < 2 else "") for n in range(len(EVENTS))]
    return below(f"mon_data/mon_PERF_PKG_{package:02}", dict(zip(EVENTS, values, strict=True)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(
        tmp_path / "resctrl",
        {
            **SKYLAKE,
            **below("info/PERF_PKG_MON", monitoring(*EVENTS)),
            **telemetry(0),
            **telemetry(1),
            **below("cachetune-web-vcpus_0-1", {**telemetry(0), **telemetry(1)}),
        },
    )


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_number_of_nine_events_on_two_packages_is_broken(columns: int, root: Path) -> None:
    shown = on_terminal(columns, "monitor", "--resctrl", root, "--machine-name", "cachetune-web")
    written = [file.read_text().strip() for file in root.glob("cachetune-web*/mon_data/mon_PERF_PKG_*/*")]
    assert sorted(NUMBER.findall(shown)) == sorted(written)
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_host_fits(columns: int, root: Path) -> None:
    shown = on_terminal(columns, "show", "--resctrl", root)
    assert max(map(len, shown.splitlines()[1:])) <= columns  # the first line has the path
    assert "L3:0=7f0;1=7ff" in shown


@pytest.mark.parametrize("columns", WIDTHS)
def test_guests_fit(columns: int, root: Path, tmp_path: Path) -> None:
    proc, uuid = tmp_path / "proc", "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
    for pid in (1234567, 2345678):
        threads = {pid: "main"} | {pid + n: f"CPU {n - 1}/KVM" for n in range(1, 9, 2)}
        arguments = ["kvm", "-name", f"guest=a-guest-with-a-rather-long-name-{pid}", "-uuid", f"{uuid[:-7]}{pid}"]
        add_process(proc, pid, threads, arguments=arguments)
    where = ("--proc", proc, "--libvirt-run", tmp_path, "--cgroup", tmp_path)
    shown = on_terminal(columns, "guests", "--resctrl", root, *where)
    table = shown.partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= columns
    for whole in ("1234567", "1234568", "1234570", "1234572", "1234574", "0,2,4,6", "6f1e6fa3"):
        assert re.search(rf"(?<![0-9]){whole}(?![0-9])", table), whole
