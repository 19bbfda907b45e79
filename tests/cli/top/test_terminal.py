"""The live view in real terminals: on a mount with three real QEMUs, and with terminals that end in every way."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import waiting
from tests.cli.top.tmux import ROOT, terminal
from tests.guests.qemu import Qemu, running
from tests.guests.test_real_qemu_compaction import Host
from tests.sim.fuse.mounted import CACHETUNE, mounted, need_fuse, run

pytestmark = pytest.mark.slow

NAMES = tuple(f"{name}{os.getpid()}" for name in ("web", "db", "mail"))
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
TAKE_TERMINAL = (sys.executable, "-c", _TAKE)
WORKLOADS = f"""
[[workload]]
guest = "{NAMES[0]}"
kind = "reuse"
working_set = "60MiB"
accesses = "4GB/s"
caches = [0]

[[workload]]
guest = "{NAMES[1]}"
kind = "reuse"
working_set = "2MiB"
accesses = "500MiB/s"

[[workload]]
guest = "{NAMES[2]}"
kind = "reuse"
working_set = "1KiB"
accesses = "0MiB/s"
"""

MONITORED = "<cputune><cachetune vcpus='0-3'><monitor level='3' vcpus='0-3'/></cachetune></cputune>"


def row_of(name: str, screen: list[str]) -> str:
    return next((line for line in screen if f" {name} " in line), "")


@contextmanager
def three_guests(directory: Path) -> Iterator[tuple[Host, list[Qemu]]]:
    """A mounted host with a busy guest, one that its ways are enough for, and one that rests."""
    need_fuse()
    for name in NAMES:
        (directory / name).mkdir()
    (directory / "workloads.toml").write_text(WORKLOADS)
    options = ("--tids", "real", "--workload", directory / "workloads.toml", "--sysfs", directory / "sysfs")
    with (
        mounted(directory / "mount", *options, profile="skylake-2s") as mount,
        running(directory / NAMES[0], NAMES[0], uuid=f"{uuid.uuid4()}") as web,
        running(directory / NAMES[1], NAMES[1], uuid=f"{uuid.uuid4()}") as db,
        running(directory / NAMES[2], NAMES[2], uuid=f"{uuid.uuid4()}") as mail,
    ):
        host = Host(mount, directory)
        guests = [web, db, mail]
        for qemu, ways in zip(guests, (3, 3, 1), strict=True):
            applied = host.tune("apply", qemu, ways, "--shrink-default", "--yes")
            assert applied.returncode == 0, applied.stderr
        yield host, guests


def test_it_shows_three_real_guests_as_they_are(tmp_path: Path) -> None:
    web, db, mail = NAMES
    with three_guests(tmp_path) as (host, _):
        (tmp_path / "guests.d").mkdir()
        where = ("--resctrl", host.mount.root, "--sysfs", tmp_path / "sysfs", "--run", tmp_path / "run")
        where = (*where, "--guests-d", tmp_path / "guests.d")
        command = (*CACHETUNE, "top", *where, "--interval", "0.2", "--sort", "total", "--filter", f"{os.getpid()}")
        with terminal([*command, "--per-cache"], 80, 24) as screen:
            screen.wait_for("CLOSIDs: 4 of 8 used, 4 left", web, db, mail)
            for name, state in ((web, "full"), (db, "in use"), (mail, "idle")):
                screen.wait_until(lambda s=state, n=name: row_of(n, screen.screen).endswith(s), state)
            assert re.search(rf"▸ {web} +0 +██████████ +6\.[78]/6\.8 +[0-9.]+ ", row_of(web, screen.screen))
            assert max(map(len, screen.screen)) <= 80
            assert "\x1b[38;" not in screen.escapes, "more than 16 colors"

            screen.press("c")
            screen.wait_for("every 0.2 s")
            screen.wait_until(lambda: row_of(web, screen.screen).endswith("full L3 0"), "the sum")
            screen.press("e")
            screen.wait_for("vCPUs 0-3", "L3 1")
            screen.press("?")
            screen.wait_for("unfold the selected row")
            screen.press("q")
            screen.wait_for("vCPUs 0-3")

            screen.resize(200, 60)
            screen.wait_for("TOTAL MiB/s", "LOCAL MiB/s", "BANDWIDTH, LAST 2 MIN")
            screen.wait_until(lambda: re.search("[▁▂▃▄▅▆▇█]{2}", row_of(web, screen.screen)[110:]), "a trail")
            assert any(re.search("[-.]{8}[A-Z]{3}", line) for line in screen.screen), "the ways of a cache"

            assert host.cachetune("remove", "--guest", mail, "--yes").returncode == 0
            screen.wait_until(lambda: "no groups" in row_of(mail, screen.screen), "a row without groups")
            (tmp_path / f"guests.d/{mail}.xml").write_text(MONITORED)
            screen.wait_until(lambda: row_of(mail, screen.screen).endswith("drifted"), "its request")
            screen.press("q")
            screen.wait_until(lambda: screen.exit_code == "0", "exit code 0")
            assert "Traceback" not in "\n".join(screen.screen)


@contextmanager
def mountable(directory: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a profile, always at the same place, which it returns."""
    need_fuse()
    root = directory / "resctrl"
    root.mkdir()

    def mount(profile: str) -> Path:
        done = run("sim", "mount", root, "--run", directory / profile, "--profile", profile, "--background")
        assert done.returncode == 0, done.stderr
        return root

    try:
        yield mount
    finally:
        unmount(root)


