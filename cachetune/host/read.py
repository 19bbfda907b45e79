"""Read a whole host: the groups, then what the hardware can do. One pass, each file once.

Groups can disappear during the read; such a group is left out, as if it had been removed a moment earlier. A file that
is missing from a plain copy of a tree leaves its part of the Host empty.
"""

import errno
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec.structs import replace

from cachetune.errors import HostError, ResctrlError
from cachetune.host.capabilities import GONE, read_bandwidths, read_caches, read_if_there, read_monitors
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.owners import owner_of
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.resctrl.schemata import parse

# Entries of the root, and of info/, that are not groups or resources.
NOT_GROUPS = frozenset(
    {
        *("cpus", "cpus_list", "info", "mode", "mon_data", "mon_groups", "schemata", "size", "tasks"),
        *("ctrl_hw_id", "mon_hw_id", "mba_MBps_event", "mbm_L3_assignments"),
    }
)
# Without monitoring these names are free, so mkdir of a monitor group there creates a control group.
STRAY = frozenset({"mon_data", "mon_groups"})
_NOT_RESOURCES = {"last_cmd_status"}


def read_host(fs: Resctrl, sysfs: Path | None = None, owned: Collection[str] = ()) -> Host:
    """Read everything that planning needs to know about the host behind ``fs``.

    ``sysfs`` is where cache sizes are looked up first (usually /sys). ``owned`` are paths of groups in our ledger,
    whatever their names. A caller that needs a consistent state takes the lock first.

    Raises HostError for a file with unexpected content, ResctrlError for one that cannot be read.
    """
    groups = tuple(_groups(fs, frozenset(owned)))
    info = [name for name in fs.listdir("info") if name not in _NOT_RESOURCES]
    caches = tuple(read_caches(fs, info, groups[0], sysfs))
    bandwidths = tuple(read_bandwidths(fs, info, groups, caches))
    host = Host(
        source=fs.source,
        mount_options=fs.mount_options,
        caches=caches,
        bandwidths=bandwidths,
        monitors=tuple(read_monitors(fs, info)),
        groups=groups,
    )
    return replace(host, unknown_resources=tuple(name for name in info if name not in host.resource_names))


def _groups(fs: Resctrl, owned: frozenset[str]) -> Iterator[Group]:
    """The default group first, then the control groups by name, each followed by its monitor groups."""
    root = _control_group(fs, DEFAULT_GROUP, owned)
    yield root or Group(path=DEFAULT_GROUP, kind="control", owner="default")
    yield from _monitor_groups(fs, "mon_groups", owned)
    for name in fs.listdir(""):
        if (name not in NOT_GROUPS or _is_stray(fs, name)) and (group := _control_group(fs, name, owned)):
            yield group
            yield from _monitor_groups(fs, f"{name}/mon_groups", owned)


def _is_stray(fs: Resctrl, name: str) -> bool:
    return name in STRAY and fs.exists(f"{name}/schemata")


def _control_group(fs: Resctrl, path: str, owned: frozenset[str]) -> Group | None:
    prefix = "" if path == DEFAULT_GROUP else f"{path}/"
    schemata = read_if_there(fs, prefix + "schemata")
    mode = read_if_there(fs, prefix + "mode")
    tasks = _members(fs, prefix + "tasks")
    cpus = _members(fs, prefix + "cpus_list")
    if None in {schemata, mode, tasks, cpus} and not _is_directory(fs, path):
        return None
    values = parse(schemata or "")
    return Group(
        path=_printable(path),
        kind="control",
        owner=owner_of(path, owned),
        mode=(mode or "").strip() or "shareable",
        masks=values.masks,
        bandwidth=values.bandwidth,
        other_lines=values.other_lines,
        tids=_tids(fs, path, tasks),
        cpus=(cpus or "").strip(),
    )


def _monitor_groups(fs: Resctrl, directory: str, owned: frozenset[str]) -> Iterator[Group]:
    try:
        names = fs.listdir(directory)
    except ResctrlError as error:
        if error.errno in GONE:
            return
        raise
    for name in names:
        path = f"{directory}/{name}"
        tasks = _members(fs, f"{path}/tasks")
        cpus = _members(fs, f"{path}/cpus_list")
        if (tasks is None or cpus is None) and not _is_directory(fs, path):
            continue
        yield Group(
            path=_printable(path),
            kind="monitor",
            owner=owner_of(path, owned),
            tids=_tids(fs, path, tasks),
            cpus=(cpus or "").strip(),
        )


def _members(fs: Resctrl, path: str) -> str | None:
    """The content of tasks or cpus_list, which not even root may read while a group is pseudo-locked."""
    try:
        return read_if_there(fs, path)
    except ResctrlError as error:
        if error.errno == errno.EACCES:
            return ""
        raise


def _is_directory(fs: Resctrl, path: str) -> bool:
    try:
        fs.listdir(path)
    except ResctrlError as error:
        if error.errno in GONE:
            return False
        raise
    return True


def _tids(fs: Resctrl, path: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(map(int, (text or "").split()))
    except ValueError:
        raise HostError(f"{fs.source}/{path}/tasks", "not a list of thread ids") from None


def _printable(path: str) -> str:
    """The path as text for JSON: bytes that are not UTF-8 become escapes."""
    return path.encode("utf-8", "backslashreplace").decode()
