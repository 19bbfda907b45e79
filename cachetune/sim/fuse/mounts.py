"""The simulated resctrls mounted on this machine: list and unmount them.

A server writes a record when its mount is up and removes it when it ends. A killed server leaves its record and a mount
that fails every call with ENOTCONN: ``running`` lists it as dead, and ``unmount`` removes both. A record without a
mount and a server is stale, and ``running`` removes it.
"""

import contextlib
import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.errors import MountError, UnmountError, UnwritableFileError
from cachetune.files import replace_file
from cachetune.host.resctrl.port import SIMULATED_TYPE
from cachetune.sim.fuse.threads import stat_of

_END_SECONDS = 5.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One server. ``started`` is its start time in clock ticks since boot, which detects a reused pid."""

    directory: str
    pid: int
    started: int
    profile: str
    kernel: str
    tids: str

    @property
    def runs(self) -> bool:
        """Whether the server still runs."""
        return self.started == stat_of(self.pid)[1] != 0


class Mount(msgspec.Struct, frozen=True):
    """A mount, or a server whose mount is in another mount namespace. ``record`` is None for an unknown server."""

    directory: str
    state: Literal["running", "dead", "mounted elsewhere", "no record"]
    record: Record | None


def run_directory() -> Path:
    """Return the directory of the records: /run/cachetune/sim for root, otherwise in $XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return Path("/run/cachetune/sim")
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own, "cachetune/sim") if own else Path(tempfile.gettempdir(), f"cachetune-sim-{os.geteuid()}")


def write_record(record: Record, run: Path) -> Path:
    """Record that a server is up and return the file. Raises UnwritableFileError."""
    file = run / f"{record.pid}.json"
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if run.stat().st_uid != os.geteuid():
            raise UnwritableFileError(run, "it belongs to another user", hint="pass another directory with --run")
        replace_file(file, msgspec.json.encode(record))
    except OSError as error:
        raise UnwritableFileError(file, error.strerror, hint="pass a directory with --run") from None
    return file


def running(run: Path) -> list[Mount]:
    """Return all mounts, sorted by directory. Removes stale records."""
    places = _places()
    found: dict[str, Mount] = {place: Mount(place, "no record", None) for place in places}
    for file, record in _records(run):
        if record.directory in places:
            # a directory can have a record of a dead server and one of a running server
            if record.runs or found[record.directory].record is None:
                found[record.directory] = Mount(record.directory, "running" if record.runs else "dead", record)
        elif record.runs:
            found[record.directory] = Mount(record.directory, "mounted elsewhere", record)
        else:
            file.unlink(missing_ok=True)
    return [found[place] for place in sorted(found)]


def unmount(directory: Path, run: Path) -> Mount:
    """Unmount a simulated resctrl, even if its server is dead. Returns what it was. Raises UnmountError."""
    place = os.path.realpath(directory)  # Path.resolve fails on a dead mount
    mount = next((m for m in running(run) if m.directory == place), None)
    if mount is None or mount.state == "mounted elsewhere":
        raise UnmountError(directory, "no simulated resctrl is mounted there", hint="run 'cachetune sim list'")
    _detach(place, lazily=mount.state == "dead")
    if mount.record is not None:
        _wait_for_end(mount.record)
    running(run)
    return mount


def check_place(directory: Path) -> Path:
    """Return the absolute path of a directory to mount on. Raises MountError."""
    try:
        entries = os.listdir(directory)  # noqa: PTH208 - its errors are more specific than Path's tests
    except OSError as error:
        raise MountError(directory, _why(error), hint=_hint(error, directory)) from None
    place = os.path.realpath(directory)
    if place in _places():
        raise MountError(directory, "a simulated resctrl is already mounted there", hint=_end(directory))
    if entries:
        raise MountError(directory, "it is not empty", hint="pass an empty directory")
    if not os.access(directory, os.W_OK):
        raise MountError(directory, "you may not write there", hint="pass a directory that you own")
    return Path(place)


def is_up(directory: Path) -> bool:
    """Whether the mount responds."""
    try:
        return (directory / "info").is_dir()
    except OSError:
        return False


def _records(run: Path) -> list[tuple[Path, Record]]:
    found = []
    for file in sorted(run.glob("*.json")):
        with contextlib.suppress(OSError, msgspec.DecodeError):  # another user's, or not a record
            found.append((file, msgspec.json.decode(file.read_bytes(), type=Record)))
    return found


def _places() -> set[str]:
    """Return where simulated resctrls are mounted, according to the kernel."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    parts = [(line.split(" ")[4], line.partition(" - ")[2].split(" ")[0]) for line in lines]
    return {
        re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), place) for place, kind in parts if kind == SIMULATED_TYPE
    }


def _detach(place: str, *, lazily: bool) -> None:
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    command = [program, "-u", *(["-z"] if lazily else [])] if program else ["umount", *(["-l"] if lazily else [])]
    result = subprocess.run([*command, "--", place], capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        said = result.stderr.strip()
        busy = "usy" in said
        hint = "a process has files open there or its working directory in it; `fuser -mv` shows which" if busy else ""
        raise UnmountError(place, said, hint=hint)


def _wait_for_end(record: Record) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while record.runs and time.monotonic() < deadline:
        time.sleep(0.01)


def _why(error: OSError) -> str:
    if error.errno == errno.ENOTCONN:
        return "a simulated resctrl whose server was killed is still mounted there"
    return (error.strerror or str(error)).lower()


def _hint(error: OSError, directory: Path) -> str:
    if error.errno == errno.ENOTCONN:
        return _end(directory)
    return f"mkdir {directory}" if error.errno == errno.ENOENT else "pass an empty directory"


def _end(directory: Path) -> str:
    return f"run 'cachetune sim unmount {directory}'"
