"""From what a look has found to the values of the metrics. Pure: it reads nothing.

Names of guests and groups are chosen by others, so ``label_value`` makes them printable, and keeps different ones
different. A value that is missing is left out: it is never 0.
"""

import functools
import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cachetune import __version__
from cachetune.cbm import Cbm
from cachetune.exporter.metrics import BY_NAME, CONTROL, EVENTS, MONITOR, OTHER_EVENTS
from cachetune.exporter.model import REASONS, Seen
from cachetune.host.model import BandwidthControl, Group, Host, parent_of
from cachetune.host.usage import usage_of
from cachetune.plan.rules import LACKS
from cachetune.text import printable
from cachetune.watch import Counter, Reading

MAX_GROUPS = 256
_LONGEST_LABEL = 256
_L3 = "L3"
# Bytes per second in one unit of a limit.
_BANDWIDTH_UNITS = {"MiB/s": 1 << 20, "1/8 GB/s": 125_000_000}

Labels = tuple[tuple[str, str], ...]
Samples = dict[str, dict[Labels, float]]
"""By metric, the value of each combination of labels; no combination is there twice."""

_Value = tuple[str, dict[str, object], float]


def samples_of(seen: Seen, max_groups: int = MAX_GROUPS) -> Samples:
    """The samples of one look, with at most ``max_groups`` groups, and as many guests."""
    groups, guests = _most_important(seen.groups, max_groups), sorted(seen.guests)[:max_groups]
    left_out = {"groups": len(seen.groups) - len(groups), "guests": len(seen.guests) - len(guests)}
    values = [*_exporter_values(seen, left_out), *_counter_states(seen.groups), *_group_values(groups, seen.host)]
    if seen.host is not None:
        values += _host_values(seen.host, seen.idle_ways)
    values += _guest_values(seen, guests)
    values += _agent_values(seen, max_groups)
    return _by_name(values)


def samples_of_groups(groups: Sequence[Reading], host: Host) -> Samples:
    """The samples of these groups alone."""
    return _by_name([*_counter_states(groups), *_group_values(groups, host)])


def label_value(text: str) -> str:
    """The text without control characters and surrogates, at most 256 characters; different texts stay different."""
    return _short_label_value(text) if len(text) <= _LONGEST_LABEL else _label_value(text)


def _label_value(text: str) -> str:
    shown = printable(text.replace("\\", "\\\\"))
    if len(shown) <= _LONGEST_LABEL:
        return shown
    digest = hashlib.sha256(shown.encode()).hexdigest()[:16]
    return f"{shown[: _LONGEST_LABEL - len(digest) - 1]}~{digest}"


_short_label_value = functools.lru_cache(maxsize=4096)(_label_value)  # a name is in many series


def _by_name(values: Iterable[_Value]) -> Samples:
    samples: Samples = {}
    for name, labels, value in values:
        samples.setdefault(name, {})[_labels(name, labels)] = value
    return samples


def _labels(name: str, given: Mapping[str, object]) -> Labels:
    """The labels of a metric that have a value, in its order."""
    texts = {key: label_value(str(value)) for key, value in given.items() if value not in (None, "")}
    return tuple((key, texts[key]) for key in BY_NAME[name].labels if key in texts)


def _most_important(groups: Sequence[Reading], most: int) -> list[Reading]:
    """The default group first, then guests' control groups, other control groups, and monitor groups."""

    def rank(group: Reading) -> tuple[bool, bool, bool, str]:
        return group.kind == "monitor", group.owner != "default", group.guest is None, group.path

    return sorted(groups, key=rank)[:most]


def _of_group(group: Reading) -> dict[str, object]:
    labels: dict[str, object] = {"guest": group.guest, "group": group.path, "vcpus": group.vcpus}
    if group.kind == "monitor":
        labels |= {"group": parent_of(group.path), "monitor": group.name}
    return labels


