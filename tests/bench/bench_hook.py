"""libvirt's hook for a guest that is not ours, as libvirt calls it, against the start of the bare interpreter."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cachetune.install import PARTS, Program
from cachetune.install.parts import render
from tests.bench.table import Row

ROOT = Path(__file__).parent.parent.parent
_RUNS = 101
_DEVICE = "<disk type='file' device='disk'><source file='/var/lib/libvirt/images/web.qcow2'/><target dev='vda'/></disk>"
_XML = f"<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu><devices>{_DEVICE * 80}</devices></domain>".encode()


def rows() -> list[Row]:
    """One row: the shell script that is installed, with all that it starts, in turns with the interpreter."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        program = directory / "cachetune-hook"
        code = (ROOT / "scripts" / "cachetune-hook").read_text().partition("\n")[2]
        program.write_text(f"#!{sys.executable}\n{code}")  # as pip installs it
        program.chmod(0o755)
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
        script = directory / "qemu-hook"
        (part,) = (part for part in PARTS if part.name == "hook")
        script.write_text(render(part, Program("", (sys.executable, str(program)), ())))
        script.chmod(0o755)
        hook = [str(script), "web", "prepare", "begin", "-"]
        pairs = [_pair(hook, [sys.executable, "-c", "pass"], environment) for _ in range(_RUNS + 1)][1:]
    what = f"hook: a guest that is not ours ({len(_XML) // 1000} KB of XML) / python3 -c pass"
    return [Row(what, statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), 1.3)]


def _pair(hook: list[str], peer: list[str], environment: dict[str, str]) -> tuple[float, float]:
    return _seconds(hook, environment), _seconds(peer, environment)


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, input=_XML, env=environment, check=True)
    return time.perf_counter() - began
