"""Best fit, decreasing: the guests that are hardest to place come first, each on the host where it leaves the least.

This is the start of the exact search, and all there is without OR-Tools.
"""

from collections.abc import Collection

from cachetune.fleet.assign.load import Cut, Load, Places, hardness
from cachetune.fleet.assign.problem import Problem


def greedy(problem: Problem, cuts: Collection[Cut] = (), *, spread: bool = False) -> Places:
    """A host for each guest, as far as one is found. No host gets what ``cuts`` exclude.

    A host that has a guest already comes before one that has none, and of the latter the one with most left. With
    ``spread`` each guest goes to the host with the smallest share in use instead.
    """
    loads = [Load(problem, host, cuts) for host in range(len(problem.candidates))]
    places: list[int | None] = [None] * len(problem.guests)
    order = sorted(range(len(problem.kinds)), key=lambda n: hardness(problem.kinds[n], problem), reverse=True)
    for number in order:
        kind = problem.kinds[number]
        able = [host for host, need in enumerate(kind.needs) if need is not None]
        for guest in kind.guests:
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
