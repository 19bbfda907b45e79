"""The values that describe a host: what its resctrl can do and which groups it has.

A ``Host`` saved as JSON is a snapshot; every command that plans takes one in place of the live tree.
"""

import hashlib
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


def file_of(path: str, name: str) -> str:
    """The path of a file of a group: those of the default group are in the root."""
    return name if path == DEFAULT_GROUP else f"{path}/{name}"


class Problem(msgspec.Struct, frozen=True):
    """A file of a group that cannot be read or understood; the Host lacks what it would have said.

    ``path`` is relative to the resctrl root.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Topology(msgspec.Struct, frozen=True):
    """CPU lists ("0-17,36-53") by cache level and cache id, and by NUMA node; empty where sysfs has none."""

    caches: dict[int, dict[int, str]] = {}
    nodes: dict[int, str] = {}


# The binary digit for each letter of bit_usage.
_OF_HARDWARE = str.maketrans("0HXSEP", "011000")
_OF_GROUPS = str.maketrans("0HXSEP", "001111")


class CacheControl(msgspec.Struct, frozen=True):
    """One cache resource with control: a directory such as info/L3 or info/L3CODE.

    ``size_bytes`` maps each cache id to the size of that cache in bytes, None where neither sysfs nor
    ``size`` has it. ``num_closids`` counts the default group. ``io_alloc_cbm`` are the ways by cache id that
    devices allocate in, empty unless ``io_alloc`` is on. ``bit_usage`` has one letter for each way by cache id, the
    highest way first: 0 unused, H hardware alone, X hardware and groups, S groups, E an exclusive group, P
    pseudo-locked.
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
    io_alloc_cbm: dict[int, Cbm] = {}
    bit_usage: dict[int, str] = {}

    @property
    def ways(self) -> int:
        """The number of ways: bits set in cbm_mask."""
        return self.cbm_mask.bit_count()

    def way_bytes(self, cache_id: int) -> int | None:
        """Bytes in one way of the cache: size // ways, as libvirt and the kernel's ``size`` file count."""
        size = self.size_bytes.get(cache_id)
        return None if size is None else size // self.ways

    def io_ways(self, cache_id: int) -> Cbm:
        """The ways that devices use as well: shareable_bits, io_alloc_cbm, and what bit_usage marks as hardware's."""
        return self.shareable_bits | self.io_alloc_cbm.get(cache_id, 0) | self._marked(cache_id, _OF_HARDWARE)

    def used_ways(self, cache_id: int) -> Cbm:
        """The ways that some group has according to bit_usage; empty on a copy without that file."""
        return self._marked(cache_id, _OF_GROUPS)

    @property
    def shares_all(self) -> bool:
        """Whether every way counts as shared with devices, as on all MPAM hosts, so that none can be avoided."""
        return self.shareable_bits == self.cbm_mask

    def _marked(self, cache_id: int, digits: dict[int, int]) -> Cbm:
        usage = self.bit_usage.get(cache_id)
        return Cbm(int(usage.translate(digits), 2)) if usage else Cbm(0)


# The step of MB on MPAM, 100 / 2**bits rounded up, shows how many bits hold the fraction. From 7 bits on every percent
# is exact. Source: mpam_resctrl.c. Intel's step is 10.
_FRACTION_BITS = {50: 1, 25: 2, 13: 3, 7: 4, 4: 5, 2: 6}


class BandwidthControl(msgspec.Struct, frozen=True):
    """MB or SMBA. ``min_bandwidth``, ``bandwidth_gran`` and ``max_bandwidth`` are in ``unit``.

    For "MiB/s" (the mba_MBps mount option) the info files describe percent and mean nothing: min is 0, gran
    is 1. ``max_bandwidth`` None is not known: no file of an AMD host has it, only groups without a limit. ``ids`` are
    the L3 cache ids; on MPAM they can be NUMA nodes instead.
    """

    name: str
    unit: BandwidthUnit
    min_bandwidth: int
    bandwidth_gran: int
    max_bandwidth: int | None
    ids: tuple[int, ...]
    num_closids: int | None = None

    @property
    def fraction_bits(self) -> int | None:
        """How many bits of a fraction MPAM keeps of a percentage; None where the kernel keeps the exact value."""
        return _FRACTION_BITS.get(self.bandwidth_gran) if self.unit == "percent" else None


