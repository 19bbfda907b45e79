"""Read the change log, with the files that logrotate has moved away: what was changed, when and by whom.

A log is input like any other. A line that is not a change is reported with its file and number, and the rest is read.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec

from cachetune import documents
from cachetune.apply.state.change_log import LONGEST_LINE, Change, ChangedGuest
from cachetune.errors import DocumentError, UnreadableFileError
from cachetune.plan.groups.names import is_libvirts_name, machine_names

_ROTATED = re.compile(r"(?:\.([0-9]{1,6})|-([0-9]{8}[0-9-]*))(\.gz|\.bz2|\.xz)?", re.ASCII)
_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)  # of a compressed file
_YEARS = range(1971, 9999)  # which every time zone can show
_MOST_DAMAGED = 100

NamedFile = tuple[str, BinaryIO]


class DamagedLine(msgspec.Struct, frozen=True):
    """A line that is not a change; ``line`` is 0 for a file that cannot be read to its end."""

    file: str
    line: Annotated[int, msgspec.Meta(ge=0)]
    reason: str


class ChangeLog(msgspec.Struct, frozen=True, kw_only=True):
    """The changes that were selected, the newest last, and the lines of the log that are damaged.

    ``damaged_left_out`` counts the damaged lines after the first hundred.
    """

    schema_version: Literal[1] = 1
    changes: tuple[Change, ...]
    damaged: tuple[DamagedLine, ...] = ()
    damaged_left_out: Annotated[int, msgspec.Meta(ge=0)] = 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes to select: those of a period and of a guest (name, UUID or machine name), only the newest few."""

    since: datetime | None = None
    until: datetime | None = None
    guest: str | None = None
    newest: int | None = None

    def has(self, change: Change) -> bool:
        """Whether a change is of this period and guest."""
        if (self.since and change.time < self.since) or (self.until and change.time > self.until):
            return False
        return self.guest is None or any(_is(guest, self.guest) for guest in change.guests)


def _is(guest: ChangedGuest, wanted: str) -> bool:
    """Whether it has this name, UUID or machine name, or, if its name is not known, one made from this name."""
    if wanted in (guest.name, guest.uuid, guest.machine_name):
        return True
    machine = guest.machine_name
    return not guest.name and (is_libvirts_name(machine, wanted) or machine in machine_names(wanted, None))


def read_changes(files: Iterable[NamedFile], wanted: Wanted) -> ChangeLog:
    """The changes in these files, the oldest first."""
    changes: deque[Change] = deque(maxlen=wanted.newest)
    damaged: list[DamagedLine] = []
    left_out = 0
    for name, file in files:
        for found in _lines_of(name, file):
            if isinstance(found, Change):
                changes.extend([found] if wanted.has(found) else [])
            elif len(damaged) < _MOST_DAMAGED:
                damaged.append(found)
            else:
                left_out += 1
    return ChangeLog(changes=tuple(changes), damaged=tuple(damaged), damaged_left_out=left_out)


def log_files(path: Path) -> list[Path]:
    """The files of a log that exist, the oldest first: ``.2.gz``, ``.1``, then ``path`` itself."""
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names are enough
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UnreadableFileError(path.parent, error.strerror, hint="run as root") from None
    rotated = [(match, name) for name in names if (match := _suffix(name, path.name))]
    rotated.sort(key=lambda item: (item[0][1] is not None, -int(item[0][1] or 0), item[0][2] or ""))
    return [*(path.with_name(name) for _, name in rotated), *([path] if path.name in names else [])]


def opened(files: Iterable[Path]) -> Iterator[NamedFile]:
    """The content of each file, uncompressed. Raises UnreadableFileError."""
    for path in files:
        try:
            file = _open(path)
        except FileNotFoundError:
            continue  # logrotate has just moved it
        except OSError as error:
            hint = "run as root" if isinstance(error, PermissionError) else ""
            raise UnreadableFileError(path, error.strerror, hint=hint) from None
        opener = _OPENERS.get(path.suffix)
        with file, opener(file) if opener else nullcontext(file) as content:
            yield str(path), content


def _suffix(name: str, log: str) -> re.Match[str] | None:
    return _ROTATED.fullmatch(name.removeprefix(log)) if name.startswith(log) else None


def _open(path: Path) -> BinaryIO:
    """Open a regular file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a regular file")
    return os.fdopen(fd, "rb")


def _lines_of(name: str, file: BinaryIO) -> Iterator[Change | DamagedLine]:
    number = 0
    try:
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            whole = line
            while whole and not whole.endswith(b"\n"):  # the rest of a line that is too long
                whole = file.readline(LONGEST_LINE)
            yield _read(line, name, number)
    except _DAMAGE as error:
        yield DamagedLine(name, 0, f"damaged after line {number}: {error}")


def _read(line: bytes, name: str, number: int) -> Change | DamagedLine:
    if len(line) > LONGEST_LINE:
        return DamagedLine(name, number, f"longer than {LONGEST_LINE} bytes")
    try:
        return documents.decode(line, Change, name, _problems)
    except DocumentError as error:
        reason = error.reason if line.endswith(b"\n") else f"incomplete: {error.reason}"
        return DamagedLine(name, number, reason)


def _problems(change: Change) -> Iterator[str]:
    if change.time.year not in _YEARS:
        yield f"the year {change.time.year} is impossible"
