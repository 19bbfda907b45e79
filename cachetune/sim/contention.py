"""How workloads share one cache: a model, in which bytes move through ways. It says nothing about any real processor.

A flow reads data at a constant rate. What it does not find in the cache is read from memory and put into the ways that
it may fill, evenly: in a way that is full, in place of a random line. So a full way loses to everybody in proportion to
what is put into it, and settles with a share for each flow in proportion to what that flow puts in:

    misses  = rate * (fresh + (1 - fresh) * (1 - held / working set))
    put in  = rate * (1 - held / working set)
    lost    = held * (what all flows put into the way) / (size of the way), while the way is full

Data is used again at random within the working set, so misses fall as more of it is held. The part ``fresh`` is never
found: once the working set is held, it replaces the flow's own oldest lines. Streaming is all fresh. What is held in
ways that the flow may not fill, or no longer runs for, is found until others replace it, and fades.

Time passes in steps that start with a tick after each change and grow; within a step traffic is constant and
occupancy linear. So the numbers depend on when something changed, not on who looked when, and a look costs little.
The steps are computed at the next look, which makes changes cheap for all who never look.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

TICK_SECONDS = 0.01
"""A change takes effect at the end of the tick that it happens in."""
_GROWTH = 0.5
_FADE_SECONDS = 0.2
_NOTHING_BYTES = 0.5
_MOST_ITERATIONS = 20
_PRECISION = 1e-5
_MOST_CHANGES = 64  # that wait for a look


class Limit(NamedTuple):
    """A limit on the memory traffic of all flows with the same ``key``: bytes per second wanted to bytes allowed."""

    key: Hashable
    allow: Callable[[float], float]


class Flow(NamedTuple):
    """One workload in one group. ``owner`` holds the lines and gets the traffic; ``name`` is unique among its flows.

    ``ways`` are those that it may fill, ``bytes_per_second`` is what it accesses, ``fresh`` and ``local`` are parts
    (0 to 1) of the accesses and of the memory traffic.
    """

    owner: Hashable
    name: str
    ways: tuple[int, ...]
    bytes_per_second: float
    working_set_bytes: float
    fresh: float
    local: float
    limit: Limit | None = None

    @property
    def key(self) -> tuple[Hashable, str]:
        """What its lines are stored under."""
        return self.owner, self.name

    def missing(self, held: float) -> float:
        """The part of its working set that it does not find, when it holds this many bytes."""
        return max(0.0, 1 - held / self.working_set_bytes)

    def wanted(self, held: float) -> float:
        """The memory traffic in bytes per second without any limit."""
        return self.bytes_per_second * (self.fresh + (1 - self.fresh) * self.missing(held))


class Traffic(NamedTuple):
    """Memory traffic of an owner, in bytes or bytes per second; ``local`` is a part of ``total``."""

    total: float = 0.0
    local: float = 0.0


_Held = dict[tuple[Hashable, str], list[float]]


class _Step(NamedTuple):
    """From ``start`` to ``end`` traffic has these ``rates``, and occupancy goes to ``after`` in a straight line."""

    start: float
    end: float
    after: _Held
    rates: dict[Hashable, Traffic]

    def part_at(self, when: float) -> float:
        """Which part of it is over, from 0 to 1."""
        return min(max((when - self.start) / (self.end - self.start), 0.0), 1.0)


class SharedCache:
    """One cache over time, starting at ``now``. ``flows`` returns those that run; it is called after each ``change``.

    ``way_bytes`` are the sizes of its ways. Ways that the same flows may always fill can be one of their size.

    All times are seconds of one clock that never goes back.
    """

    def __init__(self, way_bytes: Sequence[int], flows: Callable[[], Iterable[Flow]], now: float) -> None:
        self._way_bytes = [float(max(size, 1)) for size in way_bytes]
        self._ways = len(self._way_bytes)
        self._ask, self._flows, self._last = flows, tuple[Flow, ...](), tuple[Flow, ...]()
        self._changes = deque[tuple[float, tuple[Flow, ...]]]()
        self._origin = self._same_since = self._ask_at = now
        self._held: _Held = {}
        self._lost = self._lost_before = [0.0] * self._ways
        self._done: dict[Hashable, Traffic] = {}
        self._step = _Step(now, math.inf, {}, {})

    def change(self, now: float) -> None:
        """Call it before any change of what ``flows`` returns: until the tick ends, the old ones run."""
        self._note(now)
        if len(self._changes) > _MOST_CHANGES:
            self._advance(now)
        if self._ask_at == math.inf:
            tick = math.ceil((now - self._origin) / TICK_SECONDS - 1e-6)
            self._ask_at = max(self._origin + tick * TICK_SECONDS, self._step.start)

    def occupancy(self, owner: Hashable, now: float) -> float:
        """Return the bytes that an owner holds."""
        self._advance(now)
        before, after = (_sum_of(held, owner) for held in (self._held, self._step.after))
        return before + (after - before) * self._step.part_at(now)

    def traffic(self, owner: Hashable, now: float) -> Traffic:
        """Return the bytes that an owner has transferred from the start."""
        self._advance(now)
        return self._traffic_at(owner, now)

    def _traffic_at(self, owner: Hashable, now: float) -> Traffic:
        done, rate = self._done.get(owner, Traffic()), self._step.rates.get(owner, Traffic())
        seconds = max(now - self._step.start, 0.0)
        return Traffic(done.total + rate.total * seconds, done.local + rate.local * seconds)

    def _held_at(self, when: float) -> _Held:
        """What is held within the current step."""
        part, nothing = self._step.part_at(when), [0.0] * self._ways
        return {
            key: [a + (b - a) * part for a, b in zip(self._held.get(key, nothing), after, strict=True)]
            for key, after in self._step.after.items()
        }

    def _note(self, now: float) -> None:
        """Remember which flows run from the end of the tick of the last change, if it is over."""
        if now >= self._ask_at:
            flows = tuple(self._ask())
            if flows != self._last:
                self._changes.append((self._ask_at, flows))
            self._last, self._ask_at = flows, math.inf

    def _advance(self, now: float) -> None:
        self._note(now)
        while now >= (next_time := min(self._changes[0][0] if self._changes else math.inf, self._step.end)):
            if self._changes and self._changes[0][0] == next_time:
                self._same_since, self._flows = self._changes.popleft()
            self._begin_step(next_time)

    def _begin_step(self, start: float) -> None:
        """End the current step here, and plan the next."""
        if start == self._step.start:  # only a look has made that step: without it, the search begins where it did
            self._lost = self._lost_before
        self._lost_before = self._lost
        for owner in self._step.rates:
            self._done[owner] = self._traffic_at(owner, start)
        self._held = {key: held for key, held in self._held_at(start).items() if sum(held) > _NOTHING_BYTES}
        self._step = self._step_of(start, max((start - self._same_since) * _GROWTH, TICK_SECONDS))

    # -- one step: backward Euler, with the losses that keep each way from overflowing ----------------------------

    def _step_of(self, start: float, seconds: float) -> _Step:
        allowed = self._allowed()
        divisors = [1 + seconds * lost for lost in self._lost]
        for _ in range(_MOST_ITERATIONS):
            after = self._after(seconds, divisors, allowed)
            sums = [sum(way) for way in zip(*after.values(), strict=True)] or [0.0] * self._ways
            full = [total / size for total, size in zip(sums, self._way_bytes, strict=True)]
            last, divisors = divisors, [max(1.0, a * b) for a, b in zip(divisors, full, strict=True)]
            if all(abs(a - b) < _PRECISION * b for a, b in zip(divisors, last, strict=True)):
                break
        self._fit(after)
        self._lost = [(divisor - 1) / seconds for divisor in divisors]
        return _Step(start, start + seconds, after, self._rates(after, allowed))

    def _after(self, seconds: float, divisors: list[float], allowed: dict[tuple[Hashable, str], float]) -> _Held:
        """What is held in each way after some seconds of losses that divide it like this."""
        kept = [1 / divisor for divisor in divisors]
        faded = [1 / (divisor + seconds / _FADE_SECONDS) for divisor in divisors]
        after = {key: [a * b for a, b in zip(held, faded, strict=True)] for key, held in self._held.items()}
        for flow in self._flows:
            after[flow.key] = self._filled(flow, seconds * allowed[flow.key], kept, faded)
        return after

    def _filled(self, flow: Flow, seconds: float, kept: list[float], faded: list[float]) -> list[float]:
        """What a flow holds in each way after it has put in its misses for some seconds."""
        part = list(faded)
        for way in flow.ways:
            part[way] = kept[way]
        held = self._held.get(flow.key) or [0.0] * self._ways
        left = [a * b for a, b in zip(held, part, strict=True)]
        put = seconds * flow.bytes_per_second / sum(self._way_bytes[way] for way in flow.ways)
        room = put * sum(kept[way] * self._way_bytes[way] for way in flow.ways)
        total = (sum(left) + room) / (1 + room / flow.working_set_bytes)
        gain = put * flow.missing(total)
        for way in flow.ways:
            left[way] += gain * kept[way] * self._way_bytes[way]
        return left

    def _fit(self, after: _Held) -> None:
        """Hold no more in a way than its size, although the losses are not exact."""
        rows = list(after.values())
        for way, size in enumerate(self._way_bytes):
            total = sum(row[way] for row in rows)
            if total > size:
                for row in rows:
                    row[way] *= size / total

    def _allowed(self) -> dict[tuple[Hashable, str], float]:
        """The part of its accesses that each flow is allowed by its limit."""
        wanted: dict[Hashable, float] = {}
        for flow in self._flows:
            if flow.limit:
                wanted[flow.limit.key] = wanted.get(flow.limit.key, 0.0) + flow.wanted(self._total(flow))
        return {
            flow.key: flow.limit.allow(amount) / amount
            if flow.limit and (amount := wanted[flow.limit.key]) > 0
            else 1.0
            for flow in self._flows
        }

    def _rates(self, after: _Held, allowed: dict[tuple[Hashable, str], float]) -> dict[Hashable, Traffic]:
        rates: dict[Hashable, Traffic] = {}
        for flow in self._flows:
            wanted = (flow.wanted(self._total(flow)) + flow.wanted(sum(after[flow.key]))) / 2
            total, old = wanted * allowed[flow.key], rates.get(flow.owner, Traffic())
            rates[flow.owner] = Traffic(old.total + total, old.local + total * flow.local)
        return rates

    def _total(self, flow: Flow) -> float:
        return sum(self._held.get(flow.key, ()))


def _sum_of(held: _Held, owner: Hashable) -> float:
    return sum(sum(row) for key, row in held.items() if key[0] == owner)
