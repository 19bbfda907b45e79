"""Check a profile from outside before anything is simulated with it.

Decoding has checked the types. This checks that the values are possible, alone and together, so that the simulation can
rely on them. ``cachetune.host.check`` does the same for snapshots.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from cachetune.errors import ResctrlError
from cachetune.sim.numbers import NumberError
from cachetune.sim.profile import (
    MBM_EVENTS,
    MOST_CPUS,
    Bandwidth,
    Cache,
    Monitoring,
    Profile,
    Telemetry,
    cpus_of,
)
from cachetune.sim.resources import nearest_percent, resources_of
from cachetune.sim.rules import KERNELS
from cachetune.text import count

_EVENT_NAME = "[A-Za-z0-9_]{1,64}"
_NODES = (1, 2, 3, 4, 6)
_LARGEST_ID = (1 << 32) - 1
_LARGEST_CACHE = 1 << 40
_MOST_WAYS = 32
_MOST_IDS = 4096
_MOST_CLOSIDS = 1 << 16
_MOST_RMIDS = 1 << 20
_MOST_BITS = 27
"""Binary digits after the point that the kernel can print."""


def problems(profile: Profile) -> Iterator[str]:
    """Return what is impossible in a profile, the first cause first. A later problem may follow from an earlier one."""
    yield from _machine_problems(profile)
    for cache in profile.caches:
        yield from _cache_problems(cache)
    for bandwidth in profile.bandwidths:
        yield from _bandwidth_problems(bandwidth)
    if profile.monitoring:
        yield from _monitoring_problems(profile.monitoring)
    if profile.telemetry:
        yield from _telemetry_problems(profile.telemetry)
    yield from _topology_problems(profile)
    yield from _count_problems(profile)


def _machine_problems(profile: Profile) -> Iterator[str]:
    if not profile.name or not profile.name.isprintable():
        yield f"name: {profile.name!r} cannot be shown"
    if profile.kernel not in KERNELS:
        yield f"kernel: {profile.kernel!r} is not one of {', '.join(KERNELS)}"
    if not profile.caches:
        yield "caches: a processor needs at least one, which lists its CPUs"
    yield from _repeated("caches: level", [cache.level for cache in profile.caches])
    yield from _repeated("bandwidths:", [bandwidth.name for bandwidth in profile.bandwidths])
    for core_cache in profile.core_caches:
        if not 1 <= core_cache.level <= 3 or not 0 < core_cache.size_bytes <= _LARGEST_CACHE:
            yield f"core_caches: level {core_cache.level} of {core_cache.size_bytes} bytes is impossible"


def _repeated(what: str, values: Iterable[object]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield f"{what} {value} occurs {times} times"


def _between(what: str, value: int, least: int, most: int) -> Iterator[str]:
    if not least <= value <= most:
        yield f"{what} is {value}, not {least} to {most}"


def _cache_problems(cache: Cache) -> Iterator[str]:
    name = f"L{cache.level}"
    if cache.level not in {2, 3}:
        yield f"{name}: only caches of levels 2 and 3 can be shared"
    yield from _between(f"{name}: ways", cache.ways, 1, _MOST_WAYS)
    yield from _between(f"{name}: min_cbm_bits", cache.min_cbm_bits, 0, cache.ways)
    if not re.fullmatch("[0-9a-fA-F]{1,8}", cache.shareable, re.ASCII):
        yield f"{name}: shareable {cache.shareable!r} is not a mask in hexadecimal"
    elif int(cache.shareable, 16) >> cache.ways:
        yield f"{name}: shareable {cache.shareable} exceeds its {count(cache.ways, 'way')}"
    if cache.closids is not None:
        yield from _between(f"{name}: closids", cache.closids, 1, _MOST_CLOSIDS)
    if cache.io_alloc and (cache.level != 3 or cache.closids is None):
        yield f"{name}: io_alloc is only possible on an L3 cache with closids"
    yield from _id_problems(name, cache.ids)
    yield from _cpu_problems(name, cache)
    for cache_id, size in [*((i, cache.size_bytes) for i in cache.ids), *cache.sizes.items()]:
        if cache_id not in cache.ids:
            yield f"{name}: sizes has {cache_id}, which is not one of ids"
        if size and not cache.ways <= size <= _LARGEST_CACHE:
            yield f"{name}: cache {cache_id} cannot have a size of {size} bytes"


def _id_problems(name: str, ids: tuple[int, ...]) -> Iterator[str]:
    yield from _between(f"{name}: the number of ids", len(ids), 1, _MOST_IDS)
    yield from _repeated(f"{name}: id", ids)
    for each in ids:
        yield from _between(f"{name}: id", each, 0, _LARGEST_ID)


def _cpu_problems(name: str, cache: Cache) -> Iterator[str]:
    if len(cache.ids) != len(cache.cpu_lists):
        yield f"{name}: {count(len(cache.ids), 'id')} but {count(len(cache.cpu_lists), 'CPU list')}"
    taken: frozenset[int] = frozenset()
    for cache_id, text in zip(cache.ids, cache.cpu_lists, strict=False):
        try:
            cpus = cpus_of(text)
        except NumberError:
            yield f"{name}: {text!r} is not a list of CPUs below {MOST_CPUS}"
            return
        if not cpus:
            yield f"{name}: cache {cache_id} has no CPUs"
        if cpus & taken:
            yield f"{name}: CPU {min(cpus & taken)} has two caches"
        taken |= cpus


def _bandwidth_problems(bandwidth: Bandwidth) -> Iterator[str]:
    name = bandwidth.name
    most = 100 if bandwidth.linear else _LARGEST_ID
    yield from _between(f"{name}: closids", bandwidth.closids, 1, _MOST_CLOSIDS)
    yield from _between(f"{name}: max_bandwidth", bandwidth.max_bandwidth, 1, most)
    yield from _between(f"{name}: min_bandwidth", bandwidth.min_bandwidth, 0, bandwidth.max_bandwidth)
    yield from _between(f"{name}: bandwidth_gran", bandwidth.bandwidth_gran, 1, bandwidth.max_bandwidth)
    if bandwidth.ids is not None:
        yield from _id_problems(name, bandwidth.ids)
    bits = bandwidth.fraction_bits
    if bits is None:
        return
    yield from _between(f"{name}: fraction_bits", bits, 1, 16)
    if not bandwidth.linear or bandwidth.max_bandwidth != 100:
        yield f"{name}: only a percentage has fraction_bits"
    expected = nearest_percent(0, bits), -(-100 // (1 << bits))
    if (bandwidth.min_bandwidth, bandwidth.bandwidth_gran) != expected:
        yield f"{name}: with {bits} fraction_bits, min_bandwidth and bandwidth_gran are {expected[0]} and {expected[1]}"


def _monitoring_problems(monitoring: Monitoring) -> Iterator[str]:
    yield from _between("monitoring: rmids", monitoring.rmids, 1, _MOST_RMIDS)
    yield from _between("monitoring: unit_bytes", monitoring.unit_bytes, 1, 1 << 30)
    yield from _repeated("monitoring: event", monitoring.events)
    if not monitoring.events:
        yield "monitoring: at least one event is needed"
    for event in monitoring.events:
        if not re.fullmatch(_EVENT_NAME, event, re.ASCII) or event.endswith("_config"):
            yield f"monitoring: {event!r} is not the name of an event"
    bandwidth_events = set(monitoring.events) & set(MBM_EVENTS)
    for event in monitoring.configurable:
        if event not in bandwidth_events:
            yield f"monitoring: {event!r} is configurable, but not an event of memory bandwidth that the processor has"
    if monitoring.counters is not None:
        yield from _between("monitoring: counters", monitoring.counters, 1, _MOST_CLOSIDS)
        if not bandwidth_events:
            yield "monitoring: counters without an event of memory bandwidth"


def _telemetry_problems(telemetry: Telemetry) -> Iterator[str]:
    yield from _between("telemetry: rmids", telemetry.rmids, 1, _MOST_RMIDS)
    yield from _id_problems("telemetry, packages", telemetry.packages)
    yield from _repeated("telemetry: event", [event.name for event in telemetry.events])
    if not telemetry.events:
        yield "telemetry: at least one event is needed"
    for event in telemetry.events:
        if not re.fullmatch(_EVENT_NAME, event.name, re.ASCII):
            yield f"telemetry: {event.name!r} is not the name of an event"
        if not math.isfinite(event.rate) or not 0 <= event.rate <= 1e12:
            yield f"telemetry: {event.name} has a rate of {event.rate}"
        if event.binary_bits is not None:
            yield from _between(f"telemetry: binary_bits of {event.name}", event.binary_bits, 0, _MOST_BITS)


def _topology_problems(profile: Profile) -> Iterator[str]:
    """Return what does not fit together: CPUs, threads, caches and Sub-NUMA nodes."""
    cpus, threads, nodes = profile.cpu_count, profile.threads_per_core, profile.sub_numa_nodes
    if not 1 <= threads <= cpus or cpus % threads:
        yield f"threads_per_core: {count(cpus, 'CPU')} cannot be divided into cores of {threads}"
    if (profile.bandwidths or profile.monitoring) and profile.cache(3) is None:
        yield "bandwidths and monitoring need an L3 cache"
    if not (profile.can_allocate or profile.monitoring or profile.telemetry):
        yield "the processor has neither control nor monitoring"
    if nodes not in _NODES:
        yield f"sub_numa_nodes: {nodes} is not one of {', '.join(map(str, _NODES))}"
    if nodes > 1 and (profile.vendor != "intel" or profile.monitoring is None):
        yield "sub_numa_nodes: only Intel's processors with monitoring have them"
    if nodes > 1 and not all(profile.node_cpus().values()):
        yield f"sub_numa_nodes: an L3 cache has fewer than {count(nodes, 'core')}"


def _count_problems(profile: Profile) -> Iterator[str]:
    """Return which counts and mount options the other values do not allow."""
    monitoring = profile.monitoring
    if monitoring and monitoring.rmids < profile.sub_numa_nodes:
        yield f"monitoring: {count(monitoring.rmids, 'RMID')} for {profile.sub_numa_nodes} Sub-NUMA nodes"
    if monitoring and monitoring.rmids_per_group is not None:
        closids = min((r.closids for r in resources_of(profile, KERNELS[profile.kernel])), default=1)
        if monitoring.rmids != closids * monitoring.rmids_per_group:
            yield f"monitoring: rmids is not {closids} closids times {monitoring.rmids_per_group} rmids_per_group"
    try:
        profile.mounted(*profile.mount_options)
    except ResctrlError:
        unsupported = ", ".join(repr(option) for option in profile.mount_options)
        yield f"mount_options: {unsupported} cannot be mounted on this processor with kernel {profile.kernel}"
    for resource in resources_of(profile, KERNELS[profile.kernel]):
        if resource.closids < 1:
            yield f"mount_options: {resource.name} has no closids left"
