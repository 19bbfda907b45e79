"""Records of guests: one small JSON file per guest in a directory of the run directory.

libvirt calls the hook for a guest once at a time, so a file has one writer. A file that cannot be read, contradicts
itself or is from another boot says nothing, and is no reason to refuse anything: resctrl itself shows what is there.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from cachetune import documents
from cachetune.apply.state.journal import boot_id
from cachetune.errors import DocumentError, StateFileError
from cachetune.files import replace_file

_LARGEST = 1 << 20


class _Record(Protocol):
    """A record, valid in one boot."""

    @property
    def boot_id(self) -> str: ...


R = TypeVar("R", bound=_Record)


def write(directory: Path, guest: str, record: msgspec.Struct) -> None:
    """Replace a guest's record. Raises StateFileError where that cannot be written."""
    path = path_of(directory, guest)
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(path, documents.encode(record), sole_writer=True)
    except OSError as error:
        raise StateFileError(path, error.strerror, operation="write", hint="run as root, or free space there") from None


def delete(directory: Path, guest: str) -> None:
    """Delete a guest's record, if there is one. Raises StateFileError where that is impossible."""
    path = path_of(directory, guest)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateFileError(path, error.strerror, operation="delete", hint="run as root") from None


def read(directory: Path, kind: type[R], check: Callable[[R], Iterable[str]]) -> Iterator[R]:
    """The valid records of this boot, sorted by file."""
    return (record for _, record in _files(directory, kind, check) if record)


def sweep(directory: Path, kind: type[R], check: Callable[[R], Iterable[str]], wanted: Callable[[R], bool]) -> None:
    """Delete all files but the records that are ``wanted``. No other program may write one at the time.

    What cannot be deleted, such as a directory, says nothing anyway.
    """
    for file, record in _files(directory, kind, check, "*"):
        if record is None or not wanted(record):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def path_of(directory: Path, guest: str) -> Path:
    """The file of one guest, named by a digest because a guest's name can be any text."""
    return directory / f"{hashlib.sha256(os.fsencode(guest)).hexdigest()[:32]}.json"


def _files(
    directory: Path, kind: type[R], check: Callable[[R], Iterable[str]], pattern: str = "*.json"
) -> Iterator[tuple[Path, R | None]]:
    """The files of a directory, with their records where they are valid."""
    try:
        files = sorted(directory.glob(pattern))
    except OSError:
        return
    for file in files:
        try:
            with file.open("rb") as opened:
                record = documents.decode(opened.read(_LARGEST), kind, str(file), check)
        except (OSError, DocumentError):
            yield file, None
        else:
            yield file, record if record.boot_id == boot_id() else None
