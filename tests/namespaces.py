"""What hosts that are namespaces of this machine have in common: what it takes to make them, and their /dev.

The first process of such a host imports this. Standard library only.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse")
_LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}


def missing(programs: Iterable[str], *files: Path, packages: str) -> str:
    """Why there can be no host with these programs and files here; "" when there can.

    ``packages`` is the list of packages that have them.
    """
    if os.geteuid() != 0:
        return "only root can make namespaces and mounts"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse to use"
    gone = [name for name in programs if shutil.which(name) is None]
    gone += [file.name for file in files if not file.exists()]
    return f"missing: {', '.join(gone)} (see {packages})" if gone else ""


def own_dev(dev: Path) -> None:
    """Mount a /dev with the devices that programs need."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", dev)
    for name in _DEVICES:
        (dev / name).touch()
        mount("--bind", Path("/dev", name), dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("-t", "tmpfs", "tmpfs", dev / "shm")
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", dev / "pts")
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)


def mount(*words: str | Path) -> None:
    """Run mount(8)."""
    subprocess.run(["/bin/mount", *words], check=True)
