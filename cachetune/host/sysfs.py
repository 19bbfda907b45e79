"""Cache sizes from sysfs (devices/system/cpu/cpu*/cache/index*), reading as few processors as possible.

A cache lists the processors that share it, so each further processor that is read has at least one new cache.
"""

import re
from collections.abc import Collection
from pathlib import Path

from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.idset import parse_cpu_list

_LIVE_SYSFS = Path("/sys")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def cache_sizes(sysfs: Path, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return the sizes in bytes of the ``wanted`` caches (level, id). Never fails: unknown sizes are left out.

    The id is the one that resctrl uses. sysfs has sizes such as 15360K.
    """
    sizes: dict[tuple[int, int], int] = {}
    levels = {level for level, _ in wanted}
    seen: dict[int, set[int]] = {level: set() for level in levels}
    for cpu, directory in _cpus(sysfs) if wanted else []:
        if all(pair in sizes for pair in wanted):
            break
        if all(cpu in seen[level] for level in levels):
            continue
        for level, cache_id, size, shared in _caches_of(directory, levels):
            seen[level] |= shared
            if (level, cache_id) in wanted:
                sizes.setdefault((level, cache_id), size)
    return sizes


def sizes_for(fs: SysfsResctrl, sysfs: Path) -> Path | None:
    """Where to read cache sizes. This machine's /sys does not describe a copied or simulated resctrl: None then."""
    return None if sysfs == _LIVE_SYSFS and (fs.is_simulated or not fs.is_live) else sysfs


def _cpus(sysfs: Path) -> list[tuple[int, Path]]:
    try:
        entries = list((sysfs / "devices/system/cpu").iterdir())
    except OSError:
        return []
    matches = ((re.fullmatch(r"cpu([0-9]+)", entry.name, re.ASCII), entry) for entry in entries)
    return sorted((int(match[1]), entry) for match, entry in matches if match)


def _caches_of(cpu: Path, levels: Collection[int]) -> list[tuple[int, int, int, frozenset[int]]]:
    """The caches of one processor on these levels: level, id, bytes and the processors that share the cache."""
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
            cache_id, size = int(_read(index / "id")), _size(_read(index / "size"))
            found.append((level, cache_id, size, _shared(index)))
        except (OSError, ValueError):
            continue  # no id or size, as in many virtual machines
    return found


def _shared(index: Path) -> frozenset[int]:
    try:
        return frozenset(parse_cpu_list(_read(index / "shared_cpu_list")))
    except (OSError, ValueError):
        return frozenset()


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip()


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text, re.ASCII)
    if not match or int(match[1]) == 0:
        raise ValueError(f"not a cache size: {text!r}")
    return int(match[1]) * _UNITS[match[2]]