class CounterAssignment(msgspec.Struct, frozen=True):
    """Bandwidth counters that groups must be assigned (AMD ABMC, MPAM), rather than one for each RMID.

    ``mode`` is the active mbm_assign_mode and ``modes`` are all of them. ``total`` is the number of counters by cache
    id, ``available`` how many of them no group has. With ``on_mkdir`` a new group gets counters while there are any.
    ``available`` and ``on_mkdir`` are empty and None in mode "default".
    """

    mode: str
    modes: tuple[str, ...]
    total: dict[int, int] = {}
    available: dict[int, int] = {}
    on_mkdir: bool | None = None

    @property
    def is_active(self) -> bool:
        """Whether a group without an assigned counter has no reading."""
        return self.mode == "mbm_event"

    @property
    def rules(self) -> tuple[str, bool | None]:
        """What decides which counters a new group gets, besides those that the groups have: mode and on_mkdir."""
        return self.mode, self.on_mkdir


class MonitorControl(msgspec.Struct, frozen=True):
    """L3_MON or PERF_PKG_MON: the events that can be read (``*_config`` entries are not events).

    ``assignment`` is None on kernels before 6.18, which have no mbm_assign_mode.
    """

    name: str
    features: tuple[str, ...]
    num_rmids: int | None = None
    max_threshold_occupancy: int | None = None
    assignment: CounterAssignment | None = None


