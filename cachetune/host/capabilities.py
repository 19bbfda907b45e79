"""What the hardware can do: the info/ directory, and the sizes of the caches that the default group lists.

Works on a live tree and on a copy in which files are missing. Only a cache without cbm_mask cannot be used; it is
reported as unknown. Sizes come from sysfs, or from the default group's ``size`` file if sysfs does not have them.
A file that reads as an errno or as nothing useful where its feature is off (io_alloc_cbm, available_mbm_cntrs) is as
good as missing.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from cachetune.cbm import Cbm
from cachetune.errors import HostError, ResctrlError
from cachetune.host.model import (
    BandwidthControl,
    BandwidthUnit,
    CacheControl,
    CacheType,
    CounterAssignment,
    Group,
    MonitorControl,
)
from cachetune.host.resctrl.port import GONE, Resctrl
from cachetune.host.resctrl.schemata import cache_resource, parse_sizes, resource_order
from cachetune.host.sysfs import Caches
from cachetune.units import BANDWIDTH_RESOURCES

_TYPES: dict[str, CacheType] = {"": "both", "CODE": "code", "DATA": "data"}
_LEAST_AMD_MAXIMUM = 2048
_USAGE = re.compile(r"[0HXSEP]{1,64}", re.ASCII)
_UNLIMITED_MBPS = (1 << 32) - 1
_PERCENT = 100

Missing = TypeVar("Missing", int, None)
V = TypeVar("V")


class Info:
    """One directory of info/, such as L3: its files are listed once, and what is not there is not read."""

    def __init__(self, fs: Resctrl, name: str) -> None:
        """List the directory; it is empty if it does not exist. Raises ResctrlError."""
        self.name, self._fs, self._path = name, fs, f"info/{name}"
        self.files = frozenset(names_in(fs, self._path))

    def text(self, file: str) -> str | None:
        """The content of a file without surrounding blanks, None if it does not exist. Raises ResctrlError."""
        text = read_if_there(self._fs, f"{self._path}/{file}") if file in self.files else None
        return None if text is None else text.strip()

    def number(self, file: str, missing: Missing) -> int | Missing:
        """The number in a file, ``missing`` if the file does not exist or is empty. Raises HostError."""
        text = self.text(file)
        if not text:
            return missing
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise self._error(file, f"not a number: {text[:40]!r}")
        return int(text)

    def mask(self, file: str) -> Cbm | None:
        """The mask in a file, None if the file does not exist. Raises HostError."""
        text = self.text(file)
        if text is None:
            return None
        if not text:
            hint = "a copy by tar or rsync loses the content of kernel files; use cp -r, or 'cachetune snapshot'"
            raise self._error(file, "the file is empty", hint)
        try:
            return Cbm.parse(text)
        except ValueError as error:
            raise self._error(file, str(error)) from None

    def by_id(self, file: str, parse: Callable[[str], V]) -> dict[int, V]:
        """A file such as ``0=7ff;1=7ff``, empty if it does not exist. Raises HostError.

        ``parse`` reads a value and raises ValueError.
        """
        try:
            pairs = [entry.partition("=") for entry in (self.text(file) or "").split(";") if entry.strip()]
            return {_count(cache_id): parse(value) for cache_id, _, value in pairs}
        except ValueError as error:
            raise self._error(file, str(error)) from None

    def _error(self, file: str, reason: str, hint: str = "") -> HostError:
        return HostError(f"{self._fs.source}/{self._path}/{file}", reason, hint=hint)


def names_in(fs: Resctrl, path: str) -> list[str]:
    """The names in a directory; none if it does not exist or no longer exists. Raises ResctrlError."""
    try:
        return fs.listdir(path)
    except ResctrlError as error:
        if error.errno in GONE:
            return []
        raise


def read_if_there(fs: Resctrl, path: str) -> str | None:
    """The content of a file, None if it does not exist or no longer exists."""
    try:
        return fs.read(path)
    except ResctrlError as error:
        if error.errno in GONE:
            return None
        raise


def read_caches(fs: Resctrl, infos: Iterable[Info], default: Group, sysfs: Caches) -> Iterator[CacheControl]:
    """The cache resources by level and type. The cache ids come from the default group's schemata."""
    named = [info for info in infos if cache_resource(info.name)]
    usable = [(info, mask) for info in named if (mask := info.mask("cbm_mask"))]
    usable.sort(key=lambda pair: resource_order(pair[0].name))
    sizes = _sizes(fs, {info.name: mask for info, mask in usable}, default, sysfs)
    for info, mask in usable:
        level, cache_type = cache_resource(info.name) or (0, "")
        io_alloc = info.text("io_alloc") == "enabled"
        yield CacheControl(
            name=info.name,
            level=level,
            type=_TYPES[cache_type],
            cbm_mask=mask,
            min_cbm_bits=info.number("min_cbm_bits", 1),
            size_bytes={i: sizes.get((info.name, i)) for i in default.masks.row(info.name)},
            shareable_bits=info.mask("shareable_bits") or Cbm(0),
            sparse_masks=info.number("sparse_masks", 0) != 0,
            num_closids=info.number("num_closids", None),
            io_alloc=io_alloc,
            io_alloc_cbm=info.by_id("io_alloc_cbm", Cbm.parse) if io_alloc else {},
            bit_usage=info.by_id("bit_usage", _usage),
        )


