"""In what two hosts differ for tuning: their caches, bandwidth control, monitoring, limits and mount options.

Each property of a host is a ``Fact`` with its value on both. What is in use (groups, free ways) is no property of the
host: it changes with every guest, so it is compared only on request. A value that a snapshot does not have, such as
the kernel of a simulated host, is not compared.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

import msgspec

from cachetune.fleet.sizes import SizeStep, size_steps
from cachetune.host.model import BandwidthControl, CacheControl, Host, MonitorControl
from cachetune.host.usage import usage_of
from cachetune.idset import format_ids, parse_cpu_list
from cachetune.text import listed
from cachetune.units import BANDWIDTH_RESOURCES

Unit = Literal["", "bytes"]
Value = bool | int | str | None
LEVELS = (2, 3)


class ComparedHost(msgspec.Struct, frozen=True):
    """One of the hosts: what it was read from, its name and when its snapshot was taken; "" and None if unknown."""

    source: str
    hostname: str = ""
    taken: float | None = None


class Fact(msgspec.Struct, frozen=True):
    """One property of both hosts. ``key`` is stable, such as "L3.ways"; ``what`` is how it is printed.

    ``a`` and ``b`` are the values, None on a host that does not have what the property is about. A size is in bytes,
    in ``unit`` "bytes"; a mask is hexadecimal, a list of ids or CPUs is as the kernel prints it.
    """

    key: str
    what: str
    a: Value
    b: Value
    differs: bool
    unit: Unit = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``cachetune diff-hosts --json``: all facts, also those that do not differ.

    ``sizes`` are the sizes of whole ways on A whose caches have other ways on B, and what they are there. ``notes`` are
    sentences on what the differences mean for a request.
    """

    schema_version: Literal[1] = 1
    a: ComparedHost
    b: ComparedHost
    facts: tuple[Fact, ...]
    sizes: tuple[SizeStep, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[Fact, ...]:
        """The facts that differ."""
        return tuple(fact for fact in self.facts if fact.differs)

    @property
    def exit_code(self) -> int:
        """0 for hosts that are the same, 1 for hosts that differ."""
        return int(bool(self.differences))


class _Property(msgspec.Struct, frozen=True):
    """A property of one host, which a Fact has of both."""

    what: str
    value: Value
    unit: Unit = ""


_Properties = dict[str, _Property]


def compare(a: Host, b: Host, *, sources: tuple[str, str] | None = None, groups: bool = False) -> Comparison:
    """Compare two hosts; with ``groups`` also what is in use on them. ``sources`` are what the user calls them."""
    ours, theirs = (_properties(host, groups=groups) for host in (a, b))
    kept = [key for key in _in_order(ours, theirs) if _is_comparable(key, ours, theirs)]
    return Comparison(
        a=compared_host(a, sources[0] if sources else a.source),
        b=compared_host(b, sources[1] if sources else b.source),
        facts=tuple(_fact(key, ours.get(key), theirs.get(key)) for key in kept),
        sizes=tuple(size_steps(a, b)),
        notes=tuple(_notes(a, b)),
    )


def compared_host(host: Host, source: str) -> ComparedHost:
    """Which host it is; ``source`` is what the user calls it."""
    identity = host.identity
    return ComparedHost(source, identity.hostname if identity else "", identity.taken if identity else None)


def _in_order(ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """The keys of both, with those of one topic beside each other, and each topic behind the one before it."""
    keys = list(dict.fromkeys((*ours, *theirs)))
    topics, others = (list(dict.fromkeys(map(_topic, each))) for each in (ours, theirs))
    for before, topic in pairwise(("", *others)):
        if topic not in topics:
            topics.insert(topics.index(before) + 1 if before else 0, topic)
    return sorted(keys, key=lambda key: topics.index(_topic(key)))


def _is_comparable(key: str, ours: Mapping[str, _Property], theirs: Mapping[str, _Property]) -> bool:
    """Whether both hosts say something about a property, or one of them cannot have it.

    A resource that only one of them has is one fact: that it is missing.
    """
    if key in ours and key in theirs:
        return True
    here = ours if key in ours else theirs
    first = next(each for each in here if _topic(each) == _topic(key))
    return key == first and key not in _MAY_BE_UNKNOWN


def _topic(key: str) -> str:
    return key.split(".", maxsplit=1)[0]


def _fact(key: str, ours: _Property | None, theirs: _Property | None) -> Fact:
    either = ours or theirs or _Property(key, None)
    a, b = (each.value if each else None for each in (ours, theirs))
    return Fact(key, either.what, a, b, differs=a != b, unit=either.unit)


# Not every snapshot has these; where one is missing, nothing is known.
_MAY_BE_UNKNOWN = frozenset({"cpu_model", "kernel", "numa_nodes"})


def _properties(host: Host, *, groups: bool) -> _Properties:
    found = dict(_machine(host))
    for level in LEVELS:
        found |= _of_level(host, level)
    for control in host.bandwidths:
        found |= _of_bandwidth(control)
    for monitor in host.monitors:
        found |= _of_monitor(monitor)
    found |= _limits(host)
    if groups:
        found |= _in_use(host)
    return found


def _machine(host: Host) -> Iterator[tuple[str, _Property]]:
    identity = host.identity
    for key, what, value in (
        ("cpu_model", "Processor", identity.cpu_model if identity else ""),
        ("kernel", "Kernel", identity.kernel if identity else ""),
    ):
        if value:
            yield key, _Property(what, value)
    yield "architecture", _Property("Architecture", "MPAM" if host.is_mpam else "x86")
    yield "snc_nodes", _Property("Sub-NUMA nodes per L3", host.snc_nodes)
    if host.topology.nodes:
        yield "numa_nodes", _Property("NUMA nodes", format_ids(host.topology.nodes))
    yield "mount_options", _Property("Mount options", ",".join(sorted(host.mount_options)) or "none")


def _of_level(host: Host, level: int) -> _Properties:
    """The properties of the caches of one level. With CDP it has two resources, which differ in their masks only."""
    controls = [control for control in host.caches if control.level == level]
    if not controls:
        return {}
    name = f"L{level}"

    def of(key: str, what: str, value: Callable[[CacheControl], Value], unit: Unit = "") -> tuple[str, _Property]:
        return f"{name}.{key}", _Property(f"{name} {what}", _common(controls, value), unit)

    cpus = host.topology.caches.get(level, {})
    found = dict(
        (
            (f"{name}.types", _Property(f"{name} types", ", ".join(control.type for control in controls))),
            of("cache_ids", "cache ids", lambda control: format_ids(control.size_bytes)),
            of("size_bytes", "size of a cache", lambda control: _by_id(control.size_bytes), "bytes"),
            of("ways", "ways", lambda control: control.ways),
            of("way_bytes", "size of a way", _way_bytes, "bytes"),
            of("min_cbm_bits", "least ways", lambda control: max(control.min_cbm_bits, 1)),
            of("sparse_masks", "masks with holes", lambda control: control.sparse_masks),
            of("shareable_bits", "shared with I/O", lambda control: f"{control.shareable_bits:x}"),
            of("io_alloc", "io_alloc", lambda control: control.io_alloc),
            of("num_closids", "CLOSIDs", lambda control: control.num_closids),
        )
    )
    if cpus:
        numbers = {cache_id: len(parse_cpu_list(text)) for cache_id, text in cpus.items()}
        found[f"{name}.cpus_per_cache"] = _Property(f"{name} CPUs per cache", _by_id(numbers))
        lists = "; ".join(f"{cache_id}={text}" for cache_id, text in cpus.items())
        found[f"{name}.cpus"] = _Property(f"{name} CPUs by cache", lists)
    return found


def _way_bytes(control: CacheControl) -> Value:
    return _by_id({cache_id: control.way_bytes(cache_id) for cache_id in control.size_bytes})


def _common(controls: Iterable[CacheControl], value: Callable[[CacheControl], Value]) -> Value:
    """The value that all resources of a level have, or the value of each."""
    return _one_of({control.type: value(control) for control in controls})


def _by_id(values: Mapping[int, int | None]) -> Value:
    """The value that all caches have, or the values by id."""
    return _one_of(values)


def _one_of(values: Mapping[Any, Value]) -> Value:
    different = list(dict.fromkeys(values.values()))
    if len(different) < 2:
        return different[0] if different else None
    return "; ".join(f"{key}={value}" for key, value in values.items())


def _of_bandwidth(control: BandwidthControl) -> _Properties:
    name = control.name
    values: tuple[tuple[str, str, Value], ...] = (
        ("unit", "unit", control.unit),
        ("min_bandwidth", "minimum", control.min_bandwidth),
        ("bandwidth_gran", "step", control.bandwidth_gran),
        ("max_bandwidth", "maximum", control.max_bandwidth),
        ("ids", "node ids", format_ids(control.ids)),
        ("num_closids", "CLOSIDs", control.num_closids),
    )
    return {f"{name}.{key}": _Property(f"{name} {what}", value) for key, what, value in values}


def _of_monitor(monitor: MonitorControl) -> _Properties:
    name, assignment = monitor.name, monitor.assignment
    values: list[tuple[str, str, Value]] = [
        ("features", "events", ", ".join(sorted(monitor.features)) or "none"),
        ("num_rmids", "RMIDs", monitor.num_rmids),
        ("assign_mode", "assignment", assignment.mode if assignment else "none"),
    ]
    if assignment:
        values.append(("assign_modes", "modes of assignment", ", ".join(sorted(assignment.modes))))
        values.append(("counters", "assignable counters", _by_id(assignment.total) if assignment.total else None))
    return {f"{name}.{key}": _Property(f"{name} {what}", value) for key, what, value in values}


def _limits(host: Host) -> _Properties:
    return {
        "closids_total": _Property("Control groups", host.closids_total),
        "rmids_total": _Property("Monitored groups", host.rmids_total),
        "unknown_resources": _Property("Resources not understood", ", ".join(sorted(host.unknown_resources)) or "none"),
    }


def _in_use(host: Host) -> _Properties:
    """What is in use: the default group's values, free ways, groups."""
    found: _Properties = {}
    default, usage = host.default_group, usage_of(host)
    for name in dict.fromkeys(cache.resource for cache in usage.caches):
        caches = [cache for cache in usage.caches if cache.resource == name]
        masks = {i: f"{mask:x}" for i, mask in default.masks.row(name).items()}
        found |= {
            f"in_use/{name}.default": _Property(f"{name} default group", _one_of(masks)),
            f"in_use/{name}.free_ways": _Property(f"{name} free ways", _by_id({c.id: c.free_ways for c in caches})),
            f"in_use/{name}.largest_hole_ways": _Property(
                f"{name} largest hole", _by_id({c.id: c.largest_hole_ways for c in caches})
            ),
        }
    for control in host.bandwidths:
        row = default.bandwidth.row(control.name)
        found[f"in_use/{control.name}.default"] = _Property(f"{control.name} default group", _by_id(row))
    paths = sorted(group.path for group in host.groups if group is not default)
    found["in_use/groups.paths"] = _Property("Groups", ", ".join(paths) or "none")
    found["in_use/groups.closids_used"] = _Property("Control groups in use", host.closids_used)
    found["in_use/groups.rmids_used"] = _Property("Monitored groups in use", host.rmids_used)
    return found


def _notes(a: Host, b: Host) -> Iterator[str]:
    """What the differences mean for a request that is made for A."""
    for level in LEVELS:
        ours, theirs = ([c for c in host.caches if c.level == level] for host in (a, b))
        if ours and not theirs:
            yield f"L{level}: no request for this level can be planned on B [CT201]"
            continue
        if not ours or not theirs:
            continue
        types = [c.type for c in theirs]
        if gone := [c.type for c in ours if c.type not in types]:
            yield f"L{level}: type {listed(gone)} becomes type {listed(types)} on B [CT202]"
        if ids := [i for i in ours[0].size_bytes if i not in theirs[0].size_bytes]:
            yield f"L{level}: B has no cache {format_ids(ids)} [CT203]"
    for resource in BANDWIDTH_RESOURCES:
        yield from _bandwidth_notes(resource, a.bandwidth(resource), b.bandwidth(resource))
    if a.monitors and not b.monitors:
        yield "no monitor can be created on B [CT214]"


def _bandwidth_notes(resource: str, ours: BandwidthControl | None, theirs: BandwidthControl | None) -> Iterator[str]:
    if ours and not theirs:
        yield f"{resource}: no bandwidth can be limited on B [CT208]"
    elif ours and theirs and ours.unit != theirs.unit:
        yield f"{resource}: a bandwidth without a unit is in {ours.unit} on A, and in {theirs.unit} on B"
        if "percent" in (ours.unit, theirs.unit):
            yield f"{resource}: {ours.unit} cannot be converted to {theirs.unit}: no host knows what 100 percent is"
