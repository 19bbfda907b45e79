"""The profile of a saved host: what its processor, its kernel and its mount must be like.

A Host does not contain everything, so the rest is guessed: CPUs that the topology lacks are distributed evenly over the
caches, missing limits are generous, packages are those of the caches, and telemetry does not grow.
"""

import itertools
from typing import Literal

from cachetune.errors import DocumentError
from cachetune.host.model import BandwidthControl, CacheControl, Host, MonitorControl
from cachetune.sim.check import problems
from cachetune.sim.numbers import NumberError, format_cpu_list, parse_cpu_list
from cachetune.sim.profile import MOST_CPUS, Bandwidth, Cache, Monitoring, Profile, Telemetry, TelemetryEvent
from cachetune.sim.rules import DEFAULT_KERNEL

_MANY_CLOSIDS = 128
_MANY_RMIDS = 4096
_AMD_MAXIMUM = 2048
_SUFFIXES = ("CODE", "DATA")
_FRACTIONS = {"core_energy": 18, "activity": 18}
"""Binary digits after the point of the events that have any."""


def profile_of(host: Host) -> Profile:
    """Return the processor, the kernel and the mount options of a saved host.

    Raises DocumentError if no simulated processor is like that.
    """
    profile = _profile_of(host)
    for problem in problems(profile):
        raise DocumentError(f"snapshot {host.source}", f"it cannot be simulated: {problem}")
    return profile


def _profile_of(host: Host) -> Profile:
    monitors = {monitor.name: monitor for monitor in host.monitors}
    caches = _caches(host)
    options = [
        *("cdp" for c in host.caches if c.name == "L3CODE"),
        *("cdpl2" for c in host.caches if c.name == "L2CODE"),
        *("mba_MBps" for b in host.bandwidths if b.unit == "MiB/s"),
    ]
    telemetry = monitors.get("PERF_PKG_MON")
    level_3 = next((cache for cache in caches if cache.level == 3), None)
    return Profile(
        name=host.source if host.source.isprintable() and host.source else "snapshot",
        vendor=_vendor(host),
        kernel=_kernel(host),
        caches=caches,
        bandwidths=tuple(_bandwidth(b, level_3) for b in host.bandwidths),
        monitoring=_monitoring(host, monitors["L3_MON"]) if "L3_MON" in monitors else None,
        telemetry=_telemetry(telemetry, level_3) if telemetry else None,
        sub_numa_nodes=host.snc_nodes,
        mount_options=tuple(dict.fromkeys(options)),
    )


def _vendor(host: Host) -> Literal["intel", "amd", "arm"]:
    if host.is_mpam:
        return "arm"
    absolute = any(b.unit == "1/8 GB/s" for b in host.bandwidths)
    return "amd" if absolute or any(c.min_cbm_bits == 0 for c in host.caches) else "intel"


def _kernel(host: Host) -> str:
    """Return the oldest simulated kernel that has everything the host has."""
    telemetry = any(monitor.name == "PERF_PKG_MON" for monitor in host.monitors)
    if host.is_mpam or telemetry or any(cache.io_alloc for cache in host.caches):
        return "7.3"
    return "6.18" if host.counter_assignment else DEFAULT_KERNEL


# -- caches and CPUs --------------------------------------------------------------------------------------------


def _caches(host: Host) -> tuple[Cache, ...]:
    count = _cpu_count(host)
    found = [_cache(host, level, count) for level in sorted({c.level for c in host.caches})]
    if not any(cache.level == 3 for cache in found) and (not found or host.bandwidths or host.monitors):
        ids = next((b.ids for b in host.bandwidths if b.ids), (0,))
        found.append(Cache(level=3, ids=ids, cpu_lists=_distributed(count, len(ids)), size_bytes=0, ways=1))
    return tuple(found)


def _cpu_count(host: Host) -> int:
    lists = [group.cpus for group in host.groups]
    lists += [text for caches in host.topology.caches.values() for text in caches.values()]
    named = {cpu for text in lists for cpu in cpus_in(text)}
    domains = [len(c.size_bytes) for c in host.caches] + [len(b.ids) for b in host.bandwidths]
    return max(1 + max(named, default=0), max(domains, default=1) * max(host.snc_nodes, 1), 1)


