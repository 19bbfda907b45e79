"""Who takes cache from others: a ranking of guests and groups, with the evidence for it, from a few moments.

Taking needs ways that both may fill, and that are full: then what one puts in replaces lines of the other. Counters
show neither lines nor hits, so the ranking estimates, for each neighbor of a *taker*,

- what the neighbor reads again because lines of it were replaced: what it holds, times the slowest turnover (memory
  traffic per byte held) of all that fill only its ways; if lines there were replaced faster, these would read more;
- which part of that would end without the taker: as much as it holds, compared with what all its neighbors hold, and
  never more than the taker reads itself; nothing if it holds no more than an equal share of its ways.

A tenant is *noisy* if that is a considerable part of what a neighbor reads. A neighbor that reads as much whatever it
holds streams, and loses nothing; but if what it holds does not change, no counter distinguishes it from the others.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from cachetune.text import count
from cachetune.watch.tenants import Part, Tenant, tenants_of
from cachetune.watch.usage import Cache, Moment

FEWEST_SAMPLES = 3
"""Moments with rates below which nothing is said."""
_FEWEST_FOR_CORRELATION = 8
_FULL = 0.95
_BEYOND = 0.1
_PRESENT = 0.005
_PRESENT_RATE = 1 << 20
_LEAST_BYTES = 1 << 16
_STARVED = 0.25
_CHANGES, _STEADY, _FALLS = 0.15, 0.08, -0.3
_HURT = 0.3
_LEAST_BYTES_PER_SECOND = 6 << 20


class Neighbor(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant that shares ways with a ranked one, and what it seems to lose to it.

    ``shared_ways`` is how many both may fill. ``lost_bytes_per_second`` is the estimate of what it reads from memory
    again because of the other, ``lost_share`` the part of all that it reads. ``correlation`` of both occupancies is
    between -1 (one falls when the other rises) and 1, over ``samples``; None with too few, or where one never changes.
    """

    name: str
    kind: Literal["guest", "group", "default"]
    shared_ways: int
    occupancy_bytes: int | None
    equal_share_bytes: int | None
    lost_bytes_per_second: float | None
    lost_share: float | None
    correlation: float | None
    samples: int
    hurt: bool


class CacheEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant did in one cache, on average.

    ``bandwidth_share`` is its part of the memory traffic through this cache. ``equal_share_bytes`` is what its ways
    give if all that use a way have equal parts of it; ``beyond_bytes`` is what it held beyond that.
    """

    cache_id: int
    ways: int
    bytes_per_second: float | None
    bandwidth_share: float | None
    occupancy_bytes: int | None
    equal_share_bytes: int | None
    beyond_bytes: int | None
    neighbors: tuple[Neighbor, ...]

    @property
    def hurts(self) -> tuple[Neighbor, ...]:
        """The neighbors that it takes from."""
        return tuple(neighbor for neighbor in self.neighbors if neighbor.hurt)


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One guest or group with its evidence in each cache.

    ``taken_bytes_per_second`` is what all neighbors seem to lose to it. ``command`` would contain it; None if it is not
    noisy, or where ``obstacle`` says why not.
    """

    name: str
    kind: Literal["guest", "group", "default"]
    groups: tuple[str, ...]
    noisy: bool
    taken_bytes_per_second: float
    caches: tuple[CacheEvidence, ...]
    command: str | None = None
    obstacle: str = ""

    @property
    def title(self) -> str:
        """As messages name it."""
        return str(Tenant(self.name, self.kind))


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """All guests and groups, those that take the most from others first. ``without`` says what is not known, and why.

    It is the document that ``noisy --json`` prints. ``samples`` are the moments with rates, between ``began`` and
    ``ended`` (seconds since 1970).
    """

    schema_version: Literal[1] = 1
    source: str = ""
    began: float
    ended: float
    samples: int
    ranked: tuple[Ranked, ...]
    without: tuple[str, ...]

    @property
    def noisy(self) -> tuple[Ranked, ...]:
        """Those that take from others."""
        return tuple(one for one in self.ranked if one.noisy)


def rank(moments: Sequence[Moment]) -> Ranking:
    """Rank the guests and groups of these moments, in their order."""
    rated = [moment for moment in moments if any(usage.total_bytes_per_second is not None for usage in moment.usages)]
    used = rated or list(moments)
    views = [_View(cache, used) for cache in used[-1].caches] if used else []
    tenants = sorted({tenant for view in views for tenant in view.tenants})
    enough = len(used) >= FEWEST_SAMPLES
    ranked = [_ranked(tenant, views, enough=enough) for tenant in tenants]
    return Ranking(
        began=moments[0].time if moments else 0.0,
        ended=moments[-1].time if moments else 0.0,
        samples=len(used),
        ranked=tuple(sorted(ranked, key=_order)),
        without=tuple(_without(views, len(used))),
    )


def _order(one: Ranked) -> tuple[bool, int, float, str]:
    shares = [cache.bandwidth_share or 0.0 for cache in one.caches]
    beyond = sum(cache.beyond_bytes or 0 for cache in one.caches if cache.hurts)
    return not one.noisy, -beyond, -max(shares, default=0.0), one.name


