"""The systemd units that are installed: systemd-analyze reports no errors and little exposure."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachetune.cli.main import command
from cachetune.hook.hints import OPTIONS_FILE
from cachetune.install import PARTS, Program
from cachetune.install.parts import render
from cachetune.watch.history import DEFAULT_DB
from tests import waiting
from tests.missing import skip_without

UNITS = {part.template: part for part in PARTS if part.is_unit}
SERVICES = sorted(name for name, part in UNITS.items() if part.is_service)
MOST_EXPOSURE = {"cachetune-exporter.service": 1.3}  # the network
ANALYZE = shutil.which("systemd-analyze")


def text_of(unit: str, program: str = "/usr/bin/cachetune", options: tuple[str, ...] = ()) -> str:
    """A unit as it is installed."""
    return render(UNITS[unit], Program(program, (f"{program}-hook",), (program,)), options)


AGENT = text_of("cachetune-agent.service")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists, in a directory with a space."""
    if ANALYZE is None:
        skip_without("systemd-analyze is missing (Debian package systemd)")
    program = tmp_path / "my tools" / "cachetune"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS:
        (tmp_path / unit).write_text(text_of(unit, str(program), ("cdp", "mba_MBps")))
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    return waiting.run([ANALYZE or "", *words], capture_output=True, text=True, env=environment)


def test_systemd_analyze_reports_no_errors(units: Path) -> None:
    found = analyze("verify", "--man=no", *units.glob("*.service"), *units.glob("*.mount"))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_systemd_analyze_reports_a_broken_unit(units: Path) -> None:
    (units / "cachetune-agent.service").write_text(AGENT.replace("ExecStart=", "ExecStrat="))
    assert analyze("verify", "--man=no", units / "cachetune-agent.service").returncode != 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_low_exposure_level(service: str, units: Path) -> None:
    found = analyze("security", "--offline=true", "--no-pager", units / service)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", found.stdout)
    assert float(exposure) <= MOST_EXPOSURE.get(service, 1.2), found.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_a_command_that_exists_with_the_options_of_the_operator(service: str) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", text_of(service), re.MULTILINE)
    program, verb, options = line.split()
    assert program == "/usr/bin/cachetune"
    assert CliRunner().invoke(command, [verb, "--help"]).exit_code == 0
    variables = re.findall(r"^#(\w+)=", render(PARTS[-1], Program("", (), ())), re.MULTILINE)
    assert options.removeprefix("$") in variables
    assert f"\nEnvironmentFile=-{OPTIONS_FILE}\n" in text_of(service)


def test_the_service_may_write_to_the_directories_of_the_agent() -> None:
    assert "RuntimeDirectory=cachetune\nRuntimeDirectoryPreserve=yes\n" in AGENT
    assert "LogsDirectory=cachetune\n" in AGENT
    assert "ReadWritePaths=-/sys/fs/resctrl\n" in AGENT


def test_the_recorder_may_write_to_the_directory_of_the_history_and_has_no_capability() -> None:
    service = text_of("cachetune-record.service")
    assert f"StateDirectory={DEFAULT_DB.parent.name}\n" in service
    assert DEFAULT_DB.parent.parent == Path("/var/lib")
    assert "\nCapabilityBoundingSet=\n" in service


def test_the_exporter_is_no_root_and_has_no_capability() -> None:
    service = text_of("cachetune-exporter.service")
    assert "\nDynamicUser=yes\n" in service
    assert "\nCapabilityBoundingSet=\n" in service
    assert "\nProtectProc=" not in service, "guests are found in /proc"
