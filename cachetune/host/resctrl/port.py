"""The one port to resctrl: seven operations, all paths relative to its root ("" or "." is the root itself).

What the kernel expects of whoever uses it, and what ``SysfsResctrl`` (files.py) therefore does:

- One write(2) is one command. A buffered file may split it or report its error only at close, so writes are
  one unbuffered ``os.write`` of the whole text; ``schemata`` and ``mode`` want a newline at its end.
- The reason of a failure stands in info/last_cmd_status, which is global and overwritten by the next command
  of anybody: it is read at once, before anything else is touched. Only commands that say something there are
  believed; a write without its newline, rmdir, and mkdir in the wrong place leave the text of some earlier
  command.
- Programs that share a resctrl agree through flock on the root directory. A lock of ours is held for
  milliseconds.
"""

from contextlib import AbstractContextManager
from typing import Protocol

SIMULATED_TYPE = "fuse.resctrl"
"""The file system type of a simulated resctrl that is mounted."""


class Resctrl(Protocol):
    """What every resctrl can do: the real files (files.py) and the simulated one (sim/kernel/resctrl.py).

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
