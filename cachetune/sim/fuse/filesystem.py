"""The FUSE operations on a simulated resctrl, one for each system call on its files.

Paths come from the kernel and are absolute within the mount. What a real resctrl leaves to kernfs and the VFS is here:
an open file refers to its node, not its name, and returns ENODEV once the group is removed; permissions apply even to
root; sizes are 0; truncate and utimens succeed without effect; files cannot be created or removed. Everything else is
done by ``SimulatedResctrl``. FUSE is not imported here.
"""

import dataclasses
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from cachetune.errors import ResctrlError
from cachetune.sim.kernel.nodes import Directory, File, LookupFailedError, Node, find, split, walk
from cachetune.sim.kernel.resctrl import SimulatedResctrl

_LOOK_SECONDS = 0.1
"""How long the threads are good enough for counters, of which many are read at once."""


@dataclasses.dataclass
class _Open:
    """An open file or directory. ``content`` is what later reads at an offset continue with."""

    node: Node
    path: str
    content: bytes = b""


class FuseOperations:
    """The operations, named as in mfusepy. All raise OSError.

    ``caller`` returns the tid that makes the current request. ``look`` is called before anything that depends on the
    existing threads, ``started`` once when the kernel has initialized the mount.
    """

    use_ns = True
    # Reads and writes need no path: open files have numbers, and those of removed groups have no path.
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(
        self,
        sim: SimulatedResctrl,
        caller: Callable[[], int],
        look: Callable[[], None],
        started: Callable[[], None],
    ) -> None:
        self._sim, self._caller, self._look, self._started = sim, caller, look, started
        self._owner = os.getuid(), os.getgid()
        self._created = time.time_ns()
        self._open: dict[int, _Open] = {}
        self._last = 0
        self._next_look = 0.0

    def init_with_config(self, connection: object, config: object) -> None:  # noqa: ARG002 - mfusepy's signature
        """The kernel has initialized the mount."""
        self._started()

    # -- reading ------------------------------------------------------------------------------------------------

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, int]:
        """Return what stat(2) reports."""
        with _errnos():
            node = self._node(path) if path is not None or fh is None else self._open[fh].node
            return self._attributes(node)

    def opendir(self, path: str) -> int:
        """Open a directory."""
        with _errnos():
            return self._remember(self._node(path), path)

    def readdir(self, path: str | None, fh: int) -> list[tuple[str, dict[str, int], int]]:  # noqa: ARG002
        """Return the names in an open directory; a removed directory has none."""
        directory = self._open[fh].node
        if not isinstance(directory, Directory):
            raise OSError(errno.ENOTDIR, "")
        with _errnos():
            self._sim.listdir(self._path_of(self._open[fh]))
            dots = [(".", {"st_mode": stat.S_IFDIR}, 0), ("..", {"st_mode": stat.S_IFDIR}, 0)]
            return dots + [(name, {"st_mode": _kind(node)}, 0) for name, node in sorted(directory.entries.items())]

    def open(self, path: str, flags: int) -> int:
        """Open a file if its permissions allow it. O_TRUNC, O_APPEND and other flags have no effect."""
        with _errnos():
            node = self._node(path)
            how = flags & os.O_ACCMODE
            can_write = isinstance(node, File) and node.write is not None and node.mode & 0o222
            if (how != os.O_WRONLY and not node.mode & 0o444) or (how != os.O_RDONLY and not can_write):
                raise OSError(errno.EACCES, "")
            return self._remember(node, path)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        """Read an open file. A read at offset 0 gets the current content."""
        file = self._open[fh]
        with _errnos():
            where = self._path_of(file)
            if offset == 0:
                self._prepare(file.node, where)
                file.content = self._sim.read(where).encode("utf-8", "surrogateescape")
        return file.content[offset : offset + size]

    def release(self, path: str | None, fh: int) -> int:  # noqa: ARG002
        """Close a file or directory."""
        del self._open[fh]
        return 0

    releasedir = release

    # -- changing -----------------------------------------------------------------------------------------------

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:  # noqa: ARG002
        """Execute one command; the offset has no effect."""
        with self._changing():
            where = self._path_of(self._open[fh])
            self._prepare(self._open[fh].node, where)
            self._sim.write(where, data.decode("utf-8", "surrogateescape"))
        return len(data)

    def mkdir(self, path: str, mode: int) -> int:
        """Create a group."""
        with self._changing():
            self._sim.mkdir(path, stat.S_IMODE(mode))
        return 0

    def rmdir(self, path: str) -> int:
        """Remove a group."""
        with self._changing():
            self._sim.rmdir(path)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Rename a monitor group."""
        with self._changing():
            self._sim.rename(old, new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Change permissions."""
        with _errnos():
            self._sim.chmod(path, stat.S_IMODE(mode))
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Change owner and group; -1 leaves them as they are."""
        with _errnos():
            node = self._node(path)
        # -1 may arrive as an unsigned number
        node.uid = node.uid if uid in {-1, 0xFFFFFFFF} else uid
        node.gid = node.gid if gid in {-1, 0xFFFFFFFF} else gid
        return 0

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:  # noqa: ARG002
        """Accepted without effect, because a shell's ``>`` needs it."""
        return 0

    def utimens(self, path: str, times: object = None) -> int:  # noqa: ARG002
        """Accepted without effect."""
        return 0

    def create(self, path: str, mode: int, flags: int = 0) -> int:  # noqa: ARG002
        """Refused: files cannot be created."""
        raise OSError(errno.EACCES, "")

    def unlink(self, *_: object) -> NoReturn:
        """Refused: files cannot be removed, and links and devices are not supported."""
        raise OSError(errno.EPERM, "")

    symlink = link = mknod = unlink

    # -- helpers ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._sim.state.writer = self._caller()
        with _errnos():
            yield
        self._sim.operations.clear()  # the log of a mount is never read and would grow without limit

    def _prepare(self, node: Node, path: str) -> None:
        """Update the threads before an operation that shows, moves or counts them; for counters, not for each."""
        is_counter = isinstance(node, File) and node.counter
        if path.endswith("tasks") or (is_counter and time.monotonic() >= self._next_look):
            self._look()
            self._next_look = time.monotonic() + _LOOK_SECONDS

    def _node(self, path: str | None) -> Node:
        return find(self._sim.root, split(path or ""))

    def _remember(self, node: Node, path: str) -> int:
        self._last += 1
        self._open[self._last] = _Open(node, "/".join(split(path)))
        return self._last

    def _path_of(self, file: _Open) -> str:
        """Return the current path of an open file, whose group may have been renamed. ENODEV if it was removed."""
        try:
            found: Node | None = self._node(file.path)
        except LookupFailedError:
            found = None
        if found is not file.node:
            paths = (path for path, node in walk(self._sim.root) if node is file.node)
            file.path = next(paths, "")
            if not file.path:
                raise OSError(errno.ENODEV, "")
        return file.path

    def _attributes(self, node: Node) -> dict[str, int]:
        uid, gid = self._owner
        names = [2, *(isinstance(n, Directory) for n in node.entries.values())] if isinstance(node, Directory) else [1]
        return {
            "st_mode": _kind(node) | node.mode,
            "st_nlink": sum(names),
            "st_uid": uid if node.uid is None else node.uid,
            "st_gid": gid if node.gid is None else node.gid,
            "st_size": 0,
            "st_atime": self._created,
            "st_mtime": self._created,
            "st_ctime": self._created,
        }


def _kind(node: Node) -> int:
    return stat.S_IFDIR if isinstance(node, Directory) else stat.S_IFREG


@contextmanager
def _errnos() -> Iterator[None]:
    """Turn the simulated kernel's refusals into OSError."""
    try:
        yield
    except (ResctrlError, LookupFailedError) as error:
        raise OSError(error.errno, "") from None
