"""Best fit: each guest goes to the host on which it leaves the least.

This is the start of the exact search, and all there is without OR-Tools.
"""

from collections.abc import Collection, Iterable

from cachetune.fleet.assign.load import Cut, Load, Places, hardness
from cachetune.fleet.assign.problem import Problem


def greedy(
    problem: Problem, cuts: Collection[Cut] = (), start: Places | None = None, *, spread: bool = False
) -> Places:
    """A host for each guest, as far as one is found; guests that have one at the ``start`` stay there.

    The guests that are hardest to place come first, or last if more guests find a place then, as when not all can. A
    host that has a guest already comes before one that has none, and of the latter the one with most left. With
    ``spread`` each guest goes to the host with the smallest share in use instead. No host gets what ``cuts`` exclude.
    """
    order = sorted(range(len(problem.kinds)), key=lambda n: hardness(problem.kinds[n], problem), reverse=True)
    start = start or (None,) * len(problem.guests)
    found = [_placed(problem, cuts, start, each, spread=spread) for each in (order, order[::-1])]
    return max(found, key=lambda places: (len(places) - places.count(None), -len({*places})))


def _placed(problem: Problem, cuts: Collection[Cut], start: Places, order: Iterable[int], *, spread: bool) -> Places:
    loads = [Load(problem, host, cuts) for host in range(len(problem.candidates))]
    places = list(start)
    for number, kind in enumerate(problem.kinds):
        for guest in kind.guests:
            if (home := start[guest]) is not None:
                loads[home].add(number, guest)
    for number in order:
        kind = problem.kinds[number]
        able = [host for host, need in enumerate(kind.needs) if need is not None]
        for guest in kind.guests:
            if places[guest] is not None:
                continue
            able.sort(key=lambda host: _preference(loads[host], number, problem, host, spread=spread))
            host = next((host for host in able if loads[host].admits(number)), None)
            if host is None:
                break  # nor is there one for the others of its kind
            loads[host].add(number, guest)
            places[guest] = host
    return tuple(places)


def _preference(load: Load, number: int, problem: Problem, host: int, *, spread: bool) -> tuple[float, ...]:
    """The smallest comes first; of equals the first host."""
    need = problem.kinds[number].needs[host]
    if spread:
        return load.share, host
    left = load.units_left - (need.units if need else 0)
    return (not load.guests, left if load.guests else -left, host)
