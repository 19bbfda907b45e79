"""Groups as pqos command lines: ``-e`` defines a class of service, ``-a`` puts threads into it.

With ``-I`` pqos's class N is the group COSN of resctrl, and class 0 is the default group. Groups are numbered from 1,
without the classes that pqos has threads or CPUs in on this host. pqos reads its classes before it creates them, so its
first command on a fresh mount must be one that does not need them. Source: pqos(8), and pqos 4.3 as observed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count as numbers

from cachetune.host.model import Group, Host
from cachetune.idset import format_ids
from cachetune.service.applied import AppliedGuest
from cachetune.service.export.masks import control_groups, is_default, left_out
from cachetune.text import printable

_TYPES = {"both": "", "code": "c", "data": "d"}
_CACHES = {2: "l2", 3: "llc"}
_MOST = 16  # definitions in one command: pqos takes 32


def export(guests: Sequence[AppliedGuest], host: Host, *, default: bool) -> tuple[str, list[str]]:
    """The shell script that makes pqos set the same values, and notes on what it does not set."""
    notes = list(left_out(guests, host, "pqos", default=default))
    lines = ["#!/bin/sh -e"]
    if host.mount_options:
        lines.append(f"# resctrl must be mounted with the options {printable(','.join(host.mount_options))}")
    lines.append("pqos -I -d >/dev/null  # creates the classes")
    free = _free_classes(host)
    for name, group in control_groups(guests, host, default=default):
        number = 0 if is_default(group) else next(free)
        what = "the default group" if is_default(group) else f"{printable(name)}: {printable(group.path)}"
        lines.append(f"# {what} is class {number}")
        values = [*_values(group, host, number)]
        lines += [f"pqos -I -e '{';'.join(values[first : first + _MOST])}'" for first in range(0, len(values), _MOST)]
        if group.tids and not is_default(group):
            lines.append(f"pqos -I -a 'pid:{number}={format_ids(group.tids)}'")
    return "\n".join((*lines, "")), notes


def _values(group: Group, host: Host, number: int) -> Iterator[str]:
    for control in host.caches:
        if cache := _CACHES.get(control.level):
            masks = {i: f"{mask:#x}" for i, mask in group.masks.row(control.name).items()}
            yield from _alike(cache, masks, control.size_bytes, f"{number}{_TYPES[control.type]}")
    for bandwidth in host.bandwidths:
        if bandwidth.name == "MB":
            limits = {i: str(v) for i, v in group.bandwidth.row("MB").items() if v != bandwidth.max_bandwidth}
            yield from _alike("mba_max" if bandwidth.unit == "MiB/s" else "mba", limits, bandwidth.ids, str(number))


def _alike(word: str, values: Mapping[int, str], every: Collection[int], of: str) -> Iterator[str]:
    """One definition for all ids with the same value: llc:1=0x7, llc@0,2-3:1=0x7."""
    ids: dict[str, list[int]] = {}
    for number, value in values.items():
        ids.setdefault(value, []).append(number)
    for value, found in ids.items():
        yield f"{word}{'' if len(found) == len(every) else f'@{format_ids(found)}'}:{of}={value}"


def _free_classes(host: Host) -> Iterator[int]:
    for number in numbers(1):
        group = host.group(f"COS{number}")
        if group is None or not (group.tids or group.cpus):
            yield number