def cpus_in(text: str) -> frozenset[int]:
    """Return the CPUs of a list in a snapshot, none if it is not a list."""
    try:
        return parse_cpu_list(text, MOST_CPUS)
    except NumberError:
        return frozenset()


def _distributed(count: int, parts: int) -> tuple[str, ...]:
    bounds = [count * part // parts for part in range(parts + 1)]
    return tuple(format_cpu_list(range(low, high)) for low, high in itertools.pairwise(bounds))


def _cpu_lists(host: Host, level: int, ids: tuple[int, ...], count: int) -> tuple[str, ...]:
    known = host.topology.caches.get(level, {})
    lists = tuple(known.get(cache_id, "") for cache_id in ids)
    cpus = [cpu for text in lists for cpu in cpus_in(text)]
    if all(map(cpus_in, lists)) and len(cpus) == len(set(cpus)):
        return lists
    return _distributed(count, len(ids))


def _cache(host: Host, level: int, count: int) -> Cache:
    control = next(c for c in host.caches if c.level == level)
    split = control.name.endswith(_SUFFIXES)
    closids = control.num_closids or _MANY_CLOSIDS
    ids = tuple(control.size_bytes)
    return Cache(
        level=level,
        ids=ids,
        cpu_lists=_cpu_lists(host, level, ids, count),
        size_bytes=max((size or 0 for size in control.size_bytes.values()), default=0),
        sizes={i: size or 0 for i, size in control.size_bytes.items()},
        ways=control.ways,
        closids=closids * 2 if split else closids,
        shareable=f"{control.shareable_bits:x}",
        min_cbm_bits=control.min_cbm_bits,
        sparse=control.sparse_masks,
        cdp=split or _is_padded(control),
        io_alloc=control.io_alloc,
    )


def _is_padded(control: CacheControl) -> bool:
    """Whether the processor supports CDP, which pads names in schemata: nearly all with L3 control do."""
    return control.level == 3 and control.min_cbm_bits != 2


# -- bandwidth and monitoring -----------------------------------------------------------------------------------


def _bandwidth(control: BandwidthControl, level_3: Cache | None) -> Bandwidth:
    percent = control.unit != "1/8 GB/s"
    in_mbps = control.unit == "MiB/s"
    return Bandwidth(
        name="SMBA" if control.name == "SMBA" else "MB",
        closids=control.num_closids or _MANY_CLOSIDS,
        min_bandwidth=10 if in_mbps else control.min_bandwidth,
        bandwidth_gran=10 if in_mbps else control.bandwidth_gran,
        max_bandwidth=100 if percent else control.max_bandwidth or _AMD_MAXIMUM,
        linear=percent,
        throttle_mode="max" if percent and control.fraction_bits is None else None,
        fraction_bits=control.fraction_bits,
        ids=None if level_3 is not None and control.ids == level_3.ids else control.ids,
    )


def _monitoring(host: Host, monitor: MonitorControl) -> Monitoring:
    in_mbps = any(b.unit == "MiB/s" for b in host.bandwidths)
    extra = ("mbm_local_bytes",) if in_mbps and "mbm_local_bytes" not in monitor.features else ()
    per_group = host.rmids_per_control_group
    rmids = (monitor.num_rmids or _MANY_RMIDS) * max(host.snc_nodes, 1)
    if host.is_mpam and per_group is None:
        rmids = _MANY_RMIDS  # the kernel shows 1, or the number of PMGs
    counters = max(monitor.assignment.total.values(), default=None) if monitor.assignment else None
    return Monitoring(
        rmids=rmids if per_group is None else per_group * (host.closids_total or 1),
        events=monitor.features + extra,
        rmids_per_group=per_group,
        counters=counters,
    )


def _telemetry(monitor: MonitorControl, level_3: Cache | None) -> Telemetry:
    return Telemetry(
        packages=level_3.ids if level_3 else (0,),
        rmids=monitor.num_rmids or _MANY_RMIDS,
        events=tuple(TelemetryEvent(name, 0.0, _FRACTIONS.get(name)) for name in monitor.features),
    )
