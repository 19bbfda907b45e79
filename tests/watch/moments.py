"""Moments of a simulated day, for tests: the same ones for the same numbers."""

import random
from collections.abc import Iterator

from cachetune.cbm import Cbm
from cachetune.watch.usage import Cache, Moment, Usage

NOON = 1_800_000_000.0
CACHES = (Cache(0, 36 << 20, 12), Cache(1, 36 << 20, 12))


def moments(count: int, groups: int = 3, *, start: float = NOON, every: float = 1.0) -> Iterator[Moment]:
    """``count`` moments of the guests guest-0, guest-1 and so on, which use both caches."""
    numbers = random.Random(7)  # noqa: S311 - no secret
    for k in range(count):
        usages = tuple(_usage(numbers, group, cache.id) for group in range(groups) for cache in CACHES)
        yield Moment(start + k * every, CACHES, usages)


def _usage(numbers: random.Random, group: int, cache_id: int) -> Usage:
    total = float(numbers.randrange(400_000_000))
    return Usage(
        path=f"cachetune-guest-{group}-vcpus_0-3",
        guest=f"guest-{group}",
        kind="control",
        cache_id=cache_id,
        mask=Cbm(3 << 2 * (group % 6)),
        occupancy_bytes=numbers.randrange(96) << 16,
        total_bytes_per_second=total,
        local_bytes_per_second=float(int(total * 0.9)),
    )