class Group(msgspec.Struct, frozen=True):
    """One resctrl group. ``path`` is relative to the root; "." is the default group.

    ``masks`` maps resource name to cache id to CBM, ``bandwidth`` resource name to id to value.
    ``other_lines`` keeps schemata lines that we do not know, ``other_tasks`` lines of ``tasks`` that are no thread ids,
    such as "iommu_group:17" for a device. ``tids`` of a control group include those of its monitor groups.
    ``assignments`` says by event and cache id whether a counter is assigned; it is empty where none need to be.
    """

    path: str
    kind: Literal["control", "monitor"]
    owner: Owner
    mode: str = "shareable"
    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)
    other_lines: tuple[str, ...] = ()
    tids: tuple[int, ...] = ()
    other_tasks: tuple[str, ...] = ()
    cpus: str = ""
    assignments: dict[str, dict[int, bool]] = {}

    @property
    def parent(self) -> str:
        """The control group that this group belongs to: itself, or the parent of a monitor group."""
        return parent_of(self.path)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose host a snapshot is, and when it was taken, in seconds since 1970. What is not known is ""."""

    hostname: str = ""
    taken: float
    kernel: str = ""
    cpu_model: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that planning needs to know of a host. ``source`` says where it was read from.

    ``snc_nodes`` is the number of Sub-NUMA nodes that share each L3 cache, 1 without Sub-NUMA clustering.
    ``unknown_resources`` maps the directories of info/ that are not understood to their num_closids. ``identity`` is in
    snapshots only, and no plan depends on it.
    """

    schema_version: Literal[1] = 1
    source: str
    mount_options: tuple[str, ...] = ()
    caches: tuple[CacheControl, ...] = ()
    bandwidths: tuple[BandwidthControl, ...] = ()
    monitors: tuple[MonitorControl, ...] = ()
    groups: tuple[Group, ...]
    snc_nodes: int = 1
    topology: Topology = Topology()
    unknown_resources: dict[str, int | None] = {}
    problems: tuple[Problem, ...] = ()
    identity: Identity | None = None

    @property
    def fingerprint(self) -> str:
        """What a plan depends on, in 16 hexadecimal digits.

        Tasks and owners do not count: threads come and go. Neither does bit_usage, which follows from the groups.
        """
        caches = [msgspec.structs.replace(c, bit_usage={}) for c in self.caches]
        monitors = [(m.name, m.features, m.num_rmids, m.assignment and m.assignment.rules) for m in self.monitors]
        capabilities = (self.mount_options, caches, self.bandwidths, monitors, self.unknown_resources)
        # Masks are the only values that need the hook. Groups are many: to_builtins would take most of the time, and
        # is not needed to put them in order, because their tables are sorted.
        plain = msgspec.to_builtins(capabilities, enc_hook=int, str_keys=True, order="deterministic")
        groups = [
            (g.path, g.kind, g.mode, g.masks.to_json(), g.bandwidth.to_json(), g.other_lines, g.cpus, g.assignments)
            for g in self.groups
        ]
        return hashlib.sha256(msgspec.json.encode((plain, groups), enc_hook=int)).hexdigest()[:16]

    def group(self, path: str) -> Group | None:
        """The group at ``path``, if there is one."""
        return self._by_path.get(path)

    def bandwidth(self, resource: str) -> BandwidthControl | None:
        """The control of a bandwidth resource, if the host has it."""
        return next((control for control in self.bandwidths if control.name == resource), None)

    @property
    def default_group(self) -> Group:
        """The default group; every host has one."""
        return self._by_path[DEFAULT_GROUP]

    @cached_property
    def _by_path(self) -> dict[str, Group]:
        return {group.path: group for group in self.groups}

    def control_groups(self) -> tuple[Group, ...]:
        """The groups that hold a CLOSID, the default group among them."""
        return self._by_kind[0]

    def monitor_groups(self) -> tuple[Group, ...]:
        """The groups inside of control groups, which only hold an RMID."""
        return self._by_kind[1]

    @cached_property
    def _by_kind(self) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
        control = tuple([group for group in self.groups if group.kind == "control"])
        return control, tuple([group for group in self.groups if group.kind == "monitor"])

    @property
    def resource_names(self) -> tuple[str, ...]:
        """The names of all resources: caches, bandwidths, monitors."""
        return (
            *(cache.name for cache in self.caches),
            *(bandwidth.name for bandwidth in self.bandwidths),
            *(monitor.name for monitor in self.monitors),
        )

    @property
    def counter_assignment(self) -> CounterAssignment | None:
        """The assignable counters of L3_MON, None on a kernel or a machine without them."""
        return next((m.assignment for m in self.monitors if m.assignment), None)

    @property
    def is_mpam(self) -> bool:
        """Whether this is Arm MPAM: only there does every way count as shared with devices."""
        return any(cache.shares_all for cache in self.caches)

    @property
    def closids_total(self) -> int | None:
        """Control groups that can exist, the default one included: the least of all resources, less io_alloc's.

        A resource that we do not know counts, too: the kernel takes the least of all.
        """
        of_caches, of_bandwidths = (c.num_closids for c in self.caches), (b.num_closids for b in self.bandwidths)
        limits = [n for n in (*of_caches, *of_bandwidths, *self.unknown_resources.values()) if n is not None]
        return min(limits) - any(c.io_alloc for c in self.caches) if limits else None

    @property
    def closids_used(self) -> int:
        """Control groups that exist, the default group included."""
        return len(self.control_groups())

    @property
    def rmids_total(self) -> int | None:
        """Groups that can be monitored, the default group included; None where there is no monitoring."""
        return min((m.num_rmids for m in self.monitors if m.num_rmids is not None), default=None)

    @property
    def rmids_used(self) -> int:
        """Groups that hold an RMID: every group where there is monitoring, else none."""
        return len(self.groups) if self.monitors else 0

    @property
    def rmids_per_control_group(self) -> int | None:
        """RMIDs of each control group on MPAM, its own included; None where all groups share one pool, or not known.

        num_rmids is the product of control groups and PMGs. Kernels that report less, 1 or the number of PMGs, do not
        say how many there are. Source: mpam_resctrl.c.
        """
        total, controls = self.rmids_total, self.closids_total
        if not self.is_mpam or not total or not controls or total < controls:
            return None
        return total // controls
