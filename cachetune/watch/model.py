"""What the monitors say: one reading for each group, one counter for each cache (or package) and event."""

from typing import Literal

import msgspec

from cachetune.host.model import Owner

State = Literal["ok", "Unavailable", "Error", "Unassigned", "Vanished"]


class Counter(msgspec.Struct, frozen=True):
    """One value. ``resource`` and ``id`` name a cache (L3 0) or a package (PERF_PKG 0).

    ``node`` is a NUMA node inside the cache where Sub-NUMA clusters are on, None for the whole of it.
    ``value`` is in bytes for llc_occupancy (now) and mbm_* (since the group was made), Joule for core_energy,
    Farad for activity; it is None unless ``state`` is "ok". The other states are the kernel's words,
    "Vanished" means that the file has gone.
    """

    resource: str
    id: int
    event: str
    value: int | float | None
    state: State
    node: int | None = None


class Reading(msgspec.Struct, frozen=True):
    """The counters of one group, by resource, cache id and event.

    The value of a control group includes those of its monitor groups. ``vcpus`` is the list in the group's
    name, None where it has none. ``counters`` is empty when the group itself has vanished.
    """

    path: str
    name: str
    kind: Literal["control", "monitor"]
    owner: Owner
    vcpus: str | None
    counters: tuple[Counter, ...]


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``monitor --json`` prints.

    ``time`` is when the reading began, in seconds since 1970.
    """

    schema_version: Literal[1] = 1
    source: str
    time: float
    monitors: tuple[Reading, ...]
