"""Fifteen guests with 64 vCPUs, real processes with real threads, tuned on a mounted simulation with 16 CLOSIDs."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from tests import waiting
from tests.kernel.scenarios.fleet import Outcome
from tests.sim.fuse.mounted import ROOT, mounted

GUESTS, VCPUS = 15, 64


def run_fleet(directory: Path, kernel: str) -> Outcome:
    """Tune one guest, then all others, and count the system calls with strace. ``directory`` must be empty."""
    sysfs = directory / "sys"
    with mounted(directory / "mount", "--sysfs", sysfs, profile="milan", kernel=kernel) as fs:
        options = [f"--resctrl={fs.root}", f"--sysfs={sysfs}", f"--run={directory / 'run'}"]
        done = waiting.run(
            [sys.executable, "-m", "tests.kernel.scenarios.fleet", str(GUESTS), str(VCPUS), str(directory), *options],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        )
    return msgspec.json.decode(done.stdout, type=Outcome)
