"""The measurement: which groups have other ways for a while, and what they had before.

``cachetune advise --measure`` gives a group one size after another. Each of these changes is a run with its own
journal; this file spans all of them. It is written before the first change and deleted after the last, which restores
the masks of before. The process that measures holds an flock on it: if the process is killed, the lock is released and
the file is left, and ``recover`` restores. A process that is stopped for long loses its claim when the time is up.

For all other runs a measured group still has the ways of before, and the ways that it borrows are taken.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from cachetune import documents
from cachetune.apply.state.journal import boot_id
from cachetune.cbm import Cbm, Masks
from cachetune.documents import repeated
from cachetune.errors import DocumentError, StateFileError
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.paths import kind_of
from cachetune.host.resctrl.schemata import cache_resource
from cachetune.plan.model import PlanGuest

_NAME = "measurement.json"
_LARGEST = 1 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_HINT = "compare 'cachetune show' with what you expect, set the ways by hand, then delete the file"


class MeasuredGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A control group at ``path`` of a guest: its mask ``before``, and all that the measurement gives it.

    ``masks`` are those with which it is measured, the smallest first; ``pushed`` it has while others are measured.
    """

    guest: str
    machine_name: str
    uuid: str | None = None
    path: str
    before: Cbm
    masks: tuple[Cbm, ...]
    pushed: tuple[Cbm, ...] = ()

    @property
    def all_masks(self) -> frozenset[Cbm]:
        """Every mask that the group can have while it is measured."""
        return frozenset((self.before, *self.masks, *self.pushed))

    @property
    def plan_guest(self) -> PlanGuest:
        """The guest, for a plan that changes the group."""
        return PlanGuest(self.guest, self.machine_name, self.uuid)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement of groups in one cache by the process ``pid``, until at most ``until``.

    ``until`` is in seconds since the boot ``boot_id``, ``ends`` the same moment in seconds since 1970, for people.
    ``id`` distinguishes it from all others.
    """

    schema_version: Literal[1] = 1
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    boot_id: str
    resctrl: str
    pid: int
    until: float
    ends: float
    resource: str
    cache_id: int
    groups: Annotated[tuple[MeasuredGroup, ...], msgspec.Meta(min_length=1)]

    @property
    def guests(self) -> tuple[str, ...]:
        """The names of the guests."""
        return tuple(dict.fromkeys(group.guest for group in self.groups))

    def of(self, path: str) -> MeasuredGroup | None:
        """The measured group at ``path``."""
        return next((group for group in self.groups if group.path == path), None)


class Held:
    """A measurement of this process: the file with its lock."""

    def __init__(self, measurement: Measurement, path: Path, fd: int) -> None:
        self.measurement, self._path, self._fd = measurement, path, fd

    def release(self) -> None:
        """Give up the lock and leave the file, if it is still there, for ``recover``."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @property
    def is_valid(self) -> bool:
        """Whether the file is still this one: recover deletes that of a process whose time is up."""
        try:
            return self._fd >= 0 and os.path.samestat(os.fstat(self._fd), self._path.lstat())
        except OSError:
            return False


def new(resctrl: str, resource: str, cache_id: int, groups: tuple[MeasuredGroup, ...], seconds: float) -> Measurement:
    """A measurement by this process that takes at most ``seconds``."""
    return Measurement(
        id=os.urandom(8).hex(),
        boot_id=boot_id(),
        resctrl=resctrl,
        pid=os.getpid(),
        until=_now() + seconds,
        ends=time.time() + seconds,
        resource=resource,
        cache_id=cache_id,
        groups=groups,
    )


def begin(measurement: Measurement, run: Path) -> Held:
    """Write the file; the caller holds the lock on resctrl, and has found no other measurement.

    Raises StateFileError if it cannot be written.
    """
    path, part = run / _NAME, run / f"{_NAME}.new"
    fd = -1
    try:
        run.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(part, _NEW, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it stays with the file, whatever its name
        data = documents.encode(measurement)
        if os.write(fd, data) != len(data):
            raise OSError(0, "it is incomplete")  # noqa: TRY301 - as a full disk is
        os.fsync(fd)
        part.rename(path)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
            part.unlink(missing_ok=True)
        hint = "nothing was changed; run as root, free space there, or pass another directory with --run"
        raise StateFileError(path, error.strerror, operation="write", hint=hint) from None
    return Held(measurement, path, fd)


def read(run: Path) -> Measurement | None:
    """The measurement in the run directory, in progress or left; None without one of this boot.

    Raises StateFileError if the file cannot be used.
    """
    path = run / _NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = file.read(_LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateFileError(path, error.strerror, hint=_HINT) from None
    try:
        found = documents.decode(data, Measurement, str(path), _problems)
    except DocumentError as error:
        raise StateFileError(path, error.reason, hint=_HINT) from None
    return found if found.boot_id == boot_id() else None


def read_if_usable(run: Path) -> Measurement | None:
    """``read`` for those who only make room for a measurement; None for a file that cannot be used."""
    try:
        return read(run)
    except StateFileError:
        return None


def is_running(measurement: Measurement, run: Path) -> bool:
    """Whether the process that measures is alive and has time left."""
    if measurement.until <= _now():
        return False
    try:
        fd = os.open(run / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def exists(run: Path) -> bool:
    """Whether there is a file, whatever it has."""
    return os.path.lexists(run / _NAME)


def is_left(run: Path) -> bool:
    """Whether there is a file that no process stands for, so that something may have to be restored."""
    if not exists(run):
        return False
    found = read_if_usable(run)
    return found is None or not is_running(found, run)


def delete(run: Path) -> None:
    """Delete the file; the caller holds the lock on resctrl. Raises StateFileError."""
    try:
        (run / _NAME).unlink(missing_ok=True)
    except OSError as error:
        raise StateFileError(run / _NAME, error.strerror, operation="delete", hint="run as root") from None


def without_measurement(host: Host, run: Path, mine: str = "") -> Host:
    """The host as if no group were measured; the ways that a measurement borrows belong to a separate group.

    A mask that another program has given the group since is shown as it is. The measurement with the id ``mine`` is
    that of the caller, who sees the host as it is.
    """
    found = read_if_usable(run)
    if found is None or found.id == mine:
        return host
    name, cache_id = found.resource, found.cache_id
    borrowed = Cbm(0)
    groups = []
    for group in host.groups:
        measured = found.of(group.path)
        now = group.masks.at(name, cache_id)
        if measured is None or now not in measured.all_masks:
            groups.append(group)
            continue
        masks = group.masks.updated(Masks.of([(name, cache_id, measured.before)]))
        groups.append(replace(group, masks=masks))
        for mask in measured.all_masks:
            borrowed = borrowed | mask
    for measured in found.groups:
        borrowed = borrowed & ~measured.before
    if borrowed:
        path = f"measurement by process {found.pid}"
        groups.append(Group(path, "control", "unknown", masks=Masks.of([(name, cache_id, borrowed)])))
    return replace(host, groups=tuple(groups))


def _problems(found: Measurement) -> Iterator[str]:
    """What no measurement of ours has."""
    yield from repeated("group", (group.path for group in found.groups))
    if cache_resource(found.resource) is None or found.cache_id < 0:
        yield f"{found.resource} cache {found.cache_id} is not a cache"
    for group in found.groups:
        if group.path == DEFAULT_GROUP or kind_of(group.path) != "control":
            yield f"{group.path!r} is not the path of a guest's control group"
        if not all(group.all_masks):
            yield f"group {group.path!r}: an empty mask"


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
