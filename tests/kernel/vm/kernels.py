"""The kernels on this machine: fetched on first use, and kept ready to boot in a directory of the cache.

A directory is made under another name and gets its own when it is complete, so what is interrupted or broken leaves
nothing behind. ``6.12`` and other versions are links to such directories. After a day the runner looks for newer
packages; if the mirror is not available, it keeps the old ones.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.kernel.vm import image
from tests.kernel.vm.packages import BACKPORTS, SUITE_OF, Suite, VmError, run_command

DEFAULT_KERNEL: Final = "6.1"
DAY_SECONDS: Final = 24 * 3600

Kernel = str | tuple[Path, ...]  # a version of Debian's ("6.1", "7.3", "newest"), or .deb files


def cache_directory() -> Path:
    """Where kernels are kept: below cachetune in XDG_CACHE_HOME or ~/.cache.

    The number changes with what ``image`` makes of a kernel, so that none of an earlier kind is booted.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cachetune" / "kernelvm-2"


@contextlib.contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """One process at a time prepares kernels."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kernel_directory(cache: Path, kernel: Kernel) -> Path:
    """The directory that ``image`` makes of the kernel's packages. Raises VmError if they are not available."""
    if not isinstance(kernel, str):
        return _from_files(cache, kernel)
    link = cache / kernel
    if link.exists() and time.time() - link.lstat().st_mtime < DAY_SECONDS:
        return link.resolve()
    try:
        root = _fetched(cache, kernel)
    except VmError:
        if not link.exists():
            raise
        root = link.resolve()
    new = cache / f"{kernel}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(root.name)
    new.rename(link)
    return root


def _fetched(cache: Path, kernel: str) -> Path:
    name = SUITE_OF.get(kernel, BACKPORTS)
    suite = Suite(name, cache / "apt" / name)
    suite.update()
    package = suite.kernel(kernel)
    root = cache / suite.label(package)
    if not root.is_dir():
        with _workshop(cache) as directory:
            _make(root, suite.download(suite.packages(package), directory), directory)
    return root


def _from_files(cache: Path, debs: Sequence[Path]) -> Path:
    told = [run_command(["dpkg-deb", "--show", "--showformat", "${Package}_${Version}", str(deb)]) for deb in debs]
    for deb, done in zip(debs, told, strict=True):
        if done.returncode:
            raise VmError(f"{deb} is no Debian package: {done.stderr.decode(errors='replace').strip()}")
    root = cache / told[0].stdout.decode()
    if not root.is_dir():
        with _workshop(cache) as directory:
            _make(root, debs, directory)
    return root


@contextlib.contextmanager
def _workshop(cache: Path) -> Iterator[Path]:
    for left in cache.glob("making-*"):  # by a run that was killed: no other has the lock
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as name:
        yield Path(name)


def _make(root: Path, debs: Sequence[Path], directory: Path) -> None:
    unpacked, made = directory / "unpacked", directory / "made"
    for deb in debs:
        done = run_command(["dpkg-deb", "--extract", str(deb), str(unpacked)])
        if done.returncode:
            raise VmError(f"cannot unpack {deb}: {done.stderr.decode(errors='replace').strip()}")
    made.mkdir()
    image.make(unpacked, made)
    made.rename(root)
