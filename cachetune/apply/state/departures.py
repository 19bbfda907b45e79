"""Departures: guests that have ended and whose groups are still to be removed.

libvirt reports the end of a guest once, and the hook may be killed then, or find resctrl locked. So it records the end
first and deletes the record when the groups are removed. Whatever settles the host next (``cachetune.apply.settle``)
removes the groups of those that are left.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.apply.state import per_guest
from cachetune.apply.state.journal import boot_id


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """The guest ``guest`` has ended in the boot ``boot_id``."""

    schema_version: Literal[1] = 1
    boot_id: str
    guest: str


def record(run: Path, guest: str) -> None:
    """Record that a guest has ended. Raises StateFileError where that cannot be written."""
    # A name that is not text belongs to no guest with groups, and is not worth more.
    name = os.fsencode(guest).decode(errors="replace")
    per_guest.write(run / "departed", guest, Departure(boot_id=boot_id(), guest=name))


def forget(run: Path, guest: str) -> None:
    """Delete the record of a guest: its groups are removed, or it is starting again."""
    per_guest.delete(run / "departed", guest)


def departed(run: Path) -> tuple[str, ...]:
    """The names of the guests that have ended in this boot and have not been forgotten."""
    return tuple(found.guest for found in per_guest.read(run / "departed", Departure, _problems))


def _problems(departure: Departure) -> Iterable[str]:
    """A name is the name of a guest, and nothing else; the groups decide what belongs to it."""
    if not departure.guest:
        yield "the guest has no name"
