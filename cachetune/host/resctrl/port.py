"""The port to resctrl: nine operations and a lock, with paths relative to the root ("" or "." is the root itself).

The kernel's contract, and what ``SysfsResctrl`` (files.py) does about it:

- One write(2) is one command. A buffered file could split it, or report its error only on close, so each write is one
  unbuffered ``os.write`` of the whole text. ``schemata`` and ``mode`` require a newline at the end.
- info/last_cmd_status has the reason for a failure. It is global: later commands of any program overwrite it, and since
  Linux 7.3 reading any file of a group clears it. So it is read at once, before anything else, and only what can be the
  reason for this failure counts (reasons.py).
- Programs that share a resctrl coordinate through flock on the root directory. We hold it for milliseconds.
"""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from cachetune.host.model import Topology

SIMULATED_TYPE = "fuse.resctrl"
"""The file system type of a simulated resctrl that is mounted."""

GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTDIR, errno.ESTALE})
"""How reading fails if the file does not exist, or if its group has been removed."""


NOTICE_SECONDS = 1.0
"""How long a wait for the lock is not reported."""


class LockWait(msgspec.Struct, frozen=True):
    """A lock on the resctrl directory ``path`` that is not free: the pid and the program of its holder, if known."""

    path: str
    holder: int | None = None
    program: str = ""


OnWait = Callable[[LockWait], None]


def in_silence(_: LockWait) -> None:
    """Report nothing."""


class OpenFile(NamedTuple):
    """A file that is kept open.

    ``read`` returns what it contains now, at most 64 bytes, with one system call and no other: it raises a bare
    OSError, ENODEV once the file's group has been removed, even if there is another group of that name by now.
    """

    read: Callable[[], bytes]
    close: Callable[[], None]


class Resctrl(Protocol):
    """The interface of the real files (files.py) and the simulated resctrl (sim/kernel/resctrl.py).

    Every failure of an operation is a ResctrlError with the kernel's errno.
    """

    source: str
    mount_options: tuple[str, ...]
    topology: Topology
    """The caches of a simulated machine; empty for real files, where sysfs has them."""

    @property
    def is_current(self) -> bool:
        """Whether its path still leads to it, not to another mount or to none."""

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def read(self, path: str) -> str:
        """The content of a file."""

    def count_directories(self, path: str) -> int:
        """A number that changes with the number of directories in a directory; one system call."""

    def open(self, path: str) -> OpenFile:
        """A file to read again and again."""

    def write(self, path: str, text: str) -> None:
        """One write(2) of the whole text."""

    def mkdir(self, path: str) -> None:
        """Create a group."""

    def rmdir(self, path: str) -> None:
        """Remove a group; the kernel moves its tasks to the parent."""

    def exists(self, path: str) -> bool:
        """Whether a file or directory exists at the path."""

    def lock(self, *, exclusive: bool, timeout: float, on_wait: OnWait = in_silence) -> AbstractContextManager[None]:
        """flock on the root directory. Raises LockTimeoutError after ``timeout`` seconds.

        ``on_wait`` is called once, if the lock is not free within ``NOTICE_SECONDS``.
        """
