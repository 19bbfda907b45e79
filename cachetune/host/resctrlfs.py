"""The one port to resctrl: seven operations, all paths relative to its root ("" or "." is the root itself)."""

from contextlib import AbstractContextManager
from typing import Protocol


class Resctrl(Protocol):
    """What every resctrl can do: the real files (``SysfsResctrl``) and the simulated one (sim.kernel).

    Every failure of an operation is a ResctrlError with the kernel's errno.
    """

    source: str
    mount_options: tuple[str, ...]

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def read(self, path: str) -> str:
        """The content of a file."""

    def write(self, path: str, text: str) -> None:
        """One write(2) of the whole text."""

    def mkdir(self, path: str) -> None:
        """Make a group."""

    def rmdir(self, path: str) -> None:
        """Remove a group; the kernel moves its tasks to the parent."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory at the path."""

    def lock(self, *, exclusive: bool, timeout: float) -> AbstractContextManager[None]:
        """flock on the root directory. Raises LockTimeoutError after ``timeout`` seconds."""
