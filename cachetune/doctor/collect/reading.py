"""Read a small file, or say why that is impossible."""

import errno
import os
from pathlib import Path

from cachetune.doctor.examination import Unknown

_MOST = 1 << 20


def read_bytes(path: Path, most: int = _MOST) -> bytes | Unknown:
    """The first ``most`` bytes of a file. A pipe or a device does not block."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return file.read(most) or b""
    except OSError as error:
        return unreadable(path, error)


def read_text(path: Path, most: int = _MOST) -> str | Unknown:
    """The first ``most`` bytes of a file as text."""
    data = read_bytes(path, most)
    return data if isinstance(data, Unknown) else data.decode("utf-8", "replace")


def unreadable(path: Path | str, error: OSError) -> Unknown:
    """Why a path cannot be read."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Unknown(f"only root can read {path}", "run as root")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Unknown(f"there is no {path}")
    return Unknown(f"cannot read {path}: {error.strerror}")


def names_in(directory: Path) -> list[str] | Unknown:
    """The names in a directory, sorted; none if it does not exist."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - only the names are needed
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        return unreadable(directory, error)


def obstacle(path: Path) -> Unknown | None:
    """Why a file cannot be read even though it is there: not a regular file, or not readable; None if it can be."""
    if not is_there(path):
        return None
    if not path.is_file():
        return Unknown(f"{path} is not a regular file")
    return None if os.access(path, os.R_OK) else Unknown(f"only root can read {path}", "run as root")


def is_there(path: Path) -> bool:
    """Whether something exists at the path, as far as this user can see."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where a directory above cannot be read
