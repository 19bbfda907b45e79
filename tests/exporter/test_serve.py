"""The exporter as a process: signals, groups that vanish, the file for node_exporter, and what systemd hears."""

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cachetune.watch.history import History
from cachetune.watch.usage import Moment
from tests import waiting
from tests.agent.live import notify_socket
from tests.exporter.conftest import Watched, address_of, need
from tests.exporter.scrape import get
from tests.sim.fuse.mounted import run

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.xdist_group("prometheus"), pytest.mark.slow]


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code and what it has still said, once it has ended."""
    _, said = waiting.finish(process)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_beside_a_client(
    watched: Watched, number: signal.Signals, tmp_path: Path
) -> None:
    with (
        notify_socket(tmp_path / "notify") as systemd,
        watched.exporter("--listen", "127.0.0.1:0", NOTIFY_SOCKET=systemd.getsockname()) as process,
    ):
        host, _, port = address_of(process).rpartition(":")
        waiting.readable(systemd, "READY", pids=[process.pid])
        assert systemd.recv(100) == b"READY=1"
        with socket.create_connection((host, int(port))):
            process.send_signal(number)
            assert ended(process) == (0, "")
        assert systemd.recv(100) == b"STOPPING=1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))


def test_a_vanished_group_fails_no_scrape(watched: Watched) -> None:
    root = watched.scene.mount.root
    with watched.exporter("--listen", "127.0.0.1:0", "--interval", "0.001", "--force") as process:
        address = address_of(process)
        for _ in range(2):
            (root / "COS7").mkdir()
            assert 'cachetune_group_ways{cache_id="0",group="COS7",' in get(f"http://{address}/metrics")[1]
            (root / "COS7").rmdir()
            text = get(f"http://{address}/metrics")[1]
            assert 'group="COS7"' not in text
            assert "cachetune_up 1.0" in text
        process.terminate()
        assert ended(process) == (0, "")


def test_it_records_the_looks_that_it_exports_and_refuses_a_second_recorder(watched: Watched, tmp_path: Path) -> None:
    db = tmp_path / "history.db"
    options = ("--listen", "127.0.0.1:0", "--interval", "0.1", "--record", "--db", db)
    with watched.exporter(*options) as process:
        address_of(process)
        waiting.until(lambda: len(recorded(db)) > 3, "record", lambda: len(recorded(db)), pids=[process.pid])
        refused = run("record", "--host", "sim:skylake-2s", "--db", db)
        assert (refused.returncode, "already records into" in refused.stderr) == (2, True)
        process.terminate()
        assert ended(process) == (0, "")
    first, *later = recorded(db)
    assert {usage.total_bytes_per_second for usage in first.usages} == {None}
    assert all(usage.total_bytes_per_second is not None for usage in later[-1].usages)
    assert watched.placed in {usage.guest for usage in later[-1].usages}


def recorded(db: Path) -> list[Moment]:
    if not db.exists():
        return []
    with History(db) as history:
        return [*history.moments()]


def test_the_file_for_node_exporter_is_renewed_and_removed_at_the_end(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "cachetune.prom"
    with watched.exporter("--textfile", file, "--interval", "0.1") as process:
        waiting.until(file.exists, "the file", pids=[process.pid])
        first = file.stat().st_ino
        waiting.until(lambda: file.stat().st_ino != first, "a new file", pids=[process.pid])
        text = file.read_text()
        process.terminate()
        assert ended(process) == (0, "")
    assert f'guest="{watched.placed}"' in text
    assert list(tmp_path.iterdir()) == []
    assert waiting.run([need("promtool"), "check", "metrics"], input=text, text=True).returncode == 0


def test_a_file_that_cannot_be_renewed_is_reported_once(watched: Watched, tmp_path: Path) -> None:
    directory, away = tmp_path / "metrics", tmp_path / "away"
    directory.mkdir()
    file = directory / "cachetune.prom"
    with watched.exporter("--textfile", file, "--interval", "0.1") as process:
        waiting.until(file.exists, "the file", pids=[process.pid])
        directory.rename(away)
        line = waiting.readline(process.stderr, "the report", pids=[process.pid])
        assert line == f"error: cannot write {file}: No such file or directory\n"
        away.rename(directory)
        line = waiting.readline(process.stderr, "the next report", pids=[process.pid])
        assert line == f"notice: writing {file} again\n"
        process.terminate()
        assert ended(process) == (0, "")
