"""The systemd units in examples/: systemd-analyze reports no errors and little exposure."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachetune.cli.main import command
from cachetune.watch.history import DEFAULT_DB
from tests import waiting
from tests.missing import skip_without

UNITS = Path(__file__).parents[2] / "examples" / "systemd"
SERVICE = (UNITS / "cachetune-agent.service").read_text()
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSURE = {"cachetune-exporter.service": 1.3}  # the network
ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists."""
    if ANALYZE is None:
        skip_without("systemd-analyze is missing (Debian package systemd)")
    program = tmp_path / "cachetune"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/cachetune", str(program)))
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    return waiting.run([ANALYZE or "", *words], capture_output=True, text=True, env=environment)


def test_systemd_analyze_reports_no_errors(units: Path) -> None:
    found = analyze("verify", "--man=no", *units.glob("*.service"), *units.glob("*.mount"))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_systemd_analyze_reports_a_broken_unit(units: Path) -> None:
    (units / "cachetune-agent.service").write_text(SERVICE.replace("ExecStart=", "ExecStrat="))
    assert analyze("verify", "--man=no", units / "cachetune-agent.service").returncode != 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_low_exposure_level(service: str, units: Path) -> None:
    found = analyze("security", "--offline=true", "--no-pager", units / service)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", found.stdout)
    assert float(exposure) <= MOST_EXPOSURE.get(service, 1.2), found.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_a_command_that_exists(service: str) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (UNITS / service).read_text(), re.MULTILINE)
    program, *words = line.split()
    assert program == "/usr/bin/cachetune"
    assert CliRunner().invoke(command, [*words, "--help"]).exit_code == 0


def test_the_service_may_write_to_the_directories_of_the_agent() -> None:
    assert "RuntimeDirectory=cachetune\nRuntimeDirectoryPreserve=yes\n" in SERVICE
    assert "LogsDirectory=cachetune\n" in SERVICE
    assert "ReadWritePaths=/sys/fs/resctrl\n" in SERVICE


def test_the_recorder_may_write_to_the_directory_of_the_history_and_has_no_capability() -> None:
    service = (UNITS / "cachetune-record.service").read_text()
    assert f"StateDirectory={DEFAULT_DB.parent.name}\n" in service
    assert DEFAULT_DB.parent.parent == Path("/var/lib")
    assert "\nCapabilityBoundingSet=\n" in service


def test_the_exporter_is_no_root_and_has_no_capability() -> None:
    service = (UNITS / "cachetune-exporter.service").read_text()
    assert "\nDynamicUser=yes\n" in service
    assert "\nCapabilityBoundingSet=\n" in service
    assert "\nProtectProc=" not in service, "guests are found in /proc"
