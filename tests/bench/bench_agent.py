"""An agent with nothing to do: 200 real guests, most of them refused, and the processor time that it takes.

The guests and the agent have a separate pid namespace, so that no other process of the machine counts. Needs root,
for that.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.agent.live import Scene
from tests.bench.table import Row
from tests.sim.fuse.mounted import ROOT, mounted

_GUESTS = 200
_PERIOD, _SECONDS = 5, 65  # the time includes the search that is made each minute
_SHARE = 0.01  # of one core
_QEMU = "qemu-system-x86_64 -machine microvm -m 4 -smp 4 -accel tcg,thread=multi,tb-size=1 -S -display none -nodefaults"


def rows() -> list[Row]:
    """One row: seconds of processor time against one per cent of the time that passed."""
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m", __spec__.name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(apart, env=environment, stdout=subprocess.PIPE, check=True)
    used, passed = map(float, done.stdout.split())
    what = f"agent: {_GUESTS} guests of 4 vCPUs, most of them refused, nothing changes / 1 % of a core"
    return [Row(what, used, _SHARE * passed, 1.0)]


def main() -> None:
    """Print the processor time of an agent, and the time that passed, in seconds."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        scene = Scene(directory, stack.enter_context(mounted(directory / "mount", profile="skylake-2s")))
        for number in range(_GUESTS):
            scene.tune(f"guest{number}")
            command = [*_QEMU.split(), "-name", f"guest=guest{number},debug-threads=on"]
            guest = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            stack.callback(guest.wait)
            stack.callback(guest.kill)
        with scene.agent("--period", str(_PERIOD), "--source", "threads", stderr=subprocess.DEVNULL) as agent:
            agent.until(lambda: _is_settled(scene))
            for _ in range(4):  # until the agent takes it that nothing changes
                agent.hear("STATUS")
            used, began = _used(agent.process.pid), time.monotonic()
            while time.monotonic() - began < _SECONDS:
                agent.hear("STATUS")
            print(_used(agent.process.pid) - used, time.monotonic() - began)


def _is_settled(scene: Scene) -> bool:
    states = Counter(guest["state"] for guest in scene.status()["guests"]) if scene.run.exists() else {}
    return sum(states.values()) == _GUESTS and not states["waiting"]


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
