"""Files that are replaced as a whole: a reader sees the old content or the new, also after a crash."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class StagedFile(NamedTuple):
    """A new file ``part`` beside ``path``, which it can replace."""

    part: Path
    path: Path

    def commit(self) -> None:
        """Put the new file in place. Raises OSError."""
        self.part.rename(self.path)

    def discard(self) -> None:
        """Remove the new file, unless it is in place."""
        with contextlib.suppress(OSError):
            self.part.unlink()


def replace_file(path: Path, data: bytes, *, mode: int = 0o644, sole_writer: bool = False) -> None:
    """Write ``data`` to a new file beside ``path``, flush it to disk and rename it to ``path``. Raises OSError.

    ``sole_writer`` means that the caller holds a lock: one name serves for the new file, and what a killed process
    left there is overwritten. Without it the name carries the process id, so that two writers do not meet. A symbolic
    link in place of the new file is an error and is removed.
    """
    staged = stage_file(path, data, mode=mode, sole_writer=sole_writer)
    try:
        staged.commit()
    except OSError:
        staged.discard()
        raise


def stage_file(path: Path, data: bytes, *, mode: int = 0o644, sole_writer: bool = False) -> StagedFile:
    """Write ``data`` to a new file beside ``path`` and flush it to disk, as ``replace_file`` does. Raises OSError."""
    part = path.with_name(f"{path.name}.new" if sole_writer else f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(part, _FLAGS | (os.O_TRUNC if sole_writer else os.O_EXCL), mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return StagedFile(part, path)
