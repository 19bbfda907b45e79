"""Counters of a busy processor: what each RMID moves and holds in each L3 cache.

While a processor runs under an RMID, the RMID moves bytes at a steady rate, and what it holds nears the size of the
ways allowed. What runs nowhere fades from the cache.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Final

BYTES_PER_SECOND: Final = 1 << 30
LOCAL_SHARE: Final = 3 / 4  # of what is moved: from the memory of the same node
_FILLS_SECONDS: Final = 0.02
_FADES_SECONDS: Final = 0.2


@dataclasses.dataclass(frozen=True)
class Pace:
    """What a processor does now: the RMID that counts it, how much it moves, and how much cache it would fill."""

    rmid: int
    bytes_per_second: float
    held_bytes: float


@dataclasses.dataclass
class Counter:
    """Bytes held and bytes moved since the beginning."""

    held_bytes: float = 0.0
    moved_bytes: float = 0.0
    settled: float = 0.0

    def fade(self, now: float) -> None:
        """Account for the time in which nothing ran."""
        if now > self.settled:
            self.held_bytes *= math.exp((self.settled - now) / _FADES_SECONDS)
            self.settled = now


class Counters:
    """A counter for each RMID of each L3 cache; ``pace(cpu)`` is what the processor has been doing.

    While ``fades`` is false, what is held stays.
    """

    def __init__(
        self, cache_of: Sequence[int], rmids: int, pace: Callable[[int], Pace], clock: Callable[[], float]
    ) -> None:
        now = clock()
        self.fades = True
        self._cache_of, self._pace, self._clock = cache_of, pace, clock
        self._charged = [now] * len(cache_of)
        self._of = {cache: [Counter(settled=now) for _ in range(max(rmids, 1))] for cache in set(cache_of)}

    def read(self, cache: int, rmid: int) -> Counter:
        """The counter now."""
        self.settle(cache)
        return self._of[cache][rmid]

    def clear(self, cache: int) -> None:
        """Begin to count what is moved from 0."""
        self.settle(cache)
        for counter in self._of[cache]:
            counter.moved_bytes = 0.0

    def flush(self) -> None:
        """Empty the caches."""
        for counter in (counter for counters in self._of.values() for counter in counters):
            counter.held_bytes = 0.0

    def settle(self, cache: int) -> None:
        """Account for all processors of a cache; call before the pace of one changes."""
        now = self._clock()
        for cpu, home in enumerate(self._cache_of):
            if home == cache:
                self._charge(cpu, now)
        if self.fades:
            for counter in self._of[cache]:
                counter.fade(now)

    def _charge(self, cpu: int, now: float) -> None:
        seconds, self._charged[cpu] = now - self._charged[cpu], now
        counters, pace = self._of[self._cache_of[cpu]], self._pace(cpu)
        if pace.rmid < len(counters):
            counter = counters[pace.rmid]
            counter.moved_bytes += seconds * pace.bytes_per_second
            if self.fades:
                counter.fade(now - seconds)
            missing = counter.held_bytes - pace.held_bytes
            counter.held_bytes = pace.held_bytes + missing * math.exp(-seconds / _FILLS_SECONDS)
            counter.settled = now
