"""The values that describe a host: what its resctrl can do and which groups it has.

A ``Host`` saved as JSON is a snapshot; every command that plans takes one in place of the live tree.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import msgspec

from cachetune.cbm import Bandwidth, Cbm, Masks

DEFAULT_GROUP = "."
CacheType = Literal["both", "code", "data"]
Owner = Literal["default", "cachetune", "libvirt", "pqos", "containers", "cadvisor", "dra", "unknown"]
BandwidthUnit = Literal["percent", "MiB/s", "1/8 GB/s"]


def is_monitor(path: str) -> bool:
    """Whether a group path is a monitor group's."""
    return "mon_groups/" in path


def parent_of(path: str) -> str:
    """The control group that a path belongs to: itself, or the parent of a monitor group."""
    if not is_monitor(path):
        return path
    return path.rpartition("mon_groups/")[0].rstrip("/") or DEFAULT_GROUP


class CacheControl(msgspec.Struct, frozen=True):
    """One cache resource with control: a directory such as info/L3 or info/L3CODE.

    ``size_bytes`` maps each cache id to the size of that cache in bytes, None where neither sysfs nor
    ``size`` has it. ``num_closids`` counts the default group.
    """

    name: str
    level: int
    type: CacheType
    cbm_mask: Cbm
    min_cbm_bits: int
    size_bytes: dict[int, int | None]
    shareable_bits: Cbm = msgspec.field(default_factory=lambda: Cbm(0))  # a default that JSON Schema need not print
    sparse_masks: bool = False
    num_closids: int | None = None
    io_alloc: bool = False

    @property
    def ways(self) -> int:
        """The number of ways: bits set in cbm_mask."""
        return self.cbm_mask.bit_count()

    def way_bytes(self, cache_id: int) -> int | None:
        """Bytes in one way of the cache: size // ways, as libvirt and the kernel's ``size`` file count."""
        size = self.size_bytes.get(cache_id)
        return None if size is None else size // self.ways


class BandwidthControl(msgspec.Struct, frozen=True):
    """MB or SMBA. ``min_bandwidth``, ``bandwidth_gran`` and ``max_bandwidth`` are in ``unit``.

    For "MiB/s" (the mba_MBps mount option) the info files describe percent and mean nothing: min is 0, gran
    is 1. ``ids`` are the L3 cache ids.
    """

    name: str
    unit: BandwidthUnit
    min_bandwidth: int
    bandwidth_gran: int
    max_bandwidth: int
    ids: tuple[int, ...]
    num_closids: int | None = None


class MonitorControl(msgspec.Struct, frozen=True):
    """L3_MON or PERF_PKG_MON: the events that can be read (``*_config`` entries are not events)."""

    name: str
    features: tuple[str, ...]
    num_rmids: int | None = None
    max_threshold_occupancy: int | None = None


class Group(msgspec.Struct, frozen=True):
    """One resctrl group. ``path`` is relative to the root; "." is the default group.

    ``masks`` maps resource name to cache id to CBM, ``bandwidth`` resource name to id to value.
    ``other_lines`` keeps schemata lines of resources that we do not know. ``tids`` of a control group include
    those of its monitor groups.
    """

    path: str
    kind: Literal["control", "monitor"]
    owner: Owner
    mode: str = "shareable"
    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)
    other_lines: tuple[str, ...] = ()
    tids: tuple[int, ...] = ()
    cpus: str = ""

    @property
    def parent(self) -> str:
        """The control group that this group belongs to: itself, or the parent of a monitor group."""
        return parent_of(self.path)


class Host(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that planning needs to know of a host. ``source`` says where it was read from."""

    schema_version: Literal[1] = 1
    source: str
    mount_options: tuple[str, ...] = ()
    caches: tuple[CacheControl, ...] = ()
    bandwidths: tuple[BandwidthControl, ...] = ()
    monitors: tuple[MonitorControl, ...] = ()
    groups: tuple[Group, ...]
    unknown_resources: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """What a plan depends on, in 16 hexadecimal digits.

        Task ids and owners do not count: threads come and go.
        """
        groups = [msgspec.structs.replace(g, tids=(), owner="unknown") for g in self.groups]
        monitors = [(m.name, m.features, m.num_rmids) for m in self.monitors]
        state = (self.mount_options, self.caches, self.bandwidths, monitors, groups)
        plain = msgspec.to_builtins(state, enc_hook=_plain, str_keys=True, order="deterministic")
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:16]

    def group(self, path: str) -> Group | None:
        """The group at ``path``, if there is one."""
        return self._by_path.get(path)

    @property
    def default_group(self) -> Group:
        """The default group; every host has one."""
        return self._by_path[DEFAULT_GROUP]

    @cached_property
    def _by_path(self) -> dict[str, Group]:
        return {group.path: group for group in self.groups}

    def control_groups(self) -> Iterator[Group]:
        """The groups that hold a CLOSID, the default group among them."""
        return (g for g in self.groups if g.kind == "control")

    @property
    def resource_names(self) -> tuple[str, ...]:
        """The names of all resources: caches, bandwidths, monitors."""
        return (
            *(cache.name for cache in self.caches),
            *(bandwidth.name for bandwidth in self.bandwidths),
            *(monitor.name for monitor in self.monitors),
        )

    @property
    def closids_total(self) -> int | None:
        """Control groups that can exist, the default one included: the least of all resources, less io_alloc's."""
        of_caches, of_bandwidths = (c.num_closids for c in self.caches), (b.num_closids for b in self.bandwidths)
        limits = [n for n in (*of_caches, *of_bandwidths) if n is not None]
        return min(limits) - any(c.io_alloc for c in self.caches) if limits else None

    @property
    def closids_used(self) -> int:
        """Control groups that exist, the default group included."""
        return sum(1 for _ in self.control_groups())

    @property
    def rmids_total(self) -> int | None:
        """Groups that can be monitored, the default group included; None where there is no monitoring."""
        return min((m.num_rmids for m in self.monitors if m.num_rmids is not None), default=None)

    @property
    def rmids_used(self) -> int:
        """Groups that hold an RMID: every group where there is monitoring, else none."""
        return len(self.groups) if self.monitors else 0


def _plain(value: Cbm | Masks | Bandwidth) -> object:
    """Masks count as numbers."""
    return int(value) if isinstance(value, Cbm) else value.to_json()
