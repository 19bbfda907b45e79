"""The order of hosts for a guest, the best first.

1. Hosts where it fits with the options that were given, then those where other options make it possible, then the rest.
2. By what has to be done: nothing, rounding, shrinking the default group, moving other groups; of several things, the
   last one counts first.
3. By what is left in the caches in which the guest requests ways: the fewest free ways first (best fit), of these the
   largest hole; then the fewest ways of the default group, which it could still give up; then the fewest CLOSIDs. With
   ``spread``: the most of each first.
4. By the name of the host.
"""

from collections.abc import Iterable
from math import inf

from cachetune.fleet.model import MEANS, Answer, Fit

_ANSWERS: tuple[Answer, ...] = ("fits", "possible", "refused")


def ranked(fits: Iterable[Fit], *, spread: bool = False) -> tuple[Fit, ...]:
    """The answers of several hosts about one guest, the best host first."""
    sign = -1 if spread else 1

    def key(fit: Fit) -> tuple[object, ...]:
        done = sum(1 << MEANS.index(mean) for mean in fit.means)
        closids = inf if fit.closids_left is None else fit.closids_left
        left = (sign * fit.free_ways, -fit.largest_hole_ways, sign * fit.default_left, sign * closids)
        return (_ANSWERS.index(fit.answer), done, *left, fit.host)

    return tuple(sorted(fits, key=key))
