"""The first process of a fleet: its hosts are below it, and end with it. Standard library only.

Started as root in new mount, PID and network namespaces, with /proc mounted for them. Sets up a bridge for the hosts
and a file system in memory for what they write, says "ready", and waits until its standard input ends.

    controller.py STAGE ADDRESS

STAGE is a directory that the caller made and that is removed here at the end. ADDRESS is that of the bridge.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

BRIDGE = "fleet"


def main(stage: Path, address: str) -> None:
    """Set up, then wait for the end."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", stage / "hosts")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", address, "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # processes whose parents have ended
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    run("umount", "-l", stage / "hosts")
    shutil.rmtree(stage)


def run(*words: str | Path) -> None:
    subprocess.run(["/usr/bin/env", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
