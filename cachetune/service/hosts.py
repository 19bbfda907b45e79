"""Read the host of a location: the live tree, a copy of one, a snapshot, or a simulated host."""

import sys
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.run import interrupted
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.apply.state.measurement import without_measurement
from cachetune.apply.state.reservations import with_reservations
from cachetune.errors import DocumentError, InputError, LockTimeoutError, StateFileError, UnreadableFileError
from cachetune.fleet.snapshots import STALE_SECONDS
from cachetune.host.check import check_host
from cachetune.host.identity import identity_of_machine
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl, is_kernels
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.sysfs import sizes_for
from cachetune.host.usage import HostUsage, usage_of
from cachetune.service.connection import SIMULATED, Location, open_resctrl
from cachetune.text import count

_LOCK_SECONDS = 1.0
_DAY = 86400
_LARGEST_SNAPSHOT = 1 << 28
_MOUNT_PROFILES = "mount it: cachetune sim mount DIR --profile FILE; then pass --resctrl DIR"


class HostReading(msgspec.Struct, frozen=True):
    """A host, the ledger of the groups that cachetune made there, and ``notes``: warnings, such as unreadable files."""

    host: Host
    ledger: Ledger = Ledger()
    notes: tuple[str, ...] = ()

    @property
    def usage(self) -> HostUsage:
        """What is used and what is free on the host."""
        return usage_of(self.host)


def read_location(location: Location) -> HostReading:
    """Read the host of a location.

    A live tree is read under a shared lock; if that is not free within a second, it is read without, and a note says
    so. Another note says that a run was interrupted and not recovered yet. Snapshots and copies of trees are checked as
    any input is. Raises InputError, HostError or ResctrlError.
    """
    if location.host is not None and not location.host.startswith(SIMULATED):
        name = "<stdin>" if location.host == "-" else location.host
        host = host_of_snapshot(read_snapshot(location.host), name)
        return HostReading(host, notes=problems_of(host))
    return read_tree(open_resctrl(location), location)


def host_of_snapshot(data: bytes, name: str) -> Host:
    """The host in a snapshot, checked as any input is; ``name`` is the snapshot's in messages. Raises InputError."""
    try:
        return check_host(documents.decode(data, Host, name), name)
    except DocumentError:
        if documents.kind_of(data, name) == "profile":
            raise InputError(f"{name} is a profile, not a snapshot", hint=_MOUNT_PROFILES) from None
        raise


def read_for_snapshot(location: Location) -> HostReading:
    """Like ``read_location``, with the identity of this machine if its own resctrl is read.

    A simulated host and a copy of a tree have none, and a snapshot keeps that which it has.
    """
    reading = read_location(location)
    if location.host is not None or not is_kernels(SysfsResctrl(location.resctrl)):
        return reading
    host = msgspec.structs.replace(reading.host, identity=identity_of_machine(location.proc))
    return msgspec.structs.replace(reading, host=host)


def read_tree(resctrl: Resctrl, location: Location) -> HostReading:
    """Read the host behind the opened resctrl of a location, which is not a snapshot, as ``read_location`` does."""
    if not isinstance(resctrl, SysfsResctrl):
        return HostReading(read_host(resctrl))
    ledger, notes = readable_ledger(location)
    host, warnings = _read_locked(resctrl, location, ledger.owned)
    return HostReading(host, ledger, (*notes, *warnings, *problems_of(host)))


def read_for_planning(location: Location) -> HostReading:
    """Like ``read_location``; a live host includes the groups reserved for starting guests, as it does for apply.

    A note says that a snapshot is stale: its groups are those of then.
    """
    reading = read_location(location)
    if location.host is not None:
        return msgspec.structs.replace(reading, notes=(*reading.notes, *_staleness(reading.host, location.host)))
    return msgspec.structs.replace(reading, host=for_planning(reading.host, location.run))


def for_planning(host: Host, run: Path) -> Host:
    """A live host as a plan has to see it: with the groups reserved for starting guests, without a measurement."""
    return without_measurement(with_reservations(host, run), run)


def _staleness(host: Host, file: str) -> tuple[str, ...]:
    age = time.time() - host.identity.taken if host.identity else 0.0
    if age <= STALE_SECONDS:
        return ()
    name = "<stdin>" if file == "-" else file
    return (f"{name} was saved {count(int(age // _DAY), 'day')} ago; the host may have changed since",)


def readable_ledger(location: Location) -> tuple[Ledger, tuple[str, ...]]:
    """The ledger and no notes, or an empty ledger and a note: reading a host does not require root."""
    if location.host is not None:
        return Ledger(), ()
    try:
        return load_ledger(location.run), ()
    except StateFileError as error:
        return Ledger(), (str(error),)


def problems_of(host: Host) -> tuple[str, ...]:
    """Warnings about the files of the host's groups that could not be read or understood, one for each file."""
    return tuple(f"{host.source}/{problem}" for problem in host.problems)


def _read_locked(resctrl: SysfsResctrl, location: Location, owned: Collection[str]) -> tuple[Host, tuple[str, ...]]:
    """The host of a tree of files, read under the lock if it is live, and notes."""
    sizes = sizes_for(resctrl, location.sysfs)
    if not resctrl.is_live:
        return check_host(read_host(resctrl, sizes, owned), resctrl.source), ()
    try:
        with resctrl.lock(exclusive=False, timeout=_LOCK_SECONDS):
            return read_host(resctrl, sizes, owned), _interrupted(location.run)
    except LockTimeoutError as error:
        return read_host(resctrl, sizes, owned), (f"{error}; read without the lock, values may be inconsistent",)


def _interrupted(run: Path) -> tuple[str, ...]:
    """A note if there is a journal. Nothing else runs while we hold the lock, so an interrupted run has left it."""
    if not journal.exists(run):
        return ()
    error = interrupted(run)
    return (f"{error.finding.message}; {error.hint}",)


def read_snapshot(path: str) -> bytes:
    """The bytes of a snapshot's file, "-" for standard input. Raises UnreadableFileError."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_LARGEST_SNAPSHOT + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_LARGEST_SNAPSHOT + 1)
    except OSError as error:
        hint = "use --resctrl DIR for a directory" if Path(path).is_dir() else "pass a snapshot file or sim:NAME"
        raise UnreadableFileError(path, error.strerror, hint=hint) from None
    if len(data) > _LARGEST_SNAPSHOT:
        raise UnreadableFileError(path, "too large for a snapshot")
    return data
