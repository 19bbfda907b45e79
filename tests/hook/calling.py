"""Run the hook as libvirt does, in its own process with XML on standard input, on a mounted simulated resctrl."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from cachetune.testing.guests import NamedThreads
from tests import waiting
from tests.sim.fuse.mounted import ROOT, Mounted

HOOK = (sys.executable, "-c", "from cachetune.hook import main; main()")
ENDINGS = {"prepare": "begin", "started": "begin", "release": "end", "reconnect": "begin"}

CACHE = "<cachetune vcpus='{vcpus}'><cache id='{id}' level='3' type='both' size='{size}' unit='KiB'/></cachetune>"
WAY = 2304  # KiB in one way of skylake-2s


def cache(vcpus: str = "0-1", ways: int = 2, cache_id: int = 0) -> str:
    """A ``<cachetune>`` for this many ways of one cache of skylake-2s."""
    return CACHE.format(vcpus=vcpus, size=ways * WAY, id=cache_id)


def domain(name: str, cputune: str = "", number: int | None = None) -> str:
    """Domain XML; with ``number``, that of a running guest."""
    live = f" id='{number}'" if number else ""
    return f"<domain type='kvm'{live}><name>{name}</name><vcpu>4</vcpu><cputune>{cputune}</cputune></domain>"


def tuning(cputune: str) -> str:
    """A tuning file."""
    return f"<cputune>{cputune}</cputune>"


class Libvirt:
    """libvirt as the hook sees it (arguments, XML, pid files), and the host that the hook works on."""

    def __init__(self, fs: Mounted, directory: Path) -> None:
        self.fs, self.run = fs, directory / "run"
        self.guests_d, self.libvirt_run = directory / "guests.d", directory / "libvirt"
        self.guests_d.mkdir()
        self.libvirt_run.mkdir()
        self._held: int | None = None

    @property
    def source_options(self) -> tuple[str, ...]:
        """The options with the paths that the hook uses."""
        where = {
            "--resctrl": self.fs.root,
            "--run": self.run,
            "--guests-d": self.guests_d,
            "--libvirt-run": self.libvirt_run,
        }
        return tuple(f"{name}={path}" for name, path in where.items())

    def file(self, name: str, xml: str) -> None:
        """Write a tuning file for the guest."""
        (self.guests_d / f"{name}.xml").write_text(xml)

    def runs(self, name: str, qemu: NamedThreads) -> None:
        """Write the pid file of a guest that libvirt has started."""
        (self.libvirt_run / f"{name}.pid").write_text(str(qemu.pid))

    def hold_the_lock(self) -> None:
        """Hold resctrl's lock, as another program would, until ``release_the_lock``."""
        self._held = os.open(self.fs.root, os.O_RDONLY)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def release_the_lock(self) -> None:
        """Release the lock, if it is held."""
        if self._held is not None:
            os.close(self._held)

    def hook(self, operation: str, name: str, xml: str | bytes, *options: str, code: int = 0) -> list[str]:
        """Run the hook and return its lines on standard error; nothing may be on standard output."""
        done = call(*self.source_options, *options, name, operation, ENDINGS.get(operation, "begin"), "-", xml=xml)
        assert done.stdout == b""
        stderr = done.stderr.decode()
        assert "Traceback" not in stderr
        assert done.returncode == code, stderr
        return stderr.splitlines()

    def groups(self) -> list[str]:
        """The control groups other than the default group."""
        names = self.fs.listdir(".")
        return [name for name in names if name.startswith(("cachetune-", "qemu-"))]

    def tree(self) -> dict[str, str]:
        """Every control group with its schemata and its tasks; the default group's tasks are the machine's."""
        tasks = {path: self.fs.read(f"{path}/tasks") for path in self.groups()}
        return {path: self.fs.read(f"{path}/schemata") + tasks.get(path, "") for path in (".", *tasks)}


def call(*words: str, xml: str | bytes = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the hook to its end."""
    data = xml.encode() if isinstance(xml, str) else xml
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONPATH": str(ROOT)}  # libvirt sets little more
    environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return waiting.run([*HOOK, *words], input=data, capture_output=True, env=environment, cwd="/", **options)
