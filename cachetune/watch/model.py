"""Readings: one for each group, with one counter for each cache (or package) and event."""

from typing import Literal

import msgspec

from cachetune.host.model import Owner

State = Literal["ok", "Unavailable", "Error", "Unassigned", "Vanished"]


class Counter(msgspec.Struct, frozen=True):
    """One value. ``resource`` and ``id`` name a cache (L3 0) or a package (PERF_PKG 0).

    ``node`` is a NUMA node within the cache with sub-NUMA clustering, None for the whole cache. ``value`` is in bytes
    for llc_occupancy (current) and mbm_* (since the group was created), in joules for core_energy, in farads for
    activity; it is None unless ``state`` is "ok". The other states are the kernel's words, except "Vanished": the file
    no longer exists.
    """

    resource: str
    id: int
    event: str
    value: int | float | None
    state: State
    node: int | None = None


class Reading(msgspec.Struct, frozen=True):
    """The counters of one group, by resource, cache id and event.

    A control group's values include those of its monitor groups. ``vcpus`` is the list in the group's name, or None.
    ``counters`` is empty if the group has been removed.
    """

    path: str
    name: str
    kind: Literal["control", "monitor"]
    owner: Owner
    vcpus: str | None
    counters: tuple[Counter, ...]


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``monitor --json`` prints.

    ``time`` is the start of the reading, in seconds since 1970.
    """

    schema_version: Literal[1] = 1
    source: str
    time: float
    monitors: tuple[Reading, ...]