def _ranked(tenant: Tenant, views: Sequence["_View"], *, enough: bool) -> Ranked:
    seen = [view for view in views if tenant in view.tenants]
    caches = tuple(view.evidence(tenant, enough=enough) for view in seen)
    taken = math.fsum(neighbor.lost_bytes_per_second or 0.0 for cache in caches for neighbor in cache.neighbors)
    return Ranked(
        name=tenant.name,
        kind=tenant.kind,
        groups=tuple(sorted({path for view in seen for path in view.paths(tenant)})),
        noisy=any(cache.hurts for cache in caches),
        taken_bytes_per_second=taken,
        caches=caches,
    )


def _without(views: Sequence["_View"], samples: int) -> Iterator[str]:
    """What keeps evidence from being found."""
    if samples < FEWEST_SAMPLES:
        yield f"{count(samples, 'sample')} with rates, and at least {FEWEST_SAMPLES} are needed"
        return
    for view in views:
        why = view.without_evidence()
        if why:
            yield f"L3 cache {view.cache.id}: {why}"


# -- one cache --------------------------------------------------------------------------------------------------


class _View:
    """One cache at all moments."""

    def __init__(self, cache: Cache, moments: Sequence[Moment]) -> None:
        self.cache = cache
        self._ways = max(cache.ways, 1)
        self._way_bytes = None if cache.size_bytes is None else cache.size_bytes / self._ways
        self.moments = [tenants_of(moment, cache.id, self._ways) for moment in moments]
        self.tenants = {tenant for parts in self.moments for tenant in parts}
        self._states = [_State(parts, self._way_bytes) for parts in self.moments]

    def without_evidence(self) -> str:
        """Why nothing can be found here; "" if something can."""
        parts = [part for parts in self.moments for part in parts.values()]
        if all(part.occupancy_bytes is None for part in parts):
            return "no occupancy is counted"
        if all(part.bytes_per_second is None for part in parts):
            return "no memory bandwidth is counted"
        if self._way_bytes is None:
            return "its size is not known"
        pairs = itertools.combinations(sorted(self.tenants), 2)
        if not any(self._shared(one, other) for one, other in pairs):
            return "no two guests or groups share ways"
        return "" if any(state.has_contention() for state in self._states) else "the ways that are shared have room"

    def paths(self, tenant: Tenant) -> tuple[str, ...]:
        return tuple(path for parts in self.moments if tenant in parts for path in parts[tenant].paths)

    def evidence(self, tenant: Tenant, *, enough: bool) -> CacheEvidence:
        rate = _mean(parts[tenant].bytes_per_second for parts in self.moments if tenant in parts)
        all_rates = [part.bytes_per_second for parts in self.moments for part in parts.values()]
        total = sum(each for each in all_rates if each is not None) / len(self.moments)
        held = _mean(parts[tenant].occupancy_bytes for parts in self.moments if tenant in parts)
        share = _mean(state.equal_share(tenant) for state in self._states)
        others = sorted(other for other in self.tenants - {tenant} if self._shared(tenant, other))
        return CacheEvidence(
            cache_id=self.cache.id,
            ways=max((len(parts[tenant].ways) for parts in self.moments[-1:] if tenant in parts), default=0),
            bytes_per_second=rate,
            bandwidth_share=None if rate is None or not total else min(rate / total, 1.0),
            occupancy_bytes=_whole(held),
            equal_share_bytes=_whole(share),
            beyond_bytes=None if held is None or share is None else max(0, round(held - share)),
            neighbors=tuple(self._neighbor(tenant, other, enough=enough) for other in others),
        )

    def _shared(self, one: Tenant, other: Tenant) -> int:
        """How many ways both may fill, at the last moment at which both were there."""
        both = (parts for parts in reversed(self.moments) if one in parts and other in parts)
        return next((len(parts[one].ways & parts[other].ways) for parts in both), 0)

    def _neighbor(self, taker: Tenant, other: Tenant, *, enough: bool) -> Neighbor:
        lost = _mean(state.lost(taker, other) for state in self._states)
        rate = _mean(parts[other].bytes_per_second for parts in self.moments if other in parts)
        share = None if lost is None or not rate else min(lost / rate, 1.0)
        correlation, samples = self._correlation(taker, other)
        is_hurt = share is not None and share >= _HURT and (lost or 0.0) >= _LEAST_BYTES_PER_SECOND
        is_hurt = is_hurt and not self._streams(other)
        return Neighbor(
            name=other.name,
            kind=other.kind,
            shared_ways=self._shared(taker, other),
            occupancy_bytes=_whole(_mean(parts[other].occupancy_bytes for parts in self.moments if other in parts)),
            equal_share_bytes=_whole(_mean(state.equal_share(other) for state in self._states)),
            lost_bytes_per_second=lost,
            lost_share=share,
            correlation=correlation,
            samples=samples,
            hurt=enough and is_hurt,
        )

    def _streams(self, tenant: Tenant) -> bool:
        """Whether a tenant reads as much however much it holds, as far as that changed.

        One that no longer holds anything to speak of reads as much, too, and does not count.
        """
        parts = [parts[tenant] for parts in self.moments if tenant in parts]
        pairs = _known((part.occupancy_bytes, part.bytes_per_second) for part in parts)
        if len(pairs) < _FEWEST_FOR_CORRELATION:
            return False
        held, read = map(list, zip(*pairs, strict=True))
        share = _mean(state.equal_share(tenant) for state in self._states) or 0.0
        if statistics.fmean(held) < _STARVED * share or _spread(held) < _CHANGES or _spread(read) > _STEADY:
            return False
        return (_correlation(pairs) or 0.0) > _FALLS

    def _correlation(self, one: Tenant, other: Tenant) -> tuple[float | None, int]:
        """Of the occupancies of both, and over how many moments."""
        both = [parts for parts in self.moments if one in parts and other in parts]
        pairs = _known((parts[one].occupancy_bytes, parts[other].occupancy_bytes) for parts in both)
        return _correlation(pairs), len(pairs)


