"""Caches and NUMA nodes from sysfs (devices/system), reading as few processors as possible.

A cache lists the processors that share it, so each further processor that is read has at least one new cache.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from cachetune.host.model import Topology
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.idset import format_ids, parse_cpu_list

_LIVE_SYSFS = Path("/sys")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Cache(msgspec.Struct, frozen=True):
    """One cache of the machine: its size, None if unknown, and the CPUs that share it, empty if unknown."""

    size_bytes: int | None
    cpus: frozenset[int]


Caches = dict[tuple[int, int], Cache]
"""Caches by level and id. The id is the one that resctrl uses."""


class Machine(NamedTuple):
    """What sysfs has about the whole machine."""

    caches: Caches
    topology: Topology


def read_machine(sysfs: Path, levels: Collection[int]) -> Machine:
    """The caches on these levels, and which CPUs and NUMA nodes have them. Never fails."""
    caches = read_caches(sysfs, levels)
    return Machine(caches, topology_of(caches, sysfs))


def read_caches(sysfs: Path, levels: Collection[int]) -> Caches:
    """Return the caches on these levels. Never fails: what is not described completely is left out."""
    caches: Caches = {}
    seen: dict[int, set[int]] = {level: set() for level in levels}
    for cpu, directory in _numbered(sysfs / "devices/system/cpu", "cpu") if levels else []:
        if all(cpu in seen[level] for level in levels):
            continue
        for level, cache_id, cache in _caches_of(directory, levels):
            seen[level] |= cache.cpus
            caches.setdefault((level, cache_id), cache)
    return caches


def topology_of(caches: Caches, sysfs: Path) -> Topology:
    """Which CPUs have which of the caches, and which NUMA node they are in."""
    lists: dict[int, dict[int, str]] = {}
    for (level, cache_id), cache in sorted(caches.items()):
        if cache.cpus:
            lists.setdefault(level, {})[cache_id] = format_ids(cache.cpus)
    nodes = {n: _cpu_list(path / "cpulist") for n, path in _numbered(sysfs / "devices/system/node", "node")}
    return Topology(lists, {n: format_ids(cpus) for n, cpus in nodes.items() if cpus})


def sizes_for(fs: SysfsResctrl, sysfs: Path) -> Path | None:
    """Where to read cache sizes. This machine's /sys does not describe a copied or simulated resctrl: None then."""
    return None if sysfs == _LIVE_SYSFS and (fs.is_simulated or not fs.is_live) else sysfs


def _numbered(directory: Path, prefix: str) -> list[tuple[int, Path]]:
    """The entries such as cpu0 and cpu1, by number."""
    try:
        entries = list(directory.iterdir())
    except OSError:
        return []
    matches = ((re.fullmatch(prefix + r"([0-9]{1,7})", entry.name, re.ASCII), entry) for entry in entries)
    return sorted((int(match[1]), entry) for match, entry in matches if match)


def _caches_of(cpu: Path, levels: Collection[int]) -> list[tuple[int, int, Cache]]:
    """The caches of one processor on these levels: level, id and cache."""
    found = []
    try:
        indexes = sorted((cpu / "cache").glob("index*"))
    except OSError:
        return []
    for index in indexes:
        try:
            level = int(_read(index / "level"))
            if level not in levels or _read(index / "type") == "Instruction":
                continue
            cache_id = int(_read(index / "id"))
        except (OSError, ValueError):
            continue  # no id, as in many virtual machines
        found.append((level, cache_id, Cache(_size(index / "size"), _cpu_list(index / "shared_cpu_list"))))
    return found


def _cpu_list(path: Path) -> frozenset[int]:
    try:
        return parse_cpu_list(_read(path))
    except (OSError, ValueError):
        return frozenset()


def _size(path: Path) -> int | None:
    """Bytes from a text such as 15360K."""
    try:
        match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", _read(path), re.ASCII)
    except OSError:
        return None
    return int(match[1]) * _UNITS[match[2]] or None if match else None


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip()
