"""What a history says about the size of groups: how full each kept its ways, and whether it ever needed them.

Pure: moments in, one ``GroupAdvice`` for each group and cache out. A history shows what a group used of what it had. So
it can show that fewer ways would do, and never how much more would help: that takes a measurement.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from statistics import median
from typing import Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.text import count
from cachetune.units import about
from cachetune.watch.curve import Confidence
from cachetune.watch.usage import Cache, Moment, Usage

Verdict = Literal["fewer", "enough", "measure", "unused", "shared", "unknown"]

FULL = 0.95
"""The part of its ways from which a group counts as full: the counter is not exact, and never reads much more."""
_MARGIN = 1.05
_OFTEN = 0.1
_MUCH_BYTES_PER_SECOND = 100 << 20
_IDLE_BYTES_PER_SECOND = 1 << 20
_FEW, _MANY = 30, 300
_SHORT_SECONDS, _LONG_SECONDS = 300.0, 3600.0
_STEADY = 0.1
_LONGEST_GAP = 10.0


class Occupancy(msgspec.Struct, frozen=True):
    """Quantiles of the bytes that a group occupied: half of the readings are below ``median_bytes``."""

    median_bytes: int
    p95_bytes: int
    most_bytes: int


class GroupAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What the ``samples`` over ``seconds`` say about one group in one L3 cache.

    They are those since the group got its ``mask``. ``full`` is the part of them in which it occupied all of its ways;
    the bandwidths are medians, one of them over those. The ``verdict``: "fewer" ways would do, ``suggested_ways``;
    "enough" is what it has; "measure", for more may help; "unused"; "shared" with ``shared_with``, so nothing can be
    said; "unknown" without readings. ``reasons`` say how far that can be trusted.
    """

    guest: str
    path: str
    cache_id: int
    mask: Cbm | None
    ways: int
    way_bytes: int | None
    samples: int
    seconds: float
    occupancy: Occupancy | None = None
    full: float = 0.0
    bytes_per_second: float | None = None
    full_bytes_per_second: float | None = None
    shared_with: str = ""
    verdict: Verdict
    suggested_ways: int | None = None
    confidence: Confidence
    reasons: tuple[str, ...] = ()


def advise(moments: Iterable[Moment]) -> tuple[GroupAdvice, ...]:
    """The advice for each control group of a guest and each cache, in the order in which they were first seen.

    A group that is not in the last moment has ended, and is left out.
    """
    series: dict[tuple[str, int], _Series] = {}
    last: Moment | None = None
    for moment in moments:
        last = moment
        for usage in moment.usages:
            if usage.kind == "control" and usage.guest:
                series.setdefault((usage.path, usage.cache_id), _Series()).add(moment.time, usage)
    if last is None:
        return ()
    caches = {cache.id: cache for cache in last.caches}
    current = {(usage.path, usage.cache_id) for usage in last.usages}
    return tuple(
        _advice(found, caches.get(cache_id, Cache(cache_id, None, 0)), _sharer(path, cache_id, last))
        for (path, cache_id), found in series.items()
        if (path, cache_id) in current
    )


class _Series:
    """The readings of one group in one cache since it got its present mask."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []
        self.times: list[float] = []

    def add(self, when: float, usage: Usage) -> None:
        if self.usages and self.usages[-1].mask != usage.mask:
            self.usages, self.times = [], []
        self.usages.append(usage)
        self.times.append(when)

    @property
    def seconds(self) -> float:
        return self.times[-1] - self.times[0]


def _sharer(path: str, cache_id: int, moment: Moment) -> str:
    """Another control group that has some of the group's ways, "" for none."""
    masks = {u.path: u.mask or Cbm(0) for u in moment.usages if u.kind == "control" and u.cache_id == cache_id}
    own = masks.get(path, Cbm(0))
    return next((other for other, mask in masks.items() if other != path and mask & own), "")


