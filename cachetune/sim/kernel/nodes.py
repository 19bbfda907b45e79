"""Directories and files in memory: their permission bits and the functions behind read and write."""

import dataclasses
import errno
from collections.abc import Callable, Iterator
from typing import Literal

from cachetune.sim.kernel.state import Group

Role = Literal["root", "group", "mon_groups", "inside", "info"]


@dataclasses.dataclass
class File:
    """A file. ``mode`` has its permission bits. A ``counter`` changes without being written.

    ``uid`` and ``gid`` are set by chown, here and in directories; None is the mount's owner.
    """

    mode: int
    read: Callable[[], str]
    write: Callable[[str], None] | None = None
    counter: bool = False
    uid: int | None = None
    gid: int | None = None


@dataclasses.dataclass
class Directory:
    """A directory. ``group`` is the group it belongs to, None for info and its contents."""

    mode: int
    role: Role
    group: Group | None
    entries: "dict[str, Directory | File]" = dataclasses.field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None


Node = Directory | File


class LookupFailedError(Exception):
    """A path does not exist: ENOENT, or ENOTDIR if it goes through a file."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


def split(path: str) -> list[str]:
    """Return the names in a path relative to the root."""
    return [part for part in path.split("/") if part not in {"", "."}]


def find(root: Directory, parts: list[str]) -> Node:
    """Return the node at a path. Raises LookupFailedError."""
    node: Node = root
    for part in parts:
        if isinstance(node, File):
            raise LookupFailedError(errno.ENOTDIR)
        if part not in node.entries:
            raise LookupFailedError(errno.ENOENT)
        node = node.entries[part]
    return node


def walk(directory: Directory, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every path below a directory, sorted, each directory before its entries."""
    for name in sorted(directory.entries):
        node = directory.entries[name]
        yield prefix + name, node
        if isinstance(node, Directory):
            yield from walk(node, f"{prefix}{name}/")
