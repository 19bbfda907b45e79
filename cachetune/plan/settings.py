"""The files that a ``write_file`` step may write. The list is closed, because a plan is input like any other.

A value is the file's content without its newline, in one canonical form: ``mode`` is "shareable" or "exclusive",
``cpus_list`` is what the kernel prints ("0-3,8", "" for no CPUs), ``mbm_L3_assignments`` is all of the kernel's lines
on one ("mbm_total_bytes:0=e;1=_ mbm_local_bytes:0=_;1=_"), and ``io_alloc`` is "enabled" or "disabled". Two values are
equal when the kernel's state is.
"""

from typing import Literal, assert_never, get_args

from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.resctrl.assignments import format_assignments, format_command
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.idset import format_ids, parse_cpu_list

ASSIGNMENTS = "mbm_L3_assignments"
GroupFile = Literal["mode", "cpus_list", "mbm_L3_assignments"]
HOST_FILES = ("info/L3/io_alloc", "info/L3CODE/io_alloc", "info/L3DATA/io_alloc")
"""Files that are not a group's: a write there affects the whole host."""

_GROUP_FILES: dict[str, GroupFile] = {name: name for name in get_args(GroupFile)}
_WORDS = {"mode": ("shareable", "exclusive"), "io_alloc": ("enabled", "disabled")}
# The kernel reads io_alloc as a boolean but prints words.
_WRITTEN = {"enabled": "1", "disabled": "0"}


def group_of_file(path: str) -> str | None:
    """The group that a file belongs to; None for a file in info/."""
    if path.startswith("info/"):
        return None
    return path.rpartition("/")[0] or DEFAULT_GROUP


def group_file(path: str) -> GroupFile | None:
    """Which file of its group this is; None for one that no plan may write."""
    return _GROUP_FILES.get(_name(path))


def is_writable(path: str) -> bool:
    """Whether the path names one of these files, in a group other than the default group or in info/."""
    group = group_of_file(path)
    return path in HOST_FILES if group is None else group != DEFAULT_GROUP and group_file(path) is not None


def is_value(path: str, value: str) -> bool:
    """Whether the file can have this value, and it is in canonical form."""
    words = _WORDS.get(_name(path))
    if words is not None:
        return value in words
    if _name(path) == ASSIGNMENTS:
        return bool(value) and value == format_assignments(parse_assignments(value).assigned)
    try:
        return value == format_ids(parse_cpu_list(value))
    except ValueError:
        return False


def parse_value(path: str, text: str) -> str:
    """The value in a file's content. What cannot be read is returned stripped, so that it equals no value."""
    value = text.strip()
    if _name(path) == ASSIGNMENTS:
        return " ".join(value.split())
    if _name(path) != "cpus_list":
        return value
    try:
        return format_ids(parse_cpu_list(value))
    except ValueError:
        return value


def format_value(path: str, value: str) -> str:
    """The text to write for a value."""
    if _name(path) == ASSIGNMENTS:
        return format_command(parse_assignments(value).assigned)
    return f"{_WRITTEN.get(value, value) if _name(path) == 'io_alloc' else value}\n"


def may_remain(path: str, value: str, before: str, after: str) -> bool:
    """Whether a write of ``after`` over ``before`` that was interrupted or refused may leave this value."""
    if _name(path) != ASSIGNMENTS:
        return value in (before, after)
    return is_value(path, value) and _entries(value) <= _entries(before) | _entries(after)


def value_on(host: Host, path: str) -> str | None:
    """The value of the file on this host; None where the host has no such file."""
    group_path = group_of_file(path)
    if group_path is None:
        resource = path.split("/")[1]
        cache = next((c for c in host.caches if c.name == resource), None)
        return None if cache is None else "enabled" if cache.io_alloc else "disabled"
    group = host.group(group_path)
    return None if group is None else value_in(group, path)


def value_in(group: Group, path: str) -> str | None:
    """The value of one of the group's files; None for one that the group does not have."""
    match group_file(path):
        case "mode":
            return group.mode if group.kind == "control" else None
        case "cpus_list":
            return parse_value(path, group.cpus)
        case "mbm_L3_assignments":
            return format_assignments(group.assignments) or None
        case None:
            return None
        case file:
            assert_never(file)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _entries(value: str) -> set[tuple[str, int, bool]]:
    """The counters in a value of mbm_L3_assignments."""
    assigned = parse_assignments(value).assigned
    return {(event, cache_id, counter) for event, row in assigned.items() for cache_id, counter in row.items()}
