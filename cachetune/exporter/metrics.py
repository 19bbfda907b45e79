"""The metrics: one table that the collector, the documentation and the dashboard's tests follow.

Names follow Prometheus's conventions: base units, ``_total`` for what counts up. The sum of all series of one metric
is meaningful: a control group's values include those of its monitor groups, so monitor groups have separate metrics,
and with Sub-NUMA clustering the nodes are exported instead of their sum.
"""

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "info"]


class Metric(msgspec.Struct, frozen=True):
    """One metric: its full ``name``, what it means, and the ``labels`` that its series can have."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """How an event of the kernel is exported: below the prefixes of control groups and monitor groups."""

    suffix: str
    kind: Kind
    help: str


CONTROL, MONITOR = "cachetune_group_", "cachetune_monitor_"
OTHER_EVENTS = "events_total"

EVENTS = {
    "llc_occupancy": Event("llc_occupancy_bytes", "gauge", "Bytes of the cache that hold data of {whose} threads"),
    "mbm_total_bytes": Event(
        "memory_bytes_total", "counter", "Bytes moved between the cache and memory for {whose} threads"
    ),
    "mbm_local_bytes": Event(
        "memory_local_bytes_total",
        "counter",
        "The part of memory_bytes_total that is memory of the cache's own NUMA node",
    ),
    "core_energy": Event("core_energy_joules_total", "counter", "Energy that cores used for {whose} threads"),
    "activity": Event(
        "core_activity_farads_total", "counter", "Switched capacitance of the cores that ran {whose} threads"
    ),
}
"""The events with a metric. All others are the label ``event`` of OTHER_EVENTS."""

_GROUP = ("guest", "group", "vcpus")
_CACHE = ("resource", "cache_id")
_MONITOR = ("guest", "group", "monitor", "vcpus")


def _counters(prefix: str, whose: str, labels: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics of the events of control groups, or of monitor groups."""
    known = tuple(
        Metric(
            prefix + event.suffix,
            event.kind,
            event.help.format(whose=whose),
            (*labels, "package") if name in {"core_energy", "activity"} else (*labels, *_CACHE, "node"),
        )
        for name, event in EVENTS.items()
    )
    others = f"Events of {whose} threads that have no other metric, in the kernel's words and units"
    return (*known, Metric(prefix + OTHER_EVENTS, "counter", others, (*labels, *_CACHE, "node", "package", "event")))