def read_bandwidths(
    infos: Iterable[Info], groups: Sequence[Group], caches: Iterable[CacheControl], mount_options: Collection[str]
) -> Iterator[BandwidthControl]:
    """MB and SMBA. The ids come from the default group, or from the L3 caches if it has no such line (a copy)."""
    l3_ids = sorted({i for c in caches if c.level == 3 for i in c.size_bytes})
    default = groups[0]
    for info in infos:
        least = info.number("min_bandwidth", None) if info.name in BANDWIDTH_RESOURCES else None
        if least is None:
            continue
        step = info.number("bandwidth_gran", 1)
        rows = [row for group in groups if (row := group.bandwidth.row(info.name))]
        largest = max((max(row.values()) for row in rows), default=0)
        unit = _unit(info, least, step, largest, mount_options)
        most = {"percent": _PERCENT, "MiB/s": _UNLIMITED_MBPS, "1/8 GB/s": _maximum_on_amd(largest)}[unit]
        in_mbps = unit == "MiB/s"
        yield BandwidthControl(
            name=info.name,
            unit=unit,
            min_bandwidth=0 if in_mbps else least,
            bandwidth_gran=1 if in_mbps else max(step, 1),
            max_bandwidth=most,
            ids=tuple(default.bandwidth.get(info.name, ())) or tuple(l3_ids),
            num_closids=info.number("num_closids", None),
        )


def read_monitors(infos: Iterable[Info]) -> Iterator[MonitorControl]:
    """L3_MON, PERF_PKG_MON and any other monitoring resource; ``*_config`` are settings, not events."""
    for info in infos:
        if info.name.endswith("_MON"):
            features = (info.text("mon_features") or "").split()
            modes = (info.text("mbm_assign_mode") or "").split()
            yield MonitorControl(
                name=info.name,
                features=tuple(f for f in features if not f.endswith("_config")),
                num_rmids=info.number("num_rmids", None),
                max_threshold_occupancy=info.number("max_threshold_occupancy", None),
                assignment=_assignment(info, modes) if modes else None,
            )


def _assignment(info: Info, modes: Sequence[str]) -> CounterAssignment:
    """The assignable counters; the active one of ``modes`` is in brackets. Most files only exist in mode mbm_event."""
    names = tuple(mode.strip("[]") for mode in modes)
    active = next((mode.strip("[]") for mode in modes if mode.startswith("[")), names[0])
    total = info.by_id("num_mbm_cntrs", _count)
    if active != "mbm_event":
        return CounterAssignment(active, names, total)
    on_mkdir = info.number("mbm_assign_on_mkdir", None)
    available = info.by_id("available_mbm_cntrs", _count)
    return CounterAssignment(active, names, total, available, None if on_mkdir is None else on_mkdir != 0)


def _unit(info: Info, least: int, step: int, largest: int, mount_options: Collection[str]) -> BandwidthUnit:
    """The unit of a bandwidth resource. AMD has min 0, gran 1 and is not linear.

    info/ does not show the mba_MBps option; only the mount options do, and values above 100.
    """
    if least == 0 and step <= 1 and info.number("delay_linear", 0) == 0:
        return "1/8 GB/s"
    in_mbps = info.name == "MB" and ("mba_MBps" in mount_options or largest > _PERCENT)
    return "MiB/s" if in_mbps else "percent"


def _maximum_on_amd(largest: int) -> int | None:
    """AMD's maximum: a power of two that no file has. A group without a limit has it; None if all groups have one."""
    return largest if largest >= _LEAST_AMD_MAXIMUM and largest.bit_count() == 1 else None


def _sizes(fs: Resctrl, usable: Mapping[str, Cbm], default: Group, sysfs: Caches) -> dict[tuple[str, int], int]:
    """Bytes by (resource, cache id), from sysfs or else from ``size``, which has size // ways for each bit set."""
    pairs = {(n, i): (cache_resource(n) or (0, ""))[0] for n in usable for i in default.masks.row(n)}
    in_sysfs = {place: cache.size_bytes for place, cache in sysfs.items()}
    found = {(n, i): size for (n, i), level in pairs.items() if (size := in_sysfs.get((level, i)))}
    if len(found) == len(pairs):
        return found
    shown = parse_sizes(read_if_there(fs, "size") or "")
    for name, cache_id in pairs.keys() - found.keys():
        size, bits = shown.at(name, cache_id) or 0, default.masks[name][cache_id].bit_count()
        if bits and size >= bits:
            found[name, cache_id] = size // bits * usable[name].bit_count()
    return found


def _usage(text: str) -> str:
    """The letters of bit_usage."""
    if not _USAGE.fullmatch(text.strip()):
        raise ValueError(f"not letters of bit_usage: {text[:40]!r}")
    return text.strip()


def _count(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError(f"not a number: {text[:40]!r}")
    return int(text)
