"""Which sizes of whole ways on one host are whole ways on another."""

from collections.abc import Iterator

import msgspec

from cachetune.host.model import CacheControl, Host
from cachetune.plan.rounding import valid_ways

# Dies of one processor have two sizes at most; more are a made-up snapshot's.
_MOST_SIZES = 4


class SizeStep(msgspec.Struct, frozen=True):
    """A number of ways that a request on A can have, its size in bytes, and what that is on B.

    ``b_ways_down`` and ``b_ways_up`` are the size with ``--round``, the same number if it translates exactly;
    None where B's caches are too small, or need more ways.
    """

    resource: str
    a_ways: int
    size_bytes: int
    b_way_bytes: int
    b_ways_down: int | None
    b_ways_up: int | None

    @property
    def is_exact(self) -> bool:
        """Whether the size is a whole number of ways on B, without rounding."""
        return self.b_ways_down is not None and self.b_ways_down * self.b_way_bytes == self.size_bytes


def size_steps(a: Host, b: Host) -> Iterator[SizeStep]:
    """Every size of whole ways on A, for each level and each pair of different sizes of a way.

    Levels whose ways have one size on both hosts are left out, as are caches of unknown size.
    """
    for level in sorted({control.level for control in a.caches}):
        ours, theirs = (next((c for c in host.caches if c.level == level), None) for host in (a, b))
        if not ours or not theirs:
            continue
        for way in _sizes_of_a_way(ours):
            for other in _sizes_of_a_way(theirs):
                if way != other:
                    yield from _steps(f"L{level}", ours, way, theirs, other)


def _sizes_of_a_way(control: CacheControl) -> list[int]:
    """The sizes of a way that its caches have; more than one on processors with unlike dies."""
    return sorted({size for cache_id in control.size_bytes if (size := control.way_bytes(cache_id))})[:_MOST_SIZES]


def _steps(name: str, ours: CacheControl, way: int, theirs: CacheControl, other: int) -> Iterator[SizeStep]:
    valid = valid_ways(theirs)
    for ways in valid_ways(ours):
        down, rest = divmod(ways * way, other)
        up = down + bool(rest)
        below, above = (number if number in valid else None for number in (down, up))
        yield SizeStep(name, ways, ways * way, other, below, above)
