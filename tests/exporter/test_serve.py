"""The exporter as a process: signals, the file for node_exporter, what systemd hears, and how it fails to start."""

import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.exporter import serve
from cachetune.exporter.model import Seen
from cachetune.exporter.samples import Samples, samples_of
from cachetune.watch.history import History
from cachetune.watch.usage import Moment
from tests import waiting
from tests.agent.live import notify_socket
from tests.exporter.conftest import Watched, address_of, need
from tests.exporter.scrape import get

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.xdist_group("prometheus")
SIMULATED = ("exporter", "--host", "sim:skylake-2s")


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code and what it has still said, once it has ended."""
    _, said = waiting.finish(process)
    return process.returncode, said


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, words)])


def error_of(*words: str | Path) -> str:
    """The error of a command that cannot start."""
    result = run(*words)
    assert result.exit_code == 1, result.output  # standalone mode is click's
    return str(result.exception)


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
        assert "already records into" in error_of("record", "--host", "sim:skylake-2s", "--db", db)
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


def test_once_writes_the_file_and_leaves_it(tmp_path: Path) -> None:
    file = tmp_path / "cachetune.prom"
    result = run(*SIMULATED, "--textfile", file, "--once")
    assert (result.exit_code, result.output) == (0, "")
    assert "\ncachetune_up 1.0\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_directory_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    assert error_of(*SIMULATED, "--textfile", tmp_path / "no" / "a.prom", "--once").endswith(
        "No such file or directory"
    )


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.prom"
    assert error_of(*SIMULATED, "--once") == "--once writes a file and does not listen"
    assert error_of(*SIMULATED, "--once", "--textfile", file, "--listen", "[::1]:0").startswith("--once writes a file")
    assert error_of(*SIMULATED, "--tls-cert", file) == "a certificate and its key are required for HTTPS"
    assert error_of(*SIMULATED, "--listen", "9751") == "'9751' is not an address to listen on"
    assert error_of(*SIMULATED, "--interval", "0.01").startswith("--interval 0.01 is under 0.1 s")
    assert not file.exists()


def test_a_snapshot_has_no_counters_to_export(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{}")
    assert "is a snapshot and has no counters" in error_of("exporter", "--host", tmp_path / "host.json")


def test_without_prometheus_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = run(*SIMULATED)
    assert str(result.exception) == "exporting metrics requires the Python package prometheus-client"
    assert getattr(result.exception, "hint", "") == "pip install 'cachetune[metrics]'"


def test_an_address_that_others_reach_is_warned_about_unless_clients_have_certificates() -> None:
    logged: list[str] = []

    def samples() -> Samples:
        return samples_of(Seen())

    for host, warned in (("127.0.0.1", False), ("0.0.0.0", True)):  # noqa: S104 - that is the point
        setup = serve.Setup(
            location=serve.Location(),
            selection=serve.Selection(),
            interval=1,
            max_groups=1,
            address=serve.Address(host, 0),
        )
        logged.clear()
        with serve._served(setup, samples, lambda _level, text: logged.append(text)):
            pass
        assert [text for text in logged if "can read the names of guests" in text] == logged[1:]
        assert bool(logged[1:]) is warned
