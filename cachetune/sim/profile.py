"""Profiles: the features of a simulated processor, as data.

A profile is a JSON file in ``profiles/`` or elsewhere; ``load`` reads it and ``check`` says what it must not contain.
Sizes are in bytes, masks are hexadecimal strings as in resctrl. A feature that the kernel does not know is there, but
not used.
"""

import errno
from typing import Literal, NamedTuple

import msgspec

from cachetune.errors import ResctrlError
from cachetune.host.model import Topology
from cachetune.sim.numbers import format_cpu_list, parse_cpu_list
from cachetune.sim.rules import DEFAULT_KERNEL, KernelRules, rules_of

MOST_CPUS = 1 << 16
MBM_EVENTS = ("mbm_total_bytes", "mbm_local_bytes")
MBPS_EVENTS = ("mbm_local_bytes", "mbm_total_bytes")
"""The events that mba_MBps can compare with its limits; the first that the processor has is the default."""


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The caches of one level. ``cpu_lists`` are the CPUs of each id. ``closids`` None means no allocation control.

    ``sizes`` has the ids whose size is not ``size_bytes``; 0 is an unknown size. With ``io_alloc`` the ways that I/O
    devices fill can be chosen (AMD SDCIAE, L3 only).
    """

    level: int
    ids: tuple[int, ...]
    cpu_lists: tuple[str, ...]
    size_bytes: int
    ways: int
    closids: int | None = None
    shareable: str = "0"
    min_cbm_bits: int = 1
    sparse: bool = False
    cdp: bool = False
    io_alloc: bool = False
    sizes: dict[int, int] = {}

    def size_of(self, cache_id: int) -> int:
        """Return the size of one cache in bytes."""
        return self.sizes.get(cache_id, self.size_bytes)


class Bandwidth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """MB or SMBA. Values are in percent with ``linear`` delay (Intel, Arm), otherwise in 1/8 GB/s (AMD).

    ``fraction_bits``: the hardware keeps a percentage as a fraction of this many bits (MPAM). ``ids`` None are those of
    the L3 caches.
    """

    name: Literal["MB", "SMBA"]
    closids: int
    min_bandwidth: int
    bandwidth_gran: int
    max_bandwidth: int
    linear: bool = True
    throttle_mode: Literal["max", "per-thread"] | None = None
    fraction_bits: int | None = None
    ids: tuple[int, ...] | None = None


class Monitoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """L3_MON. ``unit_bytes`` is the counters' step. ``configurable`` events have a ``_config`` file (BMEC).

    ``rmids`` are the processor's; with Sub-NUMA clusters the kernel divides them. ``rmids_per_group``: each control
    group has its own few (MPAM's PMGs), which make up ``rmids``. ``counters`` are those of each L3 that can be assigned
    to a group's event of memory bandwidth (AMD ABMC), None without them.
    """

    rmids: int
    events: tuple[str, ...]
    unit_bytes: int = 65536
    configurable: tuple[str, ...] = ()
    rmids_per_group: int | None = None
    counters: int | None = None


class TelemetryEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event of PERF_PKG_MON: its increase per second and task. ``binary_bits`` of its value are a fraction."""

    name: str
    rate: float
    binary_bits: int | None = None


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PERF_PKG_MON: Intel's telemetry of each package."""

    packages: tuple[int, ...]
    rmids: int
    events: tuple[TelemetryEvent, ...]


class CoreCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cache private to each core, only visible in sysfs."""

    level: int
    type: Literal["Data", "Instruction", "Unified"]
    size_bytes: int


class MonitorDomain(NamedTuple):
    """What counts separately: an L3 cache, or one of its Sub-NUMA nodes with its own id."""

    id: int
    cache_id: int


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="profile"):
    """A processor, the kernel that runs on it, and the mount options of its resctrl.

    ``sub_numa_nodes`` are those of each L3 cache (Sub-NUMA clusters).
    """

    name: str
    description: str = ""
    vendor: Literal["intel", "amd", "arm"] = "intel"
    kernel: str = DEFAULT_KERNEL
    caches: tuple[Cache, ...]
    bandwidths: tuple[Bandwidth, ...] = ()
    monitoring: Monitoring | None = None
    telemetry: Telemetry | None = None
    sub_numa_nodes: int = 1
    mount_options: tuple[str, ...] = ()
    core_caches: tuple[CoreCache, ...] = ()
    threads_per_core: int = 1
    pseudo_locking: bool = False

    @property
    def cpu_count(self) -> int:
        """The highest CPU number plus one."""
        return 1 + max(max(cpus_of(text)) for cache in self.caches for text in cache.cpu_lists)

    @property
    def topology(self) -> Topology:
        """The CPUs of each cache and Sub-NUMA node, as sysfs lists them."""
        return Topology(
            {
                c.level: {i: format_cpu_list(cpus_of(cpus)) for i, cpus in zip(c.ids, c.cpu_lists, strict=True)}
                for c in self.caches
            },
            self.node_cpus(),
        )

    @property
    def can_allocate(self) -> bool:
        """Whether control groups are supported at all."""
        return bool(self.bandwidths) or any(c.closids is not None for c in self.caches)

    def cache(self, level: int) -> Cache | None:
        """Return the caches of a level that cores share, or None."""
        return next((c for c in self.caches if c.level == level), None)

    @property
    def events(self) -> tuple[str, ...]:
        """The events of L3_MON, none without monitoring."""
        return self.monitoring.events if self.monitoring else ()

    @property
    def monitored_ids(self) -> tuple[int, ...]:
        """The ids of L3 caches, which have the counters and the bandwidth controls."""
        cache = self.cache(3)
        return cache.ids if cache else ()

    def nodes_per_cache(self, rules: KernelRules) -> int:
        """Return the Sub-NUMA nodes of each L3 cache that the kernel distinguishes, 1 without any."""
        return self.sub_numa_nodes if rules.sub_numa else 1

    def monitor_domains(self, rules: KernelRules) -> tuple[MonitorDomain, ...]:
        """Return what counts separately. Nodes are numbered through, cache after cache."""
        nodes = self.nodes_per_cache(rules)
        if nodes == 1:
            return tuple(MonitorDomain(i, i) for i in self.monitored_ids)
        return tuple(
            MonitorDomain(place * nodes + node, cache_id)
            for place, cache_id in enumerate(self.monitored_ids)
            for node in range(nodes)
        )

    def node_cpus(self) -> dict[int, str]:
        """Return the CPU list of each Sub-NUMA node: an equal part of its cache's cores, with all their threads."""
        cache, nodes = self.cache(3), self.sub_numa_nodes
        if cache is None or nodes == 1:
            return {}
        found = {}
        for place, text in enumerate(cache.cpu_lists):
            cpus = sorted(cpus_of(text))
            cores = max(len(cpus) // self.threads_per_core, 1)
            for node in range(nodes):
                mine = [cpu for at, cpu in enumerate(cpus) if at % cores * nodes // cores == node]
                found[place * nodes + node] = format_cpu_list(mine)
        return found

    def mounted(self, *options: str, kernel: str | None = None) -> "Profile":
        """Return the same processor with other mount options. ``kernel`` None is the profile's.

        Raises UnknownVersionError, and ResctrlError for options that the kernel or the processor does not support:
        EINVAL, or EOPNOTSUPP for CDP on Arm, which needs a kernel built for experts.
        """
        rules = rules_of(kernel or self.kernel)
        for option in options:
            if not self._supports(option, rules):
                number = errno.EOPNOTSUPP if self.vendor == "arm" and option.startswith("cdp") else errno.EINVAL
                raise ResctrlError(number, "mount with option", option)
        return msgspec.structs.replace(self, mount_options=options)

    def _supports(self, option: str, rules: KernelRules) -> bool:
        if option in {"cdp", "cdpl2"}:
            cache = self.cache(3 if option == "cdp" else 2)
            return cache is not None and cache.closids is not None and cache.cdp and self.vendor != "arm"
        if option == "mba_MBps":
            return self._supports_mbps(rules)
        return option == "debug" and rules.debug_option

    def _supports_mbps(self, rules: KernelRules) -> bool:
        linear = any(b.linear for b in self.bandwidths if b.name == "MB")
        usable = MBPS_EVENTS if rules.mbps_event_file else MBPS_EVENTS[:1]
        assigned = rules.assign_mode_file and self.monitoring is not None and self.monitoring.counters is not None
        return linear and not set(usable).isdisjoint(self.events) and not assigned and self.nodes_per_cache(rules) == 1


def cpus_of(text: str) -> frozenset[int]:
    """Parse a CPU list in a profile."""
    return parse_cpu_list(text, MOST_CPUS)