def _group_values(groups: Sequence[Reading], host: Host | None) -> Iterator[_Value]:
    """The counters and the allocation of these groups."""
    for group in groups:
        yield from _counter_values(group)
    if host is not None:
        yield from _allocation_values(host, [group for group in groups if group.kind == "control"])


def _counter_values(group: Reading) -> Iterator[_Value]:
    prefix, of_group = (MONITOR if group.kind == "monitor" else CONTROL), _of_group(group)
    for counter in _without_sums(group.counters):
        if counter.number is None:
            continue
        event = EVENTS.get(counter.event)
        is_cache = counter.resource.startswith("L")
        where: dict[str, object] = {"resource": counter.resource, "cache_id": counter.id, "node": counter.node}
        if not is_cache:
            where = {"package": counter.id}
        name = prefix + (event.suffix if event else OTHER_EVENTS)
        yield name, {**of_group, **where, "event": counter.event}, float(counter.number)


def _without_sums(counters: Iterable[Counter]) -> Iterator[Counter]:
    """The counters without the sums of NUMA nodes that are counters, too."""
    counters = tuple(counters)
    by_node = {(c.resource, c.id, c.event) for c in counters if c.node is not None}
    return (c for c in counters if c.node is not None or (c.resource, c.id, c.event) not in by_node)


def _counter_states(groups: Iterable[Reading]) -> Iterator[_Value]:
    found: dict[tuple[str, str, str], int] = {}
    for counter in (counter for group in groups for counter in _without_sums(group.counters)):
        key = (counter.resource, counter.event, "partial" if counter.partial else counter.state)
        found[key] = found.get(key, 0) + 1
    for (resource, event, state), number in found.items():
        yield "cachetune_counters", {"resource": resource, "event": event, "state": state}, number


def _allocation_values(host: Host, controls: Sequence[Reading]) -> Iterator[_Value]:
    shared = {cache.name: _shared_ways(host, cache.name) for cache in host.caches}
    for reading in controls:
        group, labels = host.group(reading.path), _of_group(reading)
        if group is None:
            continue
        facts = {"owner": group.owner, "mode": group.mode, "threads": reading.threads}
        yield "cachetune_group_info", {**labels, **facts}, 1
        yield "cachetune_group_threads", labels, len(group.tids)
        for cache in host.caches:
            for cache_id, mask in group.masks.row(cache.name).items():
                where = {**labels, "resource": cache.name, "cache_id": cache_id}
                yield "cachetune_group_ways", where, mask.bit_count()
                yield "cachetune_group_shared_ways", where, (mask & shared[cache.name].get(cache_id, 0)).bit_count()
                if (way_bytes := cache.way_bytes(cache_id)) is not None:
                    yield "cachetune_group_size_bytes", where, mask.bit_count() * way_bytes
        for cache_id, size in _reachable(host, group):
            yield "cachetune_group_reachable_bytes", {**labels, "resource": _L3, "cache_id": cache_id}, size
        for control in host.bandwidths:
            yield from _limits(control, group, labels)


def _shared_ways(host: Host, resource: str) -> dict[int, int]:
    """By cache id, the ways that two groups or more have."""
    once: dict[int, int] = {}
    twice: dict[int, int] = {}
    for group in host.control_groups():
        for cache_id, mask in group.masks.row(resource).items():
            twice[cache_id] = twice.get(cache_id, 0) | once.get(cache_id, 0) & mask
            once[cache_id] = once.get(cache_id, 0) | mask
    return twice


def _reachable(host: Host, group: Group) -> Iterator[tuple[int, int]]:
    """By id of an L3 cache, the bytes that the group can fill: with CDP the ways for code and those for data."""
    ways: dict[int, Cbm] = {}
    way_bytes: dict[int, int | None] = {}
    for cache in (cache for cache in host.caches if cache.level == 3):
        for cache_id, mask in group.masks.row(cache.name).items():
            ways[cache_id] = ways.get(cache_id, Cbm(0)) | mask
            way_bytes[cache_id] = cache.way_bytes(cache_id)
    for cache_id, mask in ways.items():
        if (size := way_bytes[cache_id]) is not None:
            yield cache_id, mask.bit_count() * size


