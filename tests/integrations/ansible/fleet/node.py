"""The first process of a host of the fleet: its root, its resctrl, its guests, its sshd. Standard library only,
and ``tests.namespaces``.

Started as root in new mount, PID, network, UTS and IPC namespaces below those of the fleet.

    node.py DIRECTORY

DIRECTORY is in memory. In it, ``host.json`` says what the host is, ``sys`` is its sysfs tree and ``files`` what is laid
over its root. The root is an overlay: programs are this machine's, and what the host writes stays in ``upper``; /run
and /tmp are its own. It says "network", continues with a line on its standard input, says "ready", and waits for
the end of its input. With it everything on the host ends.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.namespaces import mount, own_dev

RESCTRL = "/sys/fs/resctrl"
SIMULATION = "/var/lib/simulation"  # what a real machine does not have


def main(directory: Path) -> None:
    """Set up, then wait for the end."""
    host = json.loads((directory / "host.json").read_text())
    subprocess.run(["/usr/bin/env", "hostname", host["name"]], check=True)
    own_root(directory, host["shared"])
    ask("network")
    ip("link", "set", "lo", "up")
    ip("address", "add", host["address"], "dev", "eth0")
    ip("link", "set", "eth0", "up")
    if host["profile"]:
        mount_resctrl(host)
    for group, schemata in host["foreign_groups"].items():
        Path(RESCTRL, group).mkdir()
        Path(RESCTRL, group, "schemata").write_text(f"{schemata}\n")
    for guest in host["guests"]:
        start(guest)
    subprocess.run(["/usr/sbin/sshd", "-f", "/etc/ssh/fleet/sshd_config"], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # processes whose parents have ended
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


def ask(what: str) -> None:
    """Wait until the fleet has done what only it can."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def own_root(directory: Path, shared: list[tuple[str, str]]) -> None:
    """An overlay over this machine's root; what is not files is the host's own. ``shared``: paths there and here."""
    root = directory / "root"
    for name in ("upper", "work", "root"):
        (directory / name).mkdir()
    overlay = f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work"
    mount("-t", "overlay", "-o", overlay, "overlay", root)
    for name in ("run", "tmp"):
        mount("-t", "tmpfs", "-o", "mode=1777" if name == "tmp" else "mode=755", "tmpfs", root / name)
    for path, source in shared:
        Path(f"{root}{path}").mkdir(parents=True, exist_ok=True)
        mount("--rbind", source, f"{root}{path}")
    mount("-t", "proc", "proc", root / "proc")
    own_sys(directory / "sys", root / "sys")
    own_dev(root / "dev")
    shutil.copytree(directory / "files", root, dirs_exist_ok=True, symlinks=True)
    (root / "run/old").mkdir()
    os.chdir(root)
    subprocess.run(["/usr/bin/env", "pivot_root", ".", "run/old"], check=True)
    os.chdir("/")
    mount("--make-rprivate", "/run/old")
    subprocess.run(["/bin/umount", "-l", "/run/old"], check=True)
    Path("/run/old").rmdir()


def own_sys(tree: Path, place: Path) -> None:
    """The processors of the profile and, on a machine with resctrl, its mount point; no cgroups."""
    mount("-t", "sysfs", "-o", "ro", "sysfs", place)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", place / "fs")
    if tree.exists():
        mount("--bind", tree / "devices/system", place / "devices/system")
        (place / "fs/resctrl").mkdir()


def mount_resctrl(host: dict[str, Any]) -> None:
    """Mount the simulated resctrl where a real one is."""
    words = [*host["simulator"], "sim", "mount", RESCTRL, "--profile", f"{SIMULATION}/profile.json", "--background"]
    words += ["--run", f"{SIMULATION}/run", "--workload", f"{SIMULATION}/workload.toml"]
    words += [word for fault in host["faults"] for word in ("--fault", fault)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def start(guest: dict[str, Any]) -> None:
    """Start a guest in the background."""
    subprocess.Popen(guest["command"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ip(*words: str) -> None:
    subprocess.run(["/usr/bin/env", "ip", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
