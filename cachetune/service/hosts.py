"""Where the host comes from: the live tree, a copy of one, a snapshot, or a simulated host.

The same for every verb.
"""

import difflib
from collections.abc import Collection
from pathlib import Path

import click

from cachetune import documents
from cachetune.errors import InputError, LockTimeoutError
from cachetune.host.check import check_host
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.sysfs import sizes_for

_SIMULATED = "sim:"
_LOCK_SECONDS = 1.0
_LARGEST_SNAPSHOT = 1 << 28


def load_host(host: str | None, resctrl: Path, sysfs: Path, owned: Collection[str] = ()) -> Host:
    """The host that the options name: ``host`` is a snapshot's file, "-", or sim:NAME; None means the tree
    ``resctrl``.

    A live tree is read under a shared lock, waiting for it one second at most. A snapshot or a copy of a tree
    is checked like any other input. ``owned`` are groups that are ours whatever their names (a snapshot says
    so itself). Raises InputError, HostError or ResctrlError.
    """
    if host is None or host.startswith(_SIMULATED):
        fs = open_resctrl(host, resctrl)
        return read_locked(fs, sysfs, owned) if isinstance(fs, SysfsResctrl) else read_host(fs, None, owned)
    name = "<stdin>" if host == "-" else host
    return check_host(documents.decode(_read(host), Host, name), name)


def open_resctrl(host: str | None, resctrl: Path) -> Resctrl:
    """The resctrl behind the options, for verbs that read counters or write.

    Raises InputError for a snapshot.
    """
    if host is None:
        return SysfsResctrl(resctrl)
    if not host.startswith(_SIMULATED):
        raise InputError(f"{host} is a snapshot: it has no counters", hint="use --resctrl DIR or --host sim:NAME")
    from cachetune.sim import SimulatedResctrl, load_profile, profile_names

    name = host.removeprefix(_SIMULATED)
    if name not in profile_names():
        raise InputError(f"there is no simulated host {name!r}", hint=_suggestion(name, profile_names()))
    return SimulatedResctrl(load_profile(name))


def read_locked(fs: SysfsResctrl, sysfs: Path, owned: Collection[str] = ()) -> Host:
    """Read a real tree, under its lock where it has one."""
    sizes = sizes_for(fs, sysfs)
    if not fs.is_live:
        return check_host(read_host(fs, sizes, owned), fs.source)
    try:
        with fs.lock(exclusive=False, timeout=_LOCK_SECONDS):
            return read_host(fs, sizes, owned)
    except LockTimeoutError as error:
        click.echo(f"warning: {error}; reading without the lock, so values may not fit together", err=True)
        return read_host(fs, sizes, owned)


def _read(path: str) -> bytes:
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read(_LARGEST_SNAPSHOT + 1)
    except OSError as error:
        hint = "for a directory use --resctrl DIR" if Path(path).is_dir() else "give a snapshot's file or sim:NAME"
        raise InputError(f"cannot read {path}: {error.strerror}", hint=hint) from None
    if len(data) > _LARGEST_SNAPSHOT:
        raise InputError(f"{path} is larger than any snapshot")
    return data


def _suggestion(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    known = ", ".join(names)
    return f"did you mean sim:{near[0]}? There are {known}" if near else f"there are {known}"
