"""A file on the host before it is installed: what is there, and whether it is ours."""

import os
import stat
from pathlib import Path, PurePosixPath

import msgspec

from cachetune.errors import InputError, UnreadableFileError
from cachetune.install.signature import Signed, read_signature

_MOST_BYTES = 1 << 20


class Target(msgspec.Struct, frozen=True):
    """The ``path`` of a file, its parents resolved, and what is there: nothing, or ``data``, or something else.

    ``foreign`` says why it is not ours to change ("" if it is, or nothing is there); ``replaceable`` is whether
    --force may change that.
    """

    path: Path
    data: bytes | None = None
    signed: Signed | None = None
    foreign: str = ""
    replaceable: bool = True

    @property
    def text(self) -> bytes | None:
        """What is in the file, without an intact signature: a package may have removed it."""
        return self.signed.body if self.signed and not self.signed.edited else self.data

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return self.data is not None or bool(self.foreign)


def below(root: Path, path: PurePosixPath) -> Path:
    """An absolute path in the file system with this root."""
    return root / path.relative_to("/")


def find_target(path: PurePosixPath, root: Path) -> Target:
    """Look at a file below ``root``. Raises InputError if links lead out of it, UnreadableFileError."""
    place = _resolved(below(root, path), root)
    try:
        status = place.lstat()
        if stat.S_ISLNK(status.st_mode):
            to = str(place.readlink())
            return Target(place, foreign="it is masked" if to == "/dev/null" else f"it is a symbolic link to {to}")
        if not stat.S_ISREG(status.st_mode):
            return Target(place, foreign="it is not a regular file", replaceable=False)
        data = _read(place)
    except (FileNotFoundError, NotADirectoryError):
        return Target(place)
    except OSError as error:
        raise UnreadableFileError(place, error.strerror) from None
    signed = read_signature(data)
    if signed is None:
        return Target(place, data, foreign="it is not from 'cachetune install'")
    return Target(place, data, signed, foreign="it was edited" if signed.edited else "")


def _resolved(path: Path, root: Path) -> Path:
    """The path with links in its parents followed; they must stay below ``root``. Raises InputError."""
    top = Path(os.path.realpath(root))
    parent = Path(os.path.realpath(path.parent))
    if not parent.is_relative_to(top):
        raise InputError(f"{path.parent} leads out of {root}, to {parent}", hint="replace the symbolic link")
    return parent / path.name


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        return file.read(_MOST_BYTES)
