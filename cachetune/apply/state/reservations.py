"""Reservations: groups that libvirt is about to create, whose ways no run of ours may take in the meantime.

libvirt creates a guest's groups some moments after the hook has checked that they fit. Until then they are recorded
here, in one small file per guest in the run directory, and every run of ours counts them as existing. They expire after
a minute: libvirt has given up by then.
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
    """Reserve the groups of a guest. Raises StateFileError where that cannot be written."""
    reservation = Reservation(boot_id=boot_id(), until=_now() + _SECONDS, groups=groups)
    path = _path(run, guest)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(path, documents.encode(reservation))
    except OSError as error:
        raise StateFileError(path, error.strerror, operation="write", hint="run as root, or free space there") from None


def release(run: Path, guest: str) -> None:
    """Delete a guest's reservation: its groups exist now, or will not be created."""
    _path(run, guest).unlink(missing_ok=True)


def with_reservations(host: Host, run: Path) -> Host:
    """The host with the reserved groups that do not exist yet. Unreadable reservations are ignored."""
    upcoming = [group for reservation in _valid(run) for group in reservation.groups if host.group(group.path) is None]
    return msgspec.structs.replace(host, groups=(*host.groups, *upcoming)) if upcoming else host


def _valid(run: Path) -> Iterator[Reservation]:
    try:
        files = sorted((run / "expected").glob("*.json"))
    except OSError:
        return
    for file in files:
        try:
            with file.open("rb") as opened:
                reservation = documents.decode(opened.read(_LARGEST), Reservation, str(file))
        except (OSError, DocumentError):
            continue
        if reservation.boot_id == boot_id() and reservation.until > _now():
            yield reservation


def _path(run: Path, guest: str) -> Path:
    """The file of one guest, named by a digest because a guest's name can be any text."""
    return run / "expected" / f"{hashlib.sha256(os.fsencode(guest)).hexdigest()[:32]}.json"


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