class _State:
    """One cache at one moment. Without a size, nothing can be compared with it."""

    def __init__(self, parts: Mapping[Tenant, Part], way_bytes: float | None) -> None:
        self._parts, self._way_bytes = parts, way_bytes or 0.0
        known = way_bytes is not None and all(part.occupancy_bytes is not None for part in parts.values())
        size = self._way_bytes * len(frozenset[int]().union(*(part.ways for part in parts.values())))
        self._present = {
            tenant
            for tenant, part in parts.items()
            if known
            and ((part.occupancy_bytes or 0.0) > _PRESENT * size or (part.bytes_per_second or 0.0) > _PRESENT_RATE)
        }

    def has_contention(self) -> bool:
        """Whether ways are full that two or more fill."""
        pairs = itertools.combinations(self._present, 2)
        return any(
            self._parts[a].ways & self._parts[b].ways and self._is_full(a) and self._is_full(b) for a, b in pairs
        )

    def equal_share(self, tenant: Tenant) -> float | None:
        """The bytes of a tenant's ways if all that are present have equal parts of each way."""
        part = self._parts.get(tenant)
        if part is None or not self._way_bytes:
            return None
        return sum(self._way_bytes / (1 + self._others_in(way, tenant)) for way in part.ways)

    def _shared_share(self, tenant: Tenant) -> float:
        """The part of the equal share that is in ways which others fill too."""
        others = [self._others_in(way, tenant) for way in self._parts[tenant].ways]
        return sum(self._way_bytes / (1 + number) for number in others if number)

    def _others_in(self, way: int, tenant: Tenant) -> int:
        return sum(way in self._parts[other].ways for other in self._present - {tenant})

    def lost(self, taker: Tenant, other: Tenant) -> float | None:
        """How much ``other`` reads again per second because of ``taker``; None if it is not known."""
        if taker not in self._parts or other not in self._parts or not self._way_bytes:
            return None
        part, of = self._parts[other], self._parts[taker]
        if part.bytes_per_second is None or of.bytes_per_second is None:
            return None
        beyond = (of.occupancy_bytes or 0.0) - (self.equal_share(taker) or 0.0)
        if not {taker, other} <= self._present or not part.ways & of.ways:
            return 0.0
        if beyond < _BEYOND * self._shared_share(taker):
            return 0.0
        if not (self._is_full(taker) and self._is_full(other)):
            return 0.0
        around = sum(self._held(tenant) for tenant in self._present - {taker} if self._parts[tenant].ways & of.ways)
        return min(self._replaced(other) * min(1.0, self._held(taker) / around), of.bytes_per_second)

    def _replaced(self, tenant: Tenant) -> float:
        """How much a tenant reads again per second because its lines were replaced by any other; at most all."""
        inside = (other for other in self._present if self._parts[other].ways <= self._parts[tenant].ways)
        return min(map(self._turnover, inside)) * self._held(tenant)

    def _turnover(self, tenant: Tenant) -> float:
        rate = self._parts[tenant].bytes_per_second
        return math.inf if rate is None else rate / self._held(tenant)

    def _held(self, tenant: Tenant) -> float:
        return max(self._parts[tenant].occupancy_bytes or 0.0, _LEAST_BYTES)

    def _is_full(self, tenant: Tenant) -> bool:
        """Whether there is no room in a tenant's ways, if all fill their own evenly."""
        ways = self._parts[tenant].ways
        spread = ((self._held(other), self._parts[other].ways) for other in self._present)
        held = sum(held * len(theirs & ways) / len(theirs) for held, theirs in spread if theirs)
        return held >= _FULL * self._way_bytes * len(ways)


def _known(pairs: Iterable[tuple[float | None, float | None]]) -> list[tuple[float, float]]:
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's correlation; None with too few pairs, or where one of both never changes."""
    if len(pairs) < _FEWEST_FOR_CORRELATION or any(len(set(column)) == 1 for column in zip(*pairs, strict=True)):
        return None
    return statistics.correlation(*zip(*pairs, strict=True))


def _spread(values: Sequence[float]) -> float:
    """The standard deviation as a part of the mean."""
    mean = statistics.fmean(values)
    return statistics.pstdev(values) / mean if mean else 0.0


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
