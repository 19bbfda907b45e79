"""Directories and files in memory: permission bits, and what a read or a write of a file does."""

import dataclasses
import errno
from collections.abc import Callable, Iterator
from typing import Literal

from cachetune.sim.kernel.state import Group

Role = Literal["root", "group", "mon_groups", "inside", "info"]


@dataclasses.dataclass
class File:
    """A file; ``mode`` are its permission bits. Counters move by themselves.

    ``uid`` and ``gid`` are what chown gave it, here and for directories.
    """

    mode: int
    read: Callable[[], str]
    write: Callable[[str], None] | None = None
    counter: bool = False
    uid: int | None = None
    gid: int | None = None


@dataclasses.dataclass
class Directory:
    """A directory; ``group`` is the group that it belongs to (none for info and below)."""

    mode: int
    role: Role
    group: Group | None
    entries: "dict[str, Directory | File]" = dataclasses.field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None


Node = Directory | File


class LookupFailedError(Exception):
    """A path leads nowhere: ENOENT, or ENOTDIR through a file."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


def split(path: str) -> list[str]:
    """The names in a path relative to the root."""
    return [part for part in path.split("/") if part not in {"", "."}]


def find(root: Directory, parts: list[str]) -> Node:
    """The node at a path. Raises LookupFailedError."""
    node: Node = root
    for part in parts:
        if isinstance(node, File):
            raise LookupFailedError(errno.ENOTDIR)
        if part not in node.entries:
            raise LookupFailedError(errno.ENOENT)
        node = node.entries[part]
    return node


def walk(directory: Directory, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every path below a directory, directories before what is in them, names sorted."""
    for name in sorted(directory.entries):
        node = directory.entries[name]
        yield prefix + name, node
        if isinstance(node, Directory):
            yield from walk(node, f"{prefix}{name}/")