METRICS: tuple[Metric, ...] = (
    *_counters(CONTROL, "a control group's", _GROUP),
    *_counters(MONITOR, "a monitor group's", _MONITOR),
    Metric(
        "cachetune_group_info",
        "info",
        "A control group: its owner, its mode, and the kind of threads that its name says it is for",
        (*_GROUP, "owner", "mode", "threads"),
    ),
    Metric("cachetune_group_threads", "gauge", "Threads in a control group, its monitor groups included", _GROUP),
    Metric("cachetune_group_ways", "gauge", "Ways of a cache in a control group's mask", (*_GROUP, *_CACHE)),
    Metric("cachetune_group_size_bytes", "gauge", "Size of the ways in a control group's mask", (*_GROUP, *_CACHE)),
    Metric(
        "cachetune_group_shared_ways",
        "gauge",
        "Ways of a control group that other groups have, too",
        (*_GROUP, *_CACHE),
    ),
    Metric(
        "cachetune_group_reachable_bytes",
        "gauge",
        "Size of the ways of a monitored cache that a control group can fill, with code or data",
        (*_GROUP, *_CACHE),
    ),
    Metric(
        "cachetune_group_bandwidth_limit_ratio",
        "gauge",
        "Memory bandwidth limit of a control group, 1 for unlimited (Intel, Arm)",
        (*_GROUP, *_CACHE),
    ),
    Metric(
        "cachetune_group_bandwidth_limit_bytes_per_second",
        "gauge",
        "Memory bandwidth limit of a control group; absent if unlimited (AMD, mba_MBps)",
        (*_GROUP, *_CACHE),
    ),
    Metric("cachetune_cache_size_bytes", "gauge", "Size of a cache", _CACHE),
    Metric("cachetune_cache_ways", "gauge", "Ways of a cache", _CACHE),
    Metric("cachetune_cache_free_ways", "gauge", "Ways that no control group has, the default group included", _CACHE),
    Metric(
        "cachetune_cache_largest_hole_ways",
        "gauge",
        "Contiguous free ways of a cache: the largest request that fits",
        _CACHE,
    ),
    Metric(
        "cachetune_cache_idle_ways",
        "gauge",
        "Free ways that are not kept for a starting guest; cachetune show names the command that returns them",
        _CACHE,
    ),
    Metric("cachetune_closids_used", "gauge", "Control groups, the default group included"),
    Metric("cachetune_closids_limit", "gauge", "Control groups that can exist"),
    Metric("cachetune_rmids_used", "gauge", "Groups that are monitored, the default group included"),
    Metric("cachetune_rmids_limit", "gauge", "Groups that can be monitored; absent on Arm MPAM"),
    Metric(
        "cachetune_bandwidth_counters_limit",
        "gauge",
        "Bandwidth counters that can be assigned to groups",
        ("cache_id",),
    ),
    Metric("cachetune_bandwidth_counters_free", "gauge", "Bandwidth counters that no group has", ("cache_id",)),
    Metric(
        "cachetune_guest_state",
        "gauge",
        "A running guest and the state of its request, such as applied, drifted, refused, none",
        ("guest", "state"),
    ),
    Metric(
        "cachetune_guest_drifted",
        "gauge",
        "Whether the host differs from a guest's request; absent for a guest without a valid request",
        ("guest",),
    ),
    Metric(
        "cachetune_guest_refused",
        "gauge",
        "A rule that a running guest's request breaks, and what the host lacks: ways, closids or rmids",
        ("guest", "rule", "lacks"),
    ),
    Metric("cachetune_agent_up", "gauge", "Whether the agent is running; absent if none ever ran since boot"),
    Metric("cachetune_agent_problem", "gauge", "Whether the agent could not observe the host in its last round"),
    Metric("cachetune_agent_last_round_timestamp_seconds", "gauge", "Time of the agent's last round"),
    Metric("cachetune_agent_period_seconds", "gauge", "Time between two rounds of the agent"),
    Metric(
        "cachetune_agent_guest_state",
        "gauge",
        "A guest that the agent manages: placed, failed, drifted or waiting",
        ("guest", "state"),
    ),
    Metric("cachetune_interrupted_run", "gauge", "Whether a run was interrupted and waits for cachetune recover"),
    Metric("cachetune_up", "gauge", "Whether resctrl could be read"),
    Metric("cachetune_build_info", "info", "The exporter's version", ("version", "python", "kernel")),
    Metric(
        "cachetune_counters",
        "gauge",
        "Counters by state: ok, partial, or the kernel's reason for a missing value",
        ("resource", "event", "state"),
    ),
    Metric("cachetune_left_out", "gauge", "Groups and guests that --max-groups left out", ("what",)),
    Metric("cachetune_unreadable_files", "gauge", "Files of groups that could not be read or understood"),
    Metric("cachetune_readings_total", "counter", "Readings of the counters: at most one per interval"),
    Metric("cachetune_reading_timestamp_seconds", "gauge", "Time of the reading that this scrape shows"),
    Metric("cachetune_reading_duration_seconds", "gauge", "Time that this reading took"),
    Metric(
        "cachetune_scrape_errors_total",
        "counter",
        "Parts of the host that could not be read: what they would say is absent",
        ("reason",),
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}


def table() -> str:
    """The metrics as a table in Markdown, for docs/how-to/prometheus.md."""
    rows = (f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.help} |" for m in METRICS)
    return "\n".join(("| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *rows, ""))
