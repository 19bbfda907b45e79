"""What a history says about a period, condensed for one page: who used what, when, and what was changed then.

Groups are put together by guest; a group without one, such as the default group, is shown by its path. Values are means
of equal spans of time. Of a long period, only as many moments are read as a page can show.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from cachetune.apply.state.change_log import Change
from cachetune.cbm import Cbm
from cachetune.errors import InputError
from cachetune.host.model import DEFAULT_GROUP
from cachetune.text import listed, printable
from cachetune.watch.history import History
from cachetune.watch.ranking import Ranking
from cachetune.watch.usage import Cache, Moment, Usage

SPANS = 120
_MOST_USAGES = 1_500_000
_GAP_INTERVALS, _GAP_SECONDS = 5, 5.0
_FULL, _HALF = 0.95, 0.5

Values = tuple[float | None, ...]
_Key = tuple[str, int]


class Period(msgspec.Struct, frozen=True):
    """From ``since`` to ``until``, in seconds since 1970, divided into ``spans`` of equal length.

    ``moments`` were recorded in it, ``used`` of them were read, one each ``interval`` seconds. ``gaps`` are pairs of
    moments between which nothing was recorded.
    """

    since: float
    until: float
    spans: int
    moments: int
    used: int
    interval: float
    gaps: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """The length of the period."""
        return self.until - self.since

    def span_of(self, time: float) -> int:
        """The number of the span that has this moment."""
        return min(int((time - self.since) / self.seconds * self.spans), self.spans - 1) if self.seconds else 0


class Course(msgspec.Struct, frozen=True):
    """A value over time: its mean in each span (None: unknown), then of the whole period, the highest and the last."""

    spans: Values
    mean: float | None
    highest: float | None
    last: float | None


class Tenant(msgspec.Struct, frozen=True):
    """A guest, or a group without one, in one cache. ``ways`` are those at the end, None where none are allocated.

    ``is_present`` is whether it is there at the end. ``allotted`` is the size of its ways in bytes; bandwidths are in
    bytes per second.
    """

    name: str
    guest: str | None
    cache_id: int
    is_present: bool
    ways: Cbm | None
    occupancy: Course
    allotted: Course
    total: Course
    local: Course


class CacheCourse(msgspec.Struct, frozen=True):
    """A cache at the end of the period, its owners' ways then, and the number of ways over time that no group had."""

    cache: Cache
    owners: tuple[tuple[str, Cbm], ...]
    free: Course


class HistoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows. ``tenants`` are sorted by bandwidth, ``findings`` sentences; ``ranking`` is that of noisy."""

    period: Period
    caches: tuple[CacheCourse, ...]
    tenants: tuple[Tenant, ...]
    changes: tuple[Change, ...]
    findings: tuple[str, ...]
    ranking: Ranking | None = None


def report_of(
    history: History,
    since: float,
    until: float,
    guest: str | None = None,
    changes: Iterable[Change] = (),
    findings: Iterable[str] = (),
) -> HistoryReport:
    """The report of a period, of all groups or of one guest.

    ``findings`` are more sentences, which come first. Raises InputError without moments, or without this guest, and
    HistoryError.
    """
    times = history.times(since, until)
    if not times:
        raise InputError("the history has no moment in this period", hint=_when(history))
    period = _period(history, times)
    collected = _Collected(period)
    for moment in history.moments(times[0], times[-1], every=period.interval):
        collected.add(moment)
    for moment in history.moments(max(collected.until + 1e-6, times[-1]), times[-1]):  # the newest was left out
        collected.add(moment)
    tenants = [tenant for tenant in collected.tenants() if guest in (None, tenant.guest, tenant.name)]
    if guest is not None and not tenants:
        known = sorted({tenant.guest for tenant in collected.tenants() if tenant.guest})
        hint = f"it has {listed([printable(name) for name in known], most=5)}" if known else "it has no guests"
        raise InputError(f"the history has no guest {guest!r} in this period", hint=hint)
    period = msgspec.structs.replace(period, used=collected.used)
    return HistoryReport(
        period=period,
        caches=tuple(collected.caches()),
        tenants=tuple(tenants),
        changes=tuple(changes),
        findings=(*findings, *_findings(tenants)),
    )


def _when(history: History) -> str:
    span = history.span()
    return (
        f"it ends at @{span[1]:.0f}; pass --since @{span[0]:.0f}"
        if span
        else "it is empty; is 'cachetune record' running?"
    )


def _period(history: History, times: Sequence[float]) -> Period:
    """How to divide the time, and how many moments to read: no more usages than take some seconds."""
    steps = sorted(after - before for before, after in itertools.pairwise(times))
    usual = steps[len(steps) // 2] if steps else 1.0
    seconds = times[-1] - times[0]
    newest = next(history.moments(times[-1], times[-1]))
    most = max(_MOST_USAGES // max(len(newest.usages), 1), 2 * SPANS)
    longest = max(_GAP_INTERVALS * usual, _GAP_SECONDS)
    return Period(
        since=times[0],
        until=times[-1],
        spans=max(min(SPANS, math.floor(seconds / (2 * usual)) if usual else 1), 1),
        moments=len(times),
        used=0,
        interval=0.0 if len(times) <= most else seconds / most,
        gaps=tuple(pair for pair in itertools.pairwise(times) if pair[1] - pair[0] > longest),
    )


class _Sum:
    """The sums of one value by span."""

    def __init__(self, spans: int) -> None:
        self._sums, self._counts = [0.0] * spans, [0] * spans
        self._highest: float | None = None
        self._last: float | None = None

    def add(self, span: int, value: float | None) -> None:
        self._last = value
        if value is None:
            return
        self._sums[span] += value
        self._counts[span] += 1
        self._highest = value if self._highest is None else max(self._highest, value)

    def course(self, *, is_there: bool) -> Course:
        """The result; ``is_there`` is whether the last moment has the value."""
        spans = tuple(s / n if n else None for s, n in zip(self._sums, self._counts, strict=True))
        count = sum(self._counts)
        return Course(
            spans, sum(self._sums) / count if count else None, self._highest, self._last if is_there else None
        )


class _Part(msgspec.Struct):
    """A tenant in one cache at one moment: the sum of its control groups."""

    guest: str | None
    mask: Cbm | None
    occupancy: float | None = None
    total: float | None = None
    local: float | None = None

    def add(self, usage: Usage) -> None:
        if usage.mask is not None:
            self.mask = (self.mask or Cbm(0)) | usage.mask
        self.occupancy = _plus(self.occupancy, usage.occupancy_bytes)
        self.total = _plus(self.total, usage.total_bytes_per_second)
        self.local = _plus(self.local, usage.local_bytes_per_second)


class _Collected:
    """The sums of all tenants, filled moment by moment."""

    def __init__(self, period: Period) -> None:
        self.used = 0
        self._period = period
        self._sums: dict[_Key, tuple[_Sum, _Sum, _Sum, _Sum]] = {}
        self._guests: dict[_Key, str | None] = {}
        self._free: dict[int, _Sum] = {}
        self._last: tuple[Moment | None, dict[_Key, _Part]] = (None, {})

    def add(self, moment: Moment) -> None:
        self.used += 1
        span = self._period.span_of(moment.time)
        parts: dict[_Key, _Part] = {}
        for usage in moment.usages:
            if usage.kind == "control":  # its values include those of its monitor groups
                key = (_name(usage), usage.cache_id)
                part = parts.get(key) or parts.setdefault(key, _Part(usage.guest, None))
                part.add(usage)
        caches = {cache.id: cache for cache in moment.caches}
        for key, part in parts.items():
            sums = self._sums.get(key) or self._sums.setdefault(key, tuple(_Sum(self._period.spans) for _ in range(4)))  # type: ignore[arg-type]
            values = (part.occupancy, _bytes_of(part.mask, caches.get(key[1])), part.total, part.local)
            for each, value in zip(sums, values, strict=True):
                each.add(span, value)
            self._guests[key] = part.guest
        for cache in moment.caches:
            if cache.ways:
                free = self._free.get(cache.id) or self._free.setdefault(cache.id, _Sum(self._period.spans))
                free.add(span, cache.ways - _union(parts, cache.id).bit_count())
        self._last = moment, parts

    @property
    def until(self) -> float:
        """The time of the last moment."""
        return self._last[0].time if self._last[0] else 0.0

    def tenants(self) -> list[Tenant]:
        """All tenants, those with the most bandwidth first, the default group last."""
        found = [
            Tenant(
                name=name,
                guest=self._guests[name, cache_id],
                cache_id=cache_id,
                is_present=(name, cache_id) in self._last[1],
                ways=part.mask if (part := self._last[1].get((name, cache_id))) else None,
                occupancy=sums[0].course(is_there=part is not None),
                allotted=sums[1].course(is_there=part is not None),
                total=sums[2].course(is_there=part is not None),
                local=sums[3].course(is_there=part is not None),
            )
            for (name, cache_id), sums in self._sums.items()
        ]
        traffic: dict[str, float] = {}
        for tenant in found:
            traffic[tenant.name] = traffic.get(tenant.name, 0.0) + (tenant.total.mean or 0.0)
        return sorted(found, key=lambda t: (t.name == DEFAULT_GROUP, -traffic[t.name], t.name, t.cache_id))

    def caches(self) -> Iterator[CacheCourse]:
        moment, parts = self._last
        for cache in moment.caches if moment else ():
            owners = tuple((name, part.mask) for (name, i), part in parts.items() if i == cache.id and part.mask)
            free = self._free.get(cache.id) or _Sum(self._period.spans)
            yield CacheCourse(cache, owners, free.course(is_there=cache.id in self._free))


def _findings(tenants: Iterable[Tenant]) -> Iterator[str]:
    for tenant in tenants:
        who = f"{display_name(tenant.name)} in L3 cache {tenant.cache_id}"
        occupancy, allotted = tenant.occupancy, tenant.allotted.last
        if tenant.occupancy.highest is None:
            yield f"{who}: no occupancy was recorded; 'cachetune monitor' shows why"
            continue
        if not tenant.guest or not allotted or tenant.allotted.mean != allotted or occupancy.mean is None:
            continue  # what it had has changed, so a comparison with the mean would mislead
        if occupancy.mean >= _FULL * allotted:
            yield f"{who}: full, {occupancy.mean / allotted:.0%} of its ways on average; it may need more"
        elif occupancy.highest is not None and occupancy.highest < _HALF * allotted:
            yield f"{who}: never used more than {occupancy.highest / allotted:.0%} of its ways"


def display_name(name: str) -> str:
    """A tenant's name for people."""
    return "the default group" if name == DEFAULT_GROUP else printable(name)


def _name(usage: Usage) -> str:
    return usage.path if usage.guest is None else usage.guest


def _plus(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other


def _bytes_of(mask: Cbm | None, cache: Cache | None) -> float | None:
    """The size of these ways; None where that is not known."""
    if mask is None or cache is None or not cache.ways or cache.size_bytes is None:
        return None
    return mask.bit_count() * (cache.size_bytes // cache.ways)


def _union(parts: dict[_Key, _Part], cache_id: int) -> Cbm:
    taken = Cbm(0)
    for (_, each), part in parts.items():
        if each == cache_id and part.mask:
            taken |= part.mask
    return taken
