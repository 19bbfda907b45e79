"""A fresh root of a Debian release, made by mmdebstrap, and the commands that run in it.

Each command has separate mounts and processes, which end with it. There is no init, and maintainer scripts start and
stop nothing, unless systemd is ``booted``.
"""

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.waiting import until

SUITES: Final = {"12": "bookworm", "13": "trixie"}
PYTHONS: Final = {"12": "3.11", "13": "3.13"}
WHEELS: Final = "/wheels"
_ALONE: Final = ("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child")  # mounts and processes end with it
_ENTER: Final = 'mount -t proc proc "$0/proc" && mount -t devpts devpts "$0/dev/pts" && exec chroot "$0" "$@"'
# systemd has separate mounts, processes, network and cgroups. /proc/sys and /sys are read-only, so it sets no sysctl of
# this machine, and there are no consoles. "$1" is a directory in the mounted cgroup2.
_BOOT: Final = """
mkdir "$1" && echo $$ >"$1/cgroup.procs" &&
exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child sh -c '
    mount --bind "$0" "$0" && cd "$0" && mount -t proc proc proc && mount --bind proc/sys proc/sys &&
    mount -o remount,bind,ro proc/sys && mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup &&
    mount -t devpts devpts dev/pts && mount -t tmpfs tmpfs run &&
    exec chroot "$0" env -i container=other /lib/systemd/systemd --unit=basic.target' "$0"
"""
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INDEX": "1",  # the machine that runs the tests knows its way to PyPI, the root may not
    "PIP_FIND_LINKS": WHEELS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
# What dpkg, apt and ldconfig write about any package.
_BOOKKEEPING: Final = (
    "proc",
    "dev",
    "run/systemd",
    "tmp",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log/apt",
    "var/log/dpkg.log",
)


class Root:
    """A root file system; it lasts as long as its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def copy(self, directory: Path) -> "Root":
        """An independent copy."""
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run(["/bin/cp", "-a", self.directory, directory], check=True)
        return Root(directory)

    def add(self, path: Path, below: str) -> None:
        """Copy a file or directory into a directory of the root."""
        (self.directory / below.lstrip("/")).mkdir(parents=True, exist_ok=True)
        subprocess.run(["/bin/cp", "-a", path, self.directory / below.lstrip("/")], check=True)

    def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """Run a program in the root, as root, and return all that it prints; fail unless it exits with ``code``."""
        command = [*self._enter(), *words]
        done = subprocess.run(command, input=stdin, env=_ENVIRONMENT, stdout=-1, stderr=-2, text=True, check=False)
        assert done.returncode == code, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def sh(self, line: str, *, stdin: str = "", code: int = 0) -> str:
        """Run a line of shell in the root."""
        return self.run("sh", "-c", line, stdin=stdin, code=code)

    def _enter(self) -> list[str]:
        return [*_ALONE, "sh", "-c", _ENTER, str(self.directory)]

    @contextlib.contextmanager
    def booted(self) -> Iterator["Root"]:
        """The root while its systemd runs, in namespaces of this machine."""
        find = ["/usr/bin/findmnt", "--noheadings", "--first-only", "--types", "cgroup2", "--output", "TARGET"]
        mount = subprocess.run(find, text=True, stdout=-1, check=True).stdout.strip()
        group = Path(mount) / f"cachetune-{uuid.uuid4()}"
        boot = ["/bin/sh", "-c", _BOOT, str(self.directory), str(group)]
        with subprocess.Popen(boot, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield _Booted(self.directory, process.pid)
            finally:
                process.kill()
                process.wait()
                _remove(group)

    def install(self, *packages: str) -> None:
        """Install packages, or .deb files, with apt."""
        self.run("apt-get", "-qy", "install", "--no-install-recommends", *packages)

    def files(self) -> set[str]:
        """All files and directories, without the bookkeeping of dpkg and apt."""
        found: set[str] = set()
        for parent, directories, files in os.walk(self.directory):
            here = os.path.relpath(parent, self.directory)
            paths = {name: os.path.normpath(f"{here}/{name}") for name in directories + files}
            directories[:] = [name for name in directories if paths[name] not in _BOOKKEEPING]
            found |= {path for path in paths.values() if path not in _BOOKKEEPING}
        return found


class _Booted(Root):
    """A root whose systemd is the child of the process ``unshare``."""

    def __init__(self, directory: Path, unshare: int) -> None:
        super().__init__(directory)
        self._unshare = unshare
        until(self._is_running, f"systemd in {directory}", pids=[unshare])

    def _enter(self) -> list[str]:
        (systemd,) = self._children()
        return ["nsenter", "--target", systemd, "--all", "--root", "--wd"]

    def _children(self) -> list[str]:
        pids = Path(f"/proc/{self._unshare}/task/{self._unshare}/children").read_text().split()
        return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() == "systemd\n"]

    def _is_running(self) -> bool:
        if not self._children():
            return False
        command = [*self._enter(), "systemctl", "is-system-running"]
        state = subprocess.run(command, env=_ENVIRONMENT, text=True, capture_output=True, check=False).stdout
        return state.strip() in ("running", "degraded")


def _remove(group: Path) -> None:
    """Remove a cgroup and those below it once their processes, which are being killed, have ended."""
    until(lambda: "populated 0" in (group / "cgroup.events").read_text(), f"the end of {group}")
    for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    group.rmdir()


def mmdebstrap(release: str, directory: Path) -> Root:
    """A root with only apt and essential packages. Raises CalledProcessError without a mirror that has them."""
    options = ["--mode=root", "--variant=apt", "--skip=cleanup/apt", "--aptopt=Acquire::Languages none", "--quiet"]
    options += ["--dpkgopt=force-unsafe-io"]  # the root need not outlive a power failure
    command = [*_ALONE, "--mount-proc", "mmdebstrap", *options, SUITES[release], directory, _mirror()]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy("/etc/resolv.conf", directory / "etc" / "resolv.conf")
    return Root(directory)


def _mirror() -> str:
    """The mirror of Debian that this machine uses."""
    columns = ["--format", "$(REPO_URI)", "Created-By: Packages", "Component: main", "Label: Debian"]
    known = subprocess.run(
        ["/usr/bin/apt-get", "indextargets", *columns], text=True, stdout=-1, check=True
    ).stdout.split()
    return known[0] if known else "http://deb.debian.org/debian"
