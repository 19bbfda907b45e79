"""What the services do is among the system calls that their units allow: systemd kills a service at any other."""

import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.agent import qemu
from tests.install.test_units import analyze, text_of
from tests.missing import skip_without
from tests.sim.fuse.mounted import ROOT, mounted, need_fuse

pytestmark = pytest.mark.slow
TUNING = """<cputune><cachetune vcpus='0-1'>
  <cache id='0' level='3' type='both' size='2304' unit='KiB'/>
</cachetune></cputune>"""


def calls_in_sets() -> dict[str, set[str]]:
    """The names in each set of systemd, such as "@chown", among them those of other sets."""
    printed = analyze("--no-pager", "syscall-filter").stdout
    sets: dict[str, set[str]] = {}
    name = ""
    for line in printed.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = set()
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            sets.setdefault(name, set()).add(line.strip())
    return sets


def expanded(name: str, sets: dict[str, set[str]]) -> set[str]:
    """The system calls of a set, or the one of this name."""
    return set().union(*(expanded(each, sets) for each in sets[name])) if name in sets else {name}


def allowed(unit: str) -> set[str]:
    """The system calls that a unit allows. Source: systemd.exec(5), SystemCallFilter="""
    sets = calls_in_sets()
    calls = expanded("@default", sets)
    for line in re.findall(r"^SystemCallFilter=(.*)$", text_of(unit), re.MULTILINE):
        named = set().union(*(expanded(word, sets) for word in line.removeprefix("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def used(directory: Path, *words: str | Path) -> set[str]:
    """The system calls of a command that succeeds."""
    summary = directory / "calls"
    command = ["strace", "-f", "-qq", "-c", "-o", str(summary), sys.executable, "-m", "cachetune", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    rows = [line.split() for line in summary.read_text().splitlines()]
    return {row[-1] for row in rows if row and re.fullmatch("[0-9.]+", row[0])} - {"total"}


@pytest.fixture(autouse=True)
def _programs() -> None:
    for program, package in (("strace", "strace"), ("systemd-analyze", "systemd")):
        if shutil.which(program) is None:
            skip_without(f"{program} is missing (Debian package {package})")


def test_the_recorder_needs_nothing_else_as_root(tmp_path: Path) -> None:
    calls = used(
        tmp_path, "record", "--host", "sim:milan", "--count", "2", "--interval", "0.1", "--db", tmp_path / "db"
    )
    assert calls - allowed("cachetune-record.service") == set()
    assert "fchown" in calls or os.geteuid(), "why the unit allows it"


def test_the_exporter_needs_nothing_else(tmp_path: Path) -> None:
    calls = used(tmp_path, "exporter", "--host", "sim:milan", "--once", "--textfile", tmp_path / "cachetune.prom")
    assert calls - allowed("cachetune-exporter.service") == set()


def test_the_agent_that_places_a_guest_needs_nothing_else(tmp_path: Path) -> None:
    need_fuse()
    if why := qemu.missing():
        skip_without(why)
    name = f"calls-{uuid.uuid4().hex[:8]}"
    (tmp_path / "guests.d").mkdir()
    (tmp_path / "guests.d" / f"{name}.xml").write_text(TUNING)
    with mounted(tmp_path / "mount", profile="skylake-2s") as resctrl, qemu.running(name):
        where = ("--resctrl", resctrl.root, "--run", tmp_path / "run", "--guests-d", tmp_path / "guests.d")
        calls = used(tmp_path, "agent", "--once", "--shrink-default", *where)
        assert [group for group in resctrl.root.iterdir() if name in group.name]
    assert calls - allowed("cachetune-agent.service") == set()
