"""A mounted simulated resctrl for the tests, started by the command and used with system calls."""

import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cachetune.errors import ResctrlError, UnmountError
from cachetune.sim.fuse.mounts import unmount
from tests import waiting
from tests.missing import skip_without

ROOT = Path(__file__).parents[3]
CACHETUNE = (sys.executable, "-m", "cachetune.cli.main")


def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command and wait for it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [*CACHETUNE, *map(str, words)]
    return waiting.run(command, capture_output=True, text=True, env=environment, **options)


def need_fuse() -> None:
    """Skip where nothing can be mounted, with the reason; fail in CI."""
    why = ""
    try:
        importlib.import_module("mfusepy")
    except (ImportError, OSError, AttributeError) as error:
        why = f"mfusepy or libfuse is missing: {error}"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        why = "there is no /dev/fuse to use"
    if why:
        skip_without(why)


class Mounted:
    """The methods of a SimulatedResctrl that the tests use, on the files below ``root``."""

    def __init__(self, root: Path, run_directory: Path) -> None:
        self.root, self.run_directory = root, run_directory

    @property
    def server(self) -> int:
        """The pid of the process behind the mount."""
        return int(next(self.run_directory.glob("*.json")).stem)

    def path(self, path: str) -> Path:
        """Return the absolute path of a path in the tree."""
        return self.root / path

    def read(self, path: str) -> str:
        with _refusals("read", path), self.path(path).open("rb", buffering=0) as file:
            return file.readall().decode("utf-8", "surrogateescape")

    def write(self, path: str, text: str, flags: int = 0) -> None:
        with _refusals("write", path):
            fd = os.open(self.path(path), os.O_WRONLY | flags)
            try:
                os.write(fd, text.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)

    def mkdir(self, path: str) -> None:
        with _refusals("mkdir", path):
            self.path(path).mkdir(0o755)

    def rmdir(self, path: str) -> None:
        with _refusals("rmdir", path):
            self.path(path).rmdir()

    def rename(self, old: str, new: str) -> None:
        with _refusals("rename", old):
            self.path(old).rename(self.path(new))

    def chmod(self, path: str, mode: int) -> None:
        with _refusals("chmod", path):
            self.path(path).chmod(mode)

    def call(self, function: Callable[..., object], path: str, *arguments: object) -> None:
        """Call any function of the os module on a path."""
        with _refusals(function.__name__, path):
            function(self.path(path), *arguments)

    def stat_mode(self, path: str) -> int:
        with _refusals("stat", path):
            return self.path(path).stat().st_mode

    def exists(self, path: str) -> bool:
        return self.path(path).exists()

    def listdir(self, path: str) -> list[str]:
        with _refusals("list", path):
            return sorted(entry.name for entry in self.path(path).iterdir())

    def tree(self) -> list[str]:
        """Return every path; directories end with "/"."""
        found = []
        for directory, directories, files in os.walk(self.root):
            inside = os.path.relpath(directory, self.root)
            prefix = "" if inside == "." else f"{inside}/"
            found += [f"{prefix}{name}/" for name in directories] + [prefix + name for name in files]
        return found


@contextmanager
def mounted(
    directory: Path, *options: str | Path, profile: str | Path = "cascade-lake", kernel: str | None = None
) -> Iterator[Mounted]:
    """Mount below ``directory``, which must be empty, for the length of the block, even if the server dies.

    ``kernel`` None is the profile's.
    """
    root, records = directory / "resctrl", directory / "run"
    root.mkdir(parents=True)
    where = (root, "--run", records)
    chosen = ("--kernel", kernel) if kernel else ()
    started = run("sim", "mount", *where, "--profile", profile, *chosen, "--background", *options)
    assert started.returncode == 0, started.stderr
    try:
        yield Mounted(root, records)
    finally:
        try:
            unmount(root, records)
        except UnmountError as error:
            if "no simulated resctrl" not in str(error):
                subprocess.run(["/usr/bin/fusermount3", "-u", "-z", root], check=False)
                pytest.fail(str(error))


@contextmanager
def _refusals(operation: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResctrlError(error.errno or errno.EIO, operation, path) from error
