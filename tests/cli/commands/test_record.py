"""``cachetune record`` as a process: how it starts, ends and is refused."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachetune.cli.main import command
from cachetune.errors import InputError
from cachetune.watch.history import DEFAULT_DB, History
from tests import waiting
from tests.agent.live import notify_socket
from tests.sim.fuse.mounted import CACHETUNE, ROOT, run

SIMULATED = ("--host", "sim:skylake-2s")


@contextmanager
def recording(db: Path, tmp: Path) -> Iterator["subprocess.Popen[str]"]:
    """A recorder that has read the counters once."""
    words = [*CACHETUNE, "record", *SIMULATED, "--db", str(db), "--interval", "0.1"]
    with notify_socket(tmp / "notify") as notifications:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": notifications.getsockname()}
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                waiting.until(lambda: db.exists() and count_in(db), "record", db.exists, pids=[process.pid])
                yield process
            finally:
                process.kill()
        assert notifications.recv(100) == b"READY=1"


def count_in(db: Path) -> int:
    with History(db) as history:
        return sum(1 for _ in history.moments())


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_all_of_the_history_in_one_file(signal_name: str, tmp_path: Path) -> None:
    db = tmp_path / "new" / "history.db"
    db.parent.mkdir()
    with recording(db, tmp_path) as process:
        waiting.until(lambda: count_in(db) >= 3, "record", lambda: count_in(db), pids=[process.pid])
        process.send_signal(getattr(signal, signal_name))
        _, said = process.communicate()
    assert process.returncode == 0, said
    lines = said.splitlines()
    assert lines[0] == f"recording to {db} every 0.1 s, keeping 24h"
    assert lines[1:] == [f"recorded {count_in(db)} moments"]
    assert {path.name for path in db.parent.iterdir()} == {"history.db", "history.db.lock"}


def test_a_second_one_is_refused_and_one_after_a_kill_goes_on(tmp_path: Path) -> None:
    db = tmp_path / "history.db"
    with recording(db, tmp_path) as process:
        second = run("record", *SIMULATED, "--db", db, "--count", "1")
        assert (second.returncode, second.stdout) == (2, "")
        assert f"another program already records into {db}: process {process.pid}" in second.stderr
        process.kill()
        process.wait()
        before = count_in(db)
        third = run("record", *SIMULATED, "--db", db, "--count", "2", "--interval", "0.1")
        assert (third.returncode, third.stderr.splitlines()[1:]) == (0, ["recorded 2 moments"])
        assert count_in(db) == before + 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--keep", "never"), "'never' is not a span of time"),
        (("--max-size", "10"), "--max-size: '10' has no unit"),
        (("--max-size", "3ways"), "--max-size 3ways: expected at least 1MiB"),
        (("--max-size", "10KiB"), "--max-size 10KiB: expected at least 1MiB"),
        (("--interval", "0.01"), "--interval 0.01 is under 0.1 s"),
        (("--host", "host.json"), "host.json is a snapshot and has no counters"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        where = ("--db", str(tmp_path / "db"), *(() if "--host" in options else SIMULATED))
        done = CliRunner().invoke(command, ["record", *where, *options])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert isinstance(done.exception, InputError)
    assert reason in str(done.exception)


def test_the_default_of_the_option_is_that_of_the_library() -> None:
    assert f"[default: {DEFAULT_DB}]" in " ".join(CliRunner().invoke(command, ["record", "--help"]).output.split())
