"""What each group used of each L3 cache at one moment: what history keeps, and what ranking and advice compare."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import Host, parent_of
from cachetune.watch.model import Counter, Readings

_LEVEL = 3


class Cache(msgspec.Struct, frozen=True):
    """An L3 cache; ``size_bytes`` None is not known, ``ways`` is 0 where it cannot be allocated."""

    id: int
    size_bytes: int | None
    ways: int


class Usage(msgspec.Struct, frozen=True):
    """What one group used of one cache. A control group's values include those of its monitor groups.

    ``mask`` are the ways in which the group's threads allocate, a monitor group's are those of its control group; None
    where the cache cannot be allocated. A value that is missing is None. The bandwidths are those of memory through
    this cache, ``local`` of the cache's own NUMA node; they are None at the first look.
    """

    path: str
    guest: str | None
    kind: Literal["control", "monitor"]
    cache_id: int
    mask: Cbm | None
    occupancy_bytes: int | None
    total_bytes_per_second: float | None
    local_bytes_per_second: float | None


class Moment(msgspec.Struct, frozen=True):
    """The use of all caches at ``time``, in seconds since 1970."""

    time: float
    caches: tuple[Cache, ...]
    usages: tuple[Usage, ...]


def moment_of(readings: Readings, host: Host) -> Moment:
    """The moment of these readings of a host."""
    return Moment(readings.time, tuple(_caches(readings, host)), tuple(_usages(readings, host)))


def _caches(readings: Readings, host: Host) -> Iterator[Cache]:
    control = next((cache for cache in host.caches if cache.level == _LEVEL), None)
    for cache_id in sorted({c.id for reading in readings.monitors for c in reading.counters if c.resource == "L3"}):
        yield Cache(cache_id, control.size_bytes.get(cache_id) if control else None, control.ways if control else 0)


def _usages(readings: Readings, host: Host) -> Iterator[Usage]:
    for reading in readings.monitors:
        by_cache: dict[int, dict[str, Counter]] = {}
        for counter in reading.counters:
            if counter.resource == "L3" and counter.node is None:
                by_cache.setdefault(counter.id, {})[counter.event] = counter
        masks = _masks_of(host, reading.path)
        for cache_id, counters in by_cache.items():
            yield Usage(
                path=reading.path,
                guest=reading.guest,
                kind=reading.kind,
                cache_id=cache_id,
                mask=masks.get(cache_id),
                occupancy_bytes=_occupancy(counters.get("llc_occupancy")),
                total_bytes_per_second=_rate(counters.get("mbm_total_bytes")),
                local_bytes_per_second=_rate(counters.get("mbm_local_bytes")),
            )


def _masks_of(host: Host, path: str) -> Mapping[int, Cbm]:
    """The L3 ways of a group by cache id; with CDP, those for code or data."""
    group = host.group(parent_of(path))
    found: dict[int, Cbm] = {}
    rows = [group.masks.row(cache.name) for cache in host.caches if cache.level == _LEVEL] if group else []
    for cache_id, mask in (entry for row in rows for entry in row.items()):
        found[cache_id] = found.get(cache_id, Cbm(0)) | mask
    return found


def _occupancy(counter: Counter | None) -> int | None:
    return counter.value if counter and isinstance(counter.value, int) else None


def _rate(counter: Counter | None) -> float | None:
    return counter.per_second if counter else None
