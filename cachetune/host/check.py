"""Check a Host from outside (a snapshot, a copy of a tree) before anything is planned on it.

Decoding has checked the types. This checks that the values are possible, so that the planner can rely on them: masks
within cbm_mask, one default group that lists every cache, paths inside the root, numbers in range.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from cachetune.errors import DocumentError
from cachetune.host.groups import MODES
from cachetune.host.model import (
    DEFAULT_GROUP,
    BandwidthControl,
    CacheControl,
    CounterAssignment,
    Group,
    Host,
    MonitorControl,
)
from cachetune.host.paths import kind_of
from cachetune.host.resctrl.schemata import cache_resource
from cachetune.idset import parse_cpu_list
from cachetune.text import count
from cachetune.units import BANDWIDTH_RESOURCES

_TYPES = {"": "both", "CODE": "code", "DATA": "data"}
_LARGEST_ID = (1 << 32) - 1
_LARGEST_CACHE = 1 << 40
_MOST_GROUPS = 1 << 20
_LARGEST_TID = (1 << 31) - 1
_MOST_SNC_NODES = 64
_LATEST = 253402300799.0  # of the year 9999, in seconds since 1970


def check_host(host: Host, name: str) -> Host:
    """Return the host if every value in it is possible.

    Raises DocumentError, which names the document and the value.
    """
    for problem in _problems(host):
        raise DocumentError(name, problem, hint="take a new snapshot with 'cachetune snapshot'")
    return host


def _problems(host: Host) -> Iterator[str]:
    yield from _repeated("resource", host.resource_names)
    yield from _repeated("group", [g.path for g in host.groups])
    for cache in host.caches:
        yield from _cache_problems(cache)
    for bandwidth in host.bandwidths:
        yield from _bandwidth_problems(bandwidth)
    for monitor in host.monitors:
        yield from _monitor_problems(monitor)
    if host.identity and not 0 <= host.identity.taken <= _LATEST:
        yield f"it was taken at {host.identity.taken:g}, which is not a time"
    default = host.group(DEFAULT_GROUP)
    if default is None:
        yield "there is no default group (path '.')"
        return
    for cache in host.caches:
        if set(default.masks.row(cache.name)) != set(cache.size_bytes):
            yield f"{cache.name}: size_bytes and the default group's masks have different cache ids"
    for group in host.groups:
        yield from _group_problems(group, host)
    for name, closids in host.unknown_resources.items():
        yield from _closid_problems(name, closids)
    yield from _topology_problems(host)


def _topology_problems(host: Host) -> Iterator[str]:
    if not 1 <= host.snc_nodes <= _MOST_SNC_NODES:
        yield f"snc_nodes is {host.snc_nodes}"
    for cpus in (
        *host.topology.nodes.values(),
        *(c for level in host.topology.caches.values() for c in level.values()),
    ):
        if not _is_cpu_list(cpus):
            yield f"topology: {cpus!r} is not a list of CPUs"


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"{what} {name!r} occurs {times} times"


def _cache_problems(cache: CacheControl) -> Iterator[str]:
    named = cache_resource(cache.name)
    if named is None or (named[0], _TYPES[named[1]]) != (cache.level, cache.type):
        yield f"{cache.name!r} is not the name of a level {cache.level} cache of type {cache.type}"
    if cache.cbm_mask <= 0:
        yield f"{cache.name}: cbm_mask is {cache.cbm_mask:x}"
        return
    if not 0 <= cache.min_cbm_bits <= cache.ways:
        yield f"{cache.name}: min_cbm_bits is {cache.min_cbm_bits}, but the cache has {count(cache.ways, 'way')}"
    if cache.shareable_bits & ~cache.cbm_mask:
        yield f"{cache.name}: shareable_bits {cache.shareable_bits:x} exceeds cbm_mask {cache.cbm_mask:x}"
    yield from _closid_problems(cache.name, cache.num_closids)
    yield from _usage_problems(cache)
    for cache_id, size in cache.size_bytes.items():
        if not 0 <= cache_id <= _LARGEST_ID:
            yield f"{cache.name}: {cache_id} is not a cache id"
        if size is not None and not cache.ways <= size <= _LARGEST_CACHE:
            yield f"{cache.name}: cache {cache_id} cannot have a size of {size} bytes"


def _usage_problems(cache: CacheControl) -> Iterator[str]:
    for cache_id, mask in cache.io_alloc_cbm.items():
        if cache_id not in cache.size_bytes or mask & ~cache.cbm_mask:
            yield f"{cache.name}: io_alloc_cbm {cache_id}={mask:x} is not within cbm_mask of a cache"
    for cache_id, usage in cache.bit_usage.items():
        if cache_id not in cache.size_bytes or not re.fullmatch(r"[0HXSEP]+", usage) or len(usage) != cache.ways:
            yield f"{cache.name}: bit_usage {cache_id}={usage!r} is not one letter for each way of a cache"


def _bandwidth_problems(control: BandwidthControl) -> Iterator[str]:
    if control.name not in BANDWIDTH_RESOURCES:
        yield f"{control.name!r} is not a bandwidth resource"
    most = _LARGEST_ID if control.max_bandwidth is None else control.max_bandwidth
    if not 0 <= control.min_bandwidth <= most <= _LARGEST_ID:
        yield f"{control.name}: {control.min_bandwidth} to {most} is not a range of bandwidths"
    if not 1 <= control.bandwidth_gran <= max(most, 1):
        yield f"{control.name}: bandwidth_gran is {control.bandwidth_gran}"
    if len(set(control.ids)) != len(control.ids) or not all(0 <= i <= _LARGEST_ID for i in control.ids):
        yield f"{control.name}: ids are negative, too large or repeated"
    yield from _closid_problems(control.name, control.num_closids)


def _monitor_problems(monitor: MonitorControl) -> Iterator[str]:
    if not re.fullmatch(r"[A-Z0-9_]+_MON", monitor.name, re.ASCII):
        yield f"{monitor.name!r} is not a monitoring resource"
    for feature in monitor.features:
        if not re.fullmatch(r"[A-Za-z0-9_]+", feature, re.ASCII):
            yield f"{monitor.name}: {feature!r} is not an event name"
    if monitor.num_rmids is not None and not 1 <= monitor.num_rmids <= _MOST_GROUPS:
        yield f"{monitor.name}: num_rmids is {monitor.num_rmids}"
    if monitor.max_threshold_occupancy is not None and monitor.max_threshold_occupancy < 0:
        yield f"{monitor.name}: max_threshold_occupancy is {monitor.max_threshold_occupancy}"
    if monitor.assignment:
        yield from _assignment_problems(monitor.name, monitor.assignment)


def _assignment_problems(name: str, assignment: CounterAssignment) -> Iterator[str]:
    if assignment.mode not in assignment.modes:
        yield f"{name}: mode {assignment.mode!r} is not one of {', '.join(assignment.modes)}"
    for cache_id, left in assignment.available.items():
        if not 0 <= left <= assignment.total.get(cache_id, 0):
            yield f"{name}: {left} of {assignment.total.get(cache_id, 0)} counters are available on cache {cache_id}"


def _closid_problems(name: str, num_closids: int | None) -> Iterator[str]:
    if num_closids is not None and not 1 <= num_closids <= _MOST_GROUPS:
        yield f"{name}: num_closids is {num_closids}"


def _group_problems(group: Group, host: Host) -> Iterator[str]:
    kind = kind_of(group.path, monitoring=bool(host.monitors))
    if kind is None:
        yield f"{group.path!r} is not the path of a group"
        return
    if kind != group.kind:
        yield f"group {group.path!r} has the path of a {kind} group, not of a {group.kind} group"
    if (group.owner == "default") != (group.path == DEFAULT_GROUP):
        yield f"group {group.path!r} cannot have the owner {group.owner!r}"
    if host.group(group.parent) is None:
        yield f"group {group.path!r} has no control group {group.parent!r}"
    if group.mode not in MODES:
        yield f"group {group.path!r}: {group.mode!r} is not a mode"
    if not _is_cpu_list(group.cpus):
        yield f"group {group.path!r}: {group.cpus!r} is not a list of CPUs"
    if not all(0 < tid <= _LARGEST_TID for tid in group.tids):
        yield f"group {group.path!r}: thread ids are not positive, or too large"
    yield from _value_problems(group, host)


def _value_problems(group: Group, host: Host) -> Iterator[str]:
    cbm_masks = {cache.name: cache.cbm_mask for cache in host.caches}
    for name, masks in group.masks.items():
        if cache_resource(name) is None:
            yield f"group {group.path!r}: {name!r} is not a cache resource"
        for cache_id, mask in masks.items():
            if cache_id < 0 or mask & ~cbm_masks.get(name, mask):
                yield f"group {group.path!r}: {name}:{cache_id}={mask:x} is not within cbm_mask"
    for name, values in group.bandwidth.items():
        if name not in BANDWIDTH_RESOURCES:
            yield f"group {group.path!r}: {name!r} is not a bandwidth resource"
        for node, value in values.items():
            if node < 0 or not 0 <= value <= _LARGEST_ID:
                yield f"group {group.path!r}: {name} {node}={value} is not a bandwidth"


def _is_cpu_list(text: str) -> bool:
    try:
        parse_cpu_list(text)
    except ValueError:
        return False
    return True