def _advice(found: _Series, cache: Cache, shared_with: str) -> GroupAdvice:
    usage = found.usages[-1]
    way_bytes = cache.size_bytes // cache.ways if cache.size_bytes and cache.ways else None
    ways = usage.mask.bit_count() if usage.mask else cache.ways
    held = [u.occupancy_bytes for u in found.usages if u.occupancy_bytes is not None]
    rates = [u.total_bytes_per_second for u in found.usages if u.total_bytes_per_second is not None]
    size = ways * way_bytes if way_bytes else 0
    when_full = [u for u in found.usages if size and (u.occupancy_bytes or 0) >= FULL * size]
    full_rates = [u.total_bytes_per_second for u in when_full if u.total_bytes_per_second is not None]
    confidence, reasons = _confidence(found, held, size)
    known = GroupAdvice(
        guest=usage.guest or "",
        path=usage.path,
        cache_id=usage.cache_id,
        mask=usage.mask,
        ways=ways,
        way_bytes=way_bytes,
        samples=len(held),
        seconds=round(found.seconds, 3),
        occupancy=_quantiles(held) if held else None,
        full=len(when_full) / len(held) if held else 0.0,
        bytes_per_second=median(rates) if rates else None,
        full_bytes_per_second=median(full_rates) if full_rates else None,
        shared_with=shared_with,
        verdict="unknown",
        confidence=confidence,
        reasons=tuple(reasons),
    )
    verdict, suggested = _verdict(known)
    return msgspec.structs.replace(known, verdict=verdict, suggested_ways=suggested)


def _verdict(known: GroupAdvice) -> tuple[Verdict, int | None]:
    """The verdict, and the number of ways that would do."""
    if known.occupancy is None or not known.way_bytes or not known.ways:
        return "unknown", None
    if known.shared_with:
        return "shared", None
    if known.occupancy.most_bytes < known.way_bytes * FULL and (known.bytes_per_second or 0) < _IDLE_BYTES_PER_SECOND:
        return ("unused", 1) if known.ways > 1 else ("enough", known.ways)
    if not known.full:
        needed = max(1, ceil(known.occupancy.most_bytes * _MARGIN / known.way_bytes))
        return ("fewer", needed) if needed < known.ways else ("enough", known.ways)
    if known.full >= _OFTEN and (known.full_bytes_per_second or 0) >= _MUCH_BYTES_PER_SECOND:
        return "measure", None
    return "enough", known.ways


def _quantiles(values: Sequence[int]) -> Occupancy:
    ordered = sorted(values)
    return Occupancy(round(median(ordered)), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], ordered[-1])


def _confidence(found: _Series, held: Sequence[int], size: int) -> tuple[Confidence, list[str]]:
    """How far the readings can be trusted, and the reasons, of which the first is how many there are."""
    reasons = [f"{count(len(held), 'reading')} over {span(found.seconds)}"]
    doubts = [*_doubts(found, held, size)]
    if len(held) < _FEW or found.seconds < _SHORT_SECONDS:
        return "low", [*reasons, *doubts]
    if doubts or len(held) < _MANY or found.seconds < _LONG_SECONDS:
        return "medium", [*reasons, *doubts]
    return "high", reasons


def _doubts(found: _Series, held: Sequence[int], size: int) -> Iterator[str]:
    half = len(held) // 2
    if half and size:
        first, second = (_quantiles(part).p95_bytes for part in (held[:half], held[half:]))
        if abs(first - second) > _STEADY * size:
            yield f"it has changed: 95% of the readings were below {about(first)}, and later below {about(second)}"
    gaps = [b - a for a, b in zip(found.times, found.times[1:], strict=False)]
    if gaps and max(gaps) > _LONGEST_GAP * max(median(gaps), 1.0):
        yield f"nothing was recorded for {span(max(gaps))}"


def span(seconds: float) -> str:
    """A span of time in at most two units: "2 h 10 min", "45 s"."""
    whole = round(seconds)
    for size, unit, smaller, lesser in ((86400, "days", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            many = f"{whole // size} {unit if unit != 'days' or whole >= 2 * size else 'day'}"
            return f"{many} {rest} {lesser}" if rest else many
    return f"{whole} s"
