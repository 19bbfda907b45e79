"""Which of many snapshots count, and what their hosts are called."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

SIMULATED = "sim:"

STALE_SECONDS = 86400.0
"""How old a snapshot may be before it is called stale."""


class Snapshot(NamedTuple):
    """Where a snapshot is from, the name of its host ("" if it does not say), and when it was taken."""

    file: str
    hostname: str
    taken: float | None


class Counted(NamedTuple):
    """The names of the hosts by the file that counts, and the files that do not, by the file that is newer."""

    names: dict[str, str]
    older: dict[str, tuple[str, ...]]


def counted(snapshots: Iterable[Snapshot]) -> Counted:
    """Of several snapshots of one host the newest counts, of equally new ones the first; each host gets a name.

    A host is called what its snapshot says, or else like the file, without its suffix. If that is the name of another
    host, it is called like the path of the file.
    """
    newest: dict[str, Snapshot] = {}
    hosts: dict[str, list[Snapshot]] = {}
    for each in snapshots:
        key = each.hostname or f"\0{each.file}"  # files of unnamed hosts are different hosts
        hosts.setdefault(key, []).append(each)
        if key not in newest or (each.taken or 0) > (newest[key].taken or 0):
            newest[key] = each
    names = {each.file: each.hostname for each in newest.values() if each.hostname}
    unnamed = [each.file for each in newest.values() if not each.hostname]
    shorts = [_short(file) for file in unnamed]
    taken = set(names.values())
    for file, short in zip(unnamed, shorts, strict=True):
        names[file] = file if short in taken or shorts.count(short) > 1 else short
    older = {
        newest[key].file: tuple(each.file for each in found if each is not newest[key])
        for key, found in hosts.items()
        if len(found) > 1
    }
    return Counted(names, older)


def _short(file: str) -> str:
    return file if file.startswith((SIMULATED, "<")) else PurePath(file).stem or file
