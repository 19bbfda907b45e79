"""Divide the ways of a cache among guests by their curves, and find the knee of one curve.

A curve is what a guest reads from memory per second by the number of its ways: the first value is for one way. More
ways cannot cost a guest traffic, so a value above one for fewer ways is noise of a measurement and counts as that one.

The utility of ways is the traffic that they save, as for Qureshi and Patt (MICRO 2006). Their look-ahead, made for
hardware, finds a good division in few steps; a cache has so few ways that the best one can be computed.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from cachetune.errors import InputError
from cachetune.text import count

Curve = Sequence[float]

KNEE_TOLERANCE = 0.05
"""How far above its least the traffic at the knee may be, as a part of the traffic with the fewest ways."""


def divide(curves: Mapping[str, Curve], ways: int, least: int = 1) -> dict[str, int]:
    """How many of the ``ways`` each guest gets, so that together they read as little as possible from memory.

    Each has at least ``least`` ways, and all ways are given. Of several such divisions it is the most equal one. A
    curve with fewer values stays at its last. Raises InputError if there are fewer ways than the guests need at least.
    """
    least = max(least, 1)
    if not curves or ways < least * len(curves):
        raise InputError(
            f"{count(ways, 'way')} cannot be divided among {count(len(curves), 'guest')}, at least {least} each",
            hint="choose fewer guests, or free ways of the cache",
        )
    # By the ways given so far: the traffic of the guests so far, how unequal their shares are, and the shares.
    best: dict[int, tuple[float, int, tuple[int, ...]]] = {0: (0.0, 0, ())}
    for curve in curves.values():
        falling = _falling(curve, ways)
        best = {
            given: min(
                (cost + falling[share - 1], squares + share * share, (*shares, share))
                for before, (cost, squares, shares) in best.items()
                if (share := given - before) >= least
            )
            for given in range(min(best) + least, ways + 1)
        }
    return dict(zip(curves, best[ways][2], strict=True))


def traffic(curves: Mapping[str, Curve], shares: Mapping[str, int]) -> float:
    """What the guests read from memory per second together with these numbers of ways."""
    return sum(_falling(curve, shares[name])[-1] for name, curve in curves.items())


def knee(curve: Curve, least: int = 1) -> int:
    """The smallest number of ways, at least ``least``, beyond which more hardly help.

    Its traffic is above the least by at most ``KNEE_TOLERANCE`` of the traffic with the fewest ways. So noise does not
    count where more ways do not help at all, nor where traffic falls to almost nothing. Raises ValueError for a curve
    with fewer values than ``least``.
    """
    first = max(least, 1)
    if len(curve) < first:
        raise ValueError(f"a curve of {count(len(curve), 'value')} has no knee from {count(first, 'way')} on")
    falling = _falling(curve, len(curve))
    limit = falling[-1] + KNEE_TOLERANCE * falling[first - 1]
    return next(n for n, value in enumerate(falling, 1) if n >= first and value <= limit)


def _falling(curve: Curve, ways: int) -> list[float]:
    """The curve for 1 to ``ways`` ways, which never rises."""
    known = list(accumulate(curve, min))[:ways]
    return known + [known[-1]] * (ways - len(known))
