"""Reservations: groups that libvirt is about to create, whose ways no run of ours may take in the meantime.

libvirt creates a guest's groups some moments after the hook has checked that they fit. Until then they are recorded
here, and every run of ours counts them as existing. They expire after a minute: libvirt has given up by then. A group
that does not exist then owns nothing, and ``cachetune.apply.settle`` returns the ways that were freed for it.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.apply.state import per_guest
from cachetune.apply.state.journal import boot_id
from cachetune.documents import repeated
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.paths import kind_of
from cachetune.host.resctrl.schemata import cache_resource

_SECONDS = 60.0


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one guest, expected until ``until`` (seconds since the boot ``boot_id``)."""

    schema_version: Literal[1] = 1
    boot_id: str
    until: float
    groups: tuple[Group, ...]


def reserve(run: Path, guest: str, groups: tuple[Group, ...]) -> None:
    """Reserve the groups of a guest; the caller holds the lock. Raises StateFileError where that cannot be written."""
    per_guest.write(run / "expected", guest, Reservation(boot_id=boot_id(), until=_now() + _SECONDS, groups=groups))


def release(run: Path, guest: str) -> None:
    """Delete a guest's reservation: its groups exist now, or will not be created."""
    per_guest.delete(run / "expected", guest)


def forget_expired(run: Path) -> None:
    """Delete what is no longer a reservation; the caller holds the lock, without which none is made."""
    per_guest.sweep(run / "expected", Reservation, _problems, _is_valid)


def with_reservations(host: Host, run: Path) -> Host:
    """The host with the reserved groups that do not exist yet.

    Unreadable reservations are ignored, and those whose ways another group has: the hook was killed before it could
    free them, or another program took them, so libvirt cannot create the groups there.
    """
    upcoming: dict[str, Group] = {}
    for found in _valid(run):
        groups = [group for group in found.groups if host.group(group.path) is None]
        if all(_has_room(group, host) for group in groups):
            upcoming |= {group.path: group for group in groups}
    return msgspec.structs.replace(host, groups=(*host.groups, *upcoming.values())) if upcoming else host


def _has_room(group: Group, host: Host) -> bool:
    return not any(
        (other.masks.at(name, cache_id) or 0) & mask
        for name, cache_id, mask in group.masks.entries()
        for other in host.control_groups()
    )


def seconds_left(run: Path) -> dict[str, float]:
    """How long each reserved group may still be created, by path, whether it exists or not."""
    return {group.path: found.until - _now() for found in _valid(run) for group in found.groups}


def _valid(run: Path) -> Iterator[Reservation]:
    return filter(_is_valid, per_guest.read(run / "expected", Reservation, _problems))


def _is_valid(found: Reservation) -> bool:
    return found.until > _now()


def _problems(found: Reservation) -> Iterator[str]:
    """What cannot be a reservation of ours: it is never longer than a minute, for groups that libvirt can create."""
    if found.until > _now() + _SECONDS:
        yield f"it expires {found.until - _now():.0f} s from now"
    yield from repeated("group", (group.path for group in found.groups))
    controls = {DEFAULT_GROUP, *(group.path for group in found.groups if group.kind == "control")}
    for group in found.groups:
        if group.path == DEFAULT_GROUP or kind_of(group.path) != group.kind:
            yield f"{group.path!r} is not the path of a {group.kind} group"
        if group.parent not in controls:
            yield f"group {group.path!r} has no control group {group.parent!r}"
        for name, cache_id, mask in group.masks.entries():
            if cache_resource(name) is None or cache_id < 0 or not mask:
                yield f"group {group.path!r}: {name}:{cache_id}={mask:x} is not a mask"


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