def unmount(root: Path) -> None:
    """Unmount it even if it is in use."""
    waiting.run(["fusermount3", "-u", "-z", root], check=True)


def test_it_says_that_resctrl_is_not_mounted_and_recovers_once_it_is(tmp_path: Path) -> None:
    with mountable(tmp_path) as mount:
        command = [*CACHETUNE, "top", "--resctrl", mount("skylake-2s"), "--interval", "0.2"]
        with terminal(command, 80, 24) as screen:
            screen.wait_for("default group", "RMIDs: 1 of 144")
            unmount(tmp_path / "resctrl")
            screen.wait_for("not a mounted resctrl", "default group")
            mount("milan")
            screen.wait_for("RMIDs: 1 of 256")
            screen.wait_until(lambda: "not a mounted" not in screen.words, "its end")
            screen.press("q")
            screen.wait_until(lambda: screen.exit_code == "0", "exit code 0")


def test_with_no_color_there_is_no_color_and_every_state_is_a_word() -> None:
    command = [*CACHETUNE, "top", "--host", "sim:skylake-2s", "--interval", "0.2"]
    with terminal(command, 80, 24, NO_COLOR="1") as screen:
        screen.wait_for("in use")
        styles = set(re.findall(r"\x1b\[([0-9;]*)m", screen.escapes))
        assert {part for style in styles for part in style.split(";")} <= {"", "0", "1", "2", "7", "39", "49"}
    with terminal(command, 80, 24) as screen:
        screen.wait_for("in use")
        assert "\x1b[32m" in screen.escapes


def test_in_a_terminal_without_unicode_pictures_are_ascii() -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "vt100"}
    with terminal([*CACHETUNE, "top", "--host", "sim:milan", "--interval", "0.2"], 80, 24, **plain) as screen:
        screen.wait_for("*:::::::::", "> default group")
        assert "\n".join(screen.screen).isascii()


class Pty:
    """A terminal whose other side is this process, which may stop to read, or close it."""

    def __init__(self, *, controlling: bool) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        command = [*CACHETUNE, "top", "--host", "sim:skylake-2s", "--interval", "0.1"]
        env = os.environ | {"PYTHONPATH": f"{ROOT}", "TERM": "xterm", "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(
            [*(TAKE_TERMINAL if controlling else ()), *command],
            **dict.fromkeys(("stdin", "stdout"), slave),
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
        self._slave = slave

    def read_until(self, text: bytes) -> bytes:
        """Read what it shows until there is a text in it."""
        shown = b""
        while text not in shown:
            waiting.readable(self.master, f"{text!r}", pids=[self.process.pid])
            shown += os.read(self.master, 1 << 16)
        return shown

    def drain(self) -> bytes:
        """Read the rest."""
        os.close(self._slave)
        shown = b""
        while True:
            try:
                part = os.read(self.master, 1 << 16)
            except OSError:
                return shown
            if not part:
                return shown
            shown += part

    def finish(self) -> tuple[int, str]:
        """The exit code and stderr."""
        _, errors = waiting.finish(self.process)
        return self.process.returncode, errors.decode()

    def close(self) -> None:
        """Close this side of the terminal; the other process may still have it open."""
        os.close(self._slave)
        os.close(self.master)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_before(number: signal.Signals) -> None:
    one = Pty(controlling=True)
    one.read_until(b"default group")
    one.process.send_signal(number)
    shown = b""
    while b"\x1b[?1049l" not in shown:
        shown += one.read_until(b"l")
    waiting.until(lambda: termios.tcgetattr(one._slave) == one.before, "the terminal's settings")
    one.drain()
    assert one.finish() == (0, "")


def test_ctrl_c_is_a_key_that_ends_it() -> None:
    one = Pty(controlling=True)
    one.read_until(b"default group")
    os.write(one.master, b"\x03")
    one.drain()
    assert one.finish() == (0, "")


@pytest.mark.parametrize("controlling", [True, False])
def test_it_ends_when_its_terminal_is_closed(*, controlling: bool) -> None:
    """With a controlling terminal there is a SIGHUP, without one there are only errors."""
    one = Pty(controlling=controlling)
    one.read_until(b"default group")
    one.close()
    assert one.finish() == (0, "")


def test_a_signal_ends_it_although_its_terminal_takes_nothing_any_longer() -> None:
    """No one reads, as behind a connection that hangs: its writes block, and soon everything that wants to write."""
    one = Pty(controlling=True)
    one.read_until(b"default group")
    waiting.until(lambda: is_blocked_in_write(one.process.pid), "a write that blocks", pids=[one.process.pid])
    one.process.send_signal(signal.SIGTERM)
    assert one.finish() == (0, "")
    os.close(one.master)


def threads_of(pid: int) -> set[str]:
    return {path.name for path in Path(f"/proc/{pid}/task").iterdir()}


def is_blocked_in_write(pid: int) -> bool:
    waits = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/wchan")]
    return any("n_tty_write" in wait or "wait_woken" in wait for wait in waits)


def test_sigcont_alone_does_not_start_it_a_second_time() -> None:
    one = Pty(controlling=True)
    one.read_until(b"default group")
    threads = threads_of(one.process.pid)
    for _ in range(3):
        one.process.send_signal(signal.SIGCONT)
        one.read_until(b"MiB/s")
    assert threads_of(one.process.pid) == threads
    os.write(one.master, b"q")
    one.drain()
    assert one.finish() == (0, "")
