"""Files that are replaced as a whole: a reader sees the old content or the new, also after a crash."""

import contextlib
import os
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(path: Path, data: bytes, *, mode: int = 0o644, sole_writer: bool = False) -> None:
    """Write ``data`` to a new file beside ``path``, flush it to disk and rename it to ``path``. Raises OSError.

    ``sole_writer`` means that the caller holds a lock: one name serves for the new file, and what a killed process
    left there is overwritten. Without it the name carries the process id, so that two writers do not meet. A symbolic
    link in place of the new file is an error and is removed.
    """
    part = path.with_name(f"{path.name}.new" if sole_writer else f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(part, _FLAGS | (os.O_TRUNC if sole_writer else os.O_EXCL), mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
