"""A simulated resctrl mounted through FUSE for the length of a test.

A child process serves the file system (``cachetune.testing.server``). It ends, and unmounts, when it gets SIGTERM or
when its standard input closes, so nothing stays mounted even if the test process is killed.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

import cachetune
from cachetune.errors import MountError, UnmountError
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.sim import Profile, WorkloadEntry, write_sysfs
from cachetune.sim.fuse.mounts import is_up, unmount
from cachetune.sim.fuse.serve import load_fuse
from cachetune.sim.fuse.threads import Tids
from cachetune.testing.simulated import DEFAULT_PROFILE, simulate

_END_SECONDS = 10


class Setup(msgspec.Struct, frozen=True):
    """What the server process needs to know, sent to it as one line of JSON. ``root`` and ``records`` are paths."""

    root: str
    records: str
    profile: Profile
    kernel: str
    tids: Tids
    faults: tuple[str, ...]
    workloads: tuple[WorkloadEntry, ...] = ()


class MountedResctrl(msgspec.Struct, frozen=True):
    """A mounted simulated resctrl.

    ``root`` is the mount point. ``sysfs`` has the caches and CPUs that go with it, as /sys has them. ``run`` is an
    empty directory for cachetune's state (``--run``). ``pid`` is the process that serves the files.
    """

    root: Path
    sysfs: Path
    run: Path
    profile: Profile
    kernel: str
    pid: int

    @property
    def resctrl(self) -> SysfsResctrl:
        """The mount behind the ``Resctrl`` port."""
        return SysfsResctrl(self.root)


@contextlib.contextmanager
def mounted(
    directory: Path,
    profile: str | Profile = DEFAULT_PROFILE,
    *,
    kernel: str | None = None,
    options: Sequence[str] | None = None,
    faults: Sequence[str] = (),
    tids: Tids = "real",
    workloads: Sequence[WorkloadEntry] = (),
) -> Iterator[MountedResctrl]:
    """Mount a simulated resctrl below ``directory`` for the length of a ``with`` block.

    The arguments are those of ``simulate``. With ``tids`` "real" the tasks are this machine's threads, which are only
    looked at; with "any" every number written to a tasks file is a task. The mount ends with the block, whatever is
    still open in it.

    Raises MissingExtraError without mfusepy, FuseUnavailableError, MountError, and what ``simulate`` raises.
    """
    load_fuse()
    directory = directory.absolute()
    root, sysfs, run = directory / "resctrl", directory / "sys", directory / "run"
    sim = simulate(profile, kernel=kernel, options=options, faults=faults)
    setup = Setup(str(root), str(run / "sim"), sim.profile, sim.kernel, tids, tuple(faults), tuple(workloads))
    root.mkdir(parents=True)
    run.mkdir()
    write_sysfs(sim.profile, sysfs)
    with _server(setup) as server:
        yield MountedResctrl(root, sysfs, run, sim.profile, sim.kernel, server.pid)


@contextlib.contextmanager
def _server(setup: Setup) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the process that serves the mount."""
    package = str(Path(cachetune.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    server = subprocess.Popen(
        [sys.executable, "-m", "cachetune.testing.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
    )
    with server:
        try:
            _start(server, setup)
            yield server
        finally:
            _end(server, setup)


def _start(server: "subprocess.Popen[bytes]", setup: Setup) -> None:
    """Send the setup and wait until the mount is up. Raises the server's error, or MountError."""
    assert server.stdin is not None  # noqa: S101 - both are pipes
    assert server.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError):
        server.stdin.write(msgspec.json.encode(setup) + b"\n")
        server.stdin.flush()
    error = server.stdout.read()  # the server closes its end when the mount is up
    if error:
        raise pickle.loads(error)  # noqa: S301 - written by our own child
    if not is_up(Path(setup.root)):
        raise MountError(setup.root, "the server process ended before the mount was up")


def _end(server: "subprocess.Popen[bytes]", setup: Setup) -> None:
    """End the server, which unmounts even what is in use; unmount what a killed one leaves."""
    server.terminate()
    try:
        server.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    with contextlib.suppress(UnmountError):  # usually it is no longer mounted
        unmount(Path(setup.root), Path(setup.records))