def _limits(control: BandwidthControl, group: Group, labels: Mapping[str, object]) -> Iterator[_Value]:
    for cache_id, limit in group.bandwidth.row(control.name).items():
        where = {**labels, "resource": control.name, "cache_id": cache_id}
        if control.unit == "percent":
            yield "cachetune_group_bandwidth_limit_ratio", where, limit / 100
        elif control.max_bandwidth is None or limit < control.max_bandwidth:
            unit = _BANDWIDTH_UNITS[control.unit]
            yield "cachetune_group_bandwidth_limit_bytes_per_second", where, limit * unit


def _host_values(host: Host, idle_ways: Mapping[tuple[str, int], int] | None) -> Iterator[_Value]:
    usage = usage_of(host)
    for cache in usage.caches:
        where: dict[str, object] = {"resource": cache.resource, "cache_id": cache.id}
        yield "cachetune_cache_ways", where, cache.ways
        yield "cachetune_cache_free_ways", where, cache.free_ways
        yield "cachetune_cache_largest_hole_ways", where, cache.largest_hole_ways
        if cache.way_bytes is not None:
            yield "cachetune_cache_size_bytes", where, cache.ways * cache.way_bytes
        if idle_ways is not None:
            yield "cachetune_cache_idle_ways", where, idle_ways.get((cache.resource, cache.id), 0)
    for name, limit in (("closids", usage.closids), ("rmids", usage.rmids)):
        yield f"cachetune_{name}_used", {}, limit.used
        if limit.total is not None:
            yield f"cachetune_{name}_limit", {}, limit.total
    assignment = host.counter_assignment
    if assignment is not None and assignment.is_active:
        for cache_id, number in assignment.total.items():
            yield "cachetune_bandwidth_counters_limit", {"cache_id": cache_id}, number
        for cache_id, number in assignment.available.items():
            yield "cachetune_bandwidth_counters_free", {"cache_id": cache_id}, number
    yield "cachetune_unreadable_files", {}, len(host.problems)


def _guest_values(seen: Seen, guests: Iterable[str]) -> Iterator[_Value]:
    for guest in guests:
        tuning = seen.guests[guest]
        yield "cachetune_guest_state", {"guest": guest, "state": tuning.state}, 1
        if tuning.state in {"applied", "drifted"}:
            yield "cachetune_guest_drifted", {"guest": guest}, tuning.state == "drifted"
        if tuning.state in {"refused", "invalid"}:
            for rule in tuning.rules or ("",):  # a reason without a rule counts, too
                yield "cachetune_guest_refused", {"guest": guest, "rule": rule, "lacks": LACKS.get(rule)}, 1


def _agent_values(seen: Seen, most: int) -> Iterator[_Value]:
    agent = seen.agent
    if agent is None:
        return
    yield "cachetune_agent_up", {}, seen.agent_is_alive
    yield "cachetune_agent_problem", {}, agent.problem != ""
    yield "cachetune_agent_last_round_timestamp_seconds", {}, agent.looked
    yield "cachetune_agent_period_seconds", {}, agent.period_seconds
    for guest in agent.guests[:most]:
        yield "cachetune_agent_guest_state", {"guest": guest.name, "state": guest.state}, 1


def _exporter_values(seen: Seen, left_out: Mapping[str, int]) -> Iterator[_Value]:
    yield "cachetune_up", {}, seen.host is not None
    build: dict[str, object] = {
        "version": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    yield "cachetune_build_info", build, 1
    yield "cachetune_interrupted_run", {}, seen.interrupted
    yield "cachetune_readings_total", {}, seen.looks
    yield "cachetune_reading_timestamp_seconds", {}, seen.time
    yield "cachetune_reading_duration_seconds", {}, seen.duration
    for what, number in left_out.items():
        yield "cachetune_left_out", {"what": what}, number
    for reason in REASONS:
        yield "cachetune_scrape_errors_total", {"reason": reason}, seen.errors.get(reason, 0)
