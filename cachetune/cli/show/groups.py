"""The groups of a host as a table."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Table, names, numbers, words
from cachetune.host.model import Group, Host
from cachetune.host.resctrl.schemata import compact
from cachetune.text import count, printable

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {
    "default": "",
    "cachetune": "bold green",
    "libvirt": "bold cyan",
    "pqos": "yellow",
    "containers": "magenta",
    "cadvisor": "magenta",
    "dra": "magenta",
    "unknown": "red",
}
_DEVICE = re.compile(r"[a-z_]+:[0-9]+", re.ASCII)
_MANY = 4
_OURS = {"cachetune", "libvirt"}


def groups_table(host: Host, letters: Mapping[str, str]) -> Table:
    """One row for each group; many monitor groups of a foreign owner share one."""
    rows = Table(names(""), names("group"), words("owner"), numbers("tasks"), words("settings"))
    ids = {cache.name: frozenset(cache.size_bytes) for cache in host.caches}
    ids |= {bandwidth.name: frozenset(bandwidth.ids) for bandwidth in host.bandwidths}
    for groups in _folded(host.groups):
        first = groups[0]
        style = STYLES[first.owner]
        more = f" and {len(groups) - 1} more" if len(groups) > 1 else ""
        rows.add_row(
            _text(letters.get(first.path, ""), style),
            _name(first) + more,
            _text(first.owner, style),
            str(len({tid for group in groups for tid in group.tids})),
            _values(first, ids),
        )
    return rows


def _folded(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """The groups, in lists of one, or of many monitor groups of one owner in one control group."""
    found: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        plain = group.kind == "monitor" and group.owner not in _OURS and not (group.cpus or group.other_tasks)
        found.setdefault((group.parent, group.owner) if plain else (group.path,), []).append(group)
    for alike in found.values():
        yield from [alike] if len(alike) > _MANY else ([group] for group in alike)


def _name(group: Group) -> str:
    if group.kind == "monitor":
        return f"  mon {printable(group.path.rpartition('/')[2])}"
    return ". (default group)" if group.owner == "default" else printable(group.path)


def _values(group: Group, ids: Mapping[str, frozenset[int]]) -> str:
    """What a group has besides threads: mode, devices, masks, bandwidth, unknown lines and CPUs."""
    found = [group.mode] if group.mode != "shareable" else []
    devices = sum(1 for line in group.other_tasks if _DEVICE.fullmatch(line))
    found += [count(devices, "device")] if devices else []
    for name, masks in group.masks.items():
        found.append(_compact(name, {i: f"{mask:x}" for i, mask in masks.items()}, ids.get(name, frozenset())))
    for name, values in group.bandwidth.items():
        found.append(_compact(name, {i: str(value) for i, value in values.items()}, ids.get(name, frozenset())))
    found += [printable(line) for line in group.other_lines]
    if group.cpus and group.owner != "default":
        found.append(f"CPUs {group.cpus}")
    assigned = [value for row in group.assignments.values() for value in row.values()]
    if assigned and not all(assigned):
        found.append(f"{sum(assigned)} of {count(len(assigned), 'counter')}")
    return "  ".join(found)


def _compact(name: str, values: Mapping[int, str], every: frozenset[int]) -> str:
    """L3:0-1=7ff: ids grouped by value; "all" for every id of the host."""
    same = {*values.values()}
    if len(same) == 1 and len(values) > 1 and set(values) == every:
        return f"{name}:all={same.pop()}"
    return compact(name, values)


def _text(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(text, style)
