"""Groups that somebody else is about to make: room that nobody may take meanwhile.

libvirt makes a guest's groups some moments after its hook has seen that they fit. Until then they are written down
here, one small file for each guest in the run directory, and every run of ours sees them as if they were there. They
lapse after a minute: who has not made them by then will not come.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cachetune import documents
from cachetune.apply.state.journal import boot_id
from cachetune.errors import DocumentError, StateFileError
from cachetune.files import replace_file
from cachetune.host.model import Group, Host

_SECONDS = 60.0
_LARGEST = 1 << 20


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one guest, expected until ``until`` (seconds since the boot ``boot_id``)."""

    schema_version: Literal[1] = 1
    boot_id: str
    until: float
    groups: tuple[Group, ...]


def reserve(run: Path, guest: str, groups: tuple[Group, ...]) -> None:
    """Write down what is expected for the guest of that name. Raises StateFileError where that cannot be written."""
    note = Reservation(boot_id=boot_id(), until=_now() + _SECONDS, groups=groups)
    path = _path(run, guest)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(path, documents.encode(note))
    except OSError as error:
        raise StateFileError(path, error.strerror, operation="write", hint="run as root, or free space there") from None


def release(run: Path, guest: str) -> None:
    """Forget what was expected for the guest: its groups are there now, or will not come."""
    _path(run, guest).unlink(missing_ok=True)


def with_reservations(host: Host, run: Path) -> Host:
    """The host with the groups that are expected and not there yet. A note that cannot be read expects nothing."""
    coming = [group for note in _notes(run) for group in note.groups if host.group(group.path) is None]
    return msgspec.structs.replace(host, groups=(*host.groups, *coming)) if coming else host


def _notes(run: Path) -> Iterator[Reservation]:
    try:
        files = sorted((run / "expected").glob("*.json"))
    except OSError:
        return
    for file in files:
        try:
            with file.open("rb") as opened:
                note = documents.decode(opened.read(_LARGEST), Reservation, str(file))
        except (OSError, DocumentError):
            continue
        if note.boot_id == boot_id() and note.until > _now():
            yield note


def _path(run: Path, guest: str) -> Path:
    """A file of the guest's own; its name may be anything, so its digest names the file."""
    return run / "expected" / f"{hashlib.sha256(os.fsencode(guest)).hexdigest()[:32]}.json"


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
