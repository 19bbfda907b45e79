"""``cachetune exporter``: how it starts, how it fails to, and what it writes once."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.exporter import serve
from cachetune.exporter.model import Seen
from cachetune.exporter.samples import Samples, samples_of
from cachetune.extras import how_to_install

SIMULATED = ("exporter", "--host", "sim:skylake-2s")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, words)])


def error_of(*words: str | Path) -> str:
    """The error of a command that cannot start."""
    result = run(*words)
    assert result.exit_code == 1, result.output  # standalone mode is click's
    return str(result.exception)


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
    certificates = ("--tls-cert", file, "--tls-key", file)
    assert error_of(*SIMULATED, *certificates, "--textfile", file) == "a file is not served over HTTPS"
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
    assert getattr(result.exception, "hint", "") == how_to_install("metrics", "prometheus-client")


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
