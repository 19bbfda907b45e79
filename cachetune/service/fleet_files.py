"""Read what ``fit`` is about: guests (domain XML and tuning files) and hosts (snapshots), distinguished by content.

A file that cannot be used is returned with the reason, and does not keep the others from being used.
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

import msgspec

from cachetune.domain import read_file
from cachetune.domain.model import Domain
from cachetune.errors import (
    CachetuneError,
    DocumentError,
    InputError,
    InvalidDomainError,
    MachineNameError,
    UnreadableFileError,
)
from cachetune.findings import Finding
from cachetune.fleet.model import Candidate, Unusable
from cachetune.fleet.snapshots import Snapshot, counted
from cachetune.host.model import Host
from cachetune.plan.groups.names import machine_name_of
from cachetune.service.connection import SIMULATED, Location
from cachetune.service.hosts import host_of_snapshot, read_location
from cachetune.service.requests import Document, load_document
from cachetune.service.search import Search

STDIN = "<stdin>"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_NEITHER = "it is neither domain XML nor a snapshot"
_TAKE_ONE = "run 'cachetune snapshot -o FILE' on the host"


class FleetGuest(msgspec.Struct, frozen=True):
    """A guest to find a host for. ``findings`` are the warnings about its XML in ``file``."""

    file: str
    domain: Domain
    findings: tuple[Finding, ...] = ()


class SnapshotFile(NamedTuple):
    """A snapshot to read: a path or sim:NAME. ``data`` is the content of one that cannot be read again."""

    file: str
    data: bytes | None = None


class FleetFiles(NamedTuple):
    """The guests, the snapshots, which have not been read yet, and what can be neither."""

    guests: tuple[FleetGuest, ...]
    snapshots: tuple[SnapshotFile, ...]
    unusable: tuple[Unusable, ...]


class Candidates(NamedTuple):
    """The hosts; ``older`` are the snapshots that do not count because of a newer one, by the file of that one."""

    candidates: tuple[Candidate, ...]
    older: dict[str, tuple[str, ...]]
    unusable: tuple[Unusable, ...]


def find_files(names: Sequence[str]) -> FleetFiles:
    """Distinguish guests from snapshots by their content, and load the guests.

    ``names`` are files, directories (searched for *.json, which are snapshots), sim:NAME, and "-" once.
    """
    search = Search(list(dict.fromkeys(names)), ".json")
    unusable = [Unusable(name, reason) for name, reason in search.missing]
    in_directories = {path for _, found in search.found for path in found}
    guests: dict[str, FleetGuest] = {}
    snapshots: list[SnapshotFile] = []
    for name in search.files:
        if name in in_directories or name.startswith(SIMULATED):
            snapshots.append(SnapshotFile(name))
            continue
        file = STDIN if name == "-" else name
        try:
            data = read_file(name)
            if _is_json(data):
                snapshots.append(SnapshotFile(file, data if name == "-" else None))
                continue
            guest = _guest(file, data)
            if other := guests.get(guest.domain.name):
                raise InputError(f"guest {guest.domain.name!r} is in {other.file} already")
            guests[guest.domain.name] = guest
        except CachetuneError as error:
            unusable.append(_unusable(file, error))
    return FleetFiles(tuple(guests.values()), tuple(snapshots), tuple(unusable))


def read_candidates(snapshots: Iterable[SnapshotFile]) -> Candidates:
    """Read all snapshots, and keep the newest of each host."""
    read: list[Candidate] = []
    unusable: list[Unusable] = []
    for snapshot in snapshots:
        found = read_candidate(snapshot)
        if isinstance(found, Candidate):
            read.append(found)
        else:
            unusable.append(found)
    names, older = counted(map(snapshot_of, read))
    kept = tuple(msgspec.structs.replace(each, name=names[each.file]) for each in read if each.file in names)
    return Candidates(kept, older, tuple(unusable))


def read_candidate(snapshot: SnapshotFile) -> Candidate | Unusable:
    """Read one snapshot. Its ``name`` is what the snapshot says; ``counted`` finds one for those that do not say."""
    try:
        host = _host(snapshot)
    except CachetuneError as error:
        return _unusable(snapshot.file, error)
    identity = host.identity
    return Candidate(identity.hostname if identity else "", host, snapshot.file, identity.taken if identity else None)


def snapshot_of(candidate: Candidate) -> Snapshot:
    """What decides whether a snapshot counts."""
    return Snapshot(candidate.file, candidate.name, candidate.taken)


def _host(snapshot: SnapshotFile) -> Host:
    if snapshot.file.startswith(SIMULATED):
        return read_location(Location(host=snapshot.file)).host
    data = read_file(snapshot.file) if snapshot.data is None else snapshot.data
    return host_of_snapshot(data, snapshot.file)


def _is_json(data: bytes) -> bool:
    """Whether the content is JSON rather than XML. Raises InputError if it is neither."""
    start = data[:1024].removeprefix(_UTF8_MARK).lstrip()[:2]
    if start[:1] in (b"{", b"["):
        return True
    if start[:1] != b"<" and not data.startswith(_UTF16_MARKS):
        raise InputError(_NEITHER if data.strip() else "it is empty", hint=_TAKE_ONE)
    return False


def _guest(file: str, data: bytes) -> FleetGuest:
    """The guest of a document; a tuning file is called like its guest."""
    domain, findings = load_document(Document(file, data))
    if not domain.name:
        if file == STDIN:
            raise InputError("it does not name its guest", hint="pass domain XML, or a tuning file called NAME.xml")
        domain = msgspec.structs.replace(domain, name=PurePath(file).stem)
    try:
        machine_name_of(domain)
    except MachineNameError as error:
        raise InputError(f"guest {domain.name!r} {error.reason}", hint="it needs letters or digits") from None
    return FleetGuest(file, domain, findings)


def _unusable(file: str, error: CachetuneError) -> Unusable:
    findings = error.findings if isinstance(error, InvalidDomainError) else ()
    reason = str(error)
    if isinstance(error, UnreadableFileError):
        reason = f"cannot be read: {error.reason}"
    elif isinstance(error, DocumentError):
        reason = f"not valid: {error.reason}"
    return Unusable(file, reason, error.hint, findings)
