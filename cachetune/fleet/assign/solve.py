"""The exact search: the numbers of a problem as a model of OR-Tools CP-SAT.

Variables count how many guests of each kind every host gets. Widths are distributed to the holes of a cache, not
guests: one variable says how many groups of a width are in a hole. Goals are optimized one after another, each kept
while the next one is pursued:

``placed``  as many guests as possible
``hosts``   on as few hosts as possible
``even``    the shares in use as even as possible: every further tenth of a host costs more than the one before
``left``    the least left on the hosts that get guests
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cachetune.errors import MissingExtraError
from cachetune.fleet.assign.load import Cut, Load, Places
from cachetune.fleet.assign.problem import Kind, Layout, Need, Place, Problem, Room, most_ways, units_left

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

Goal = Literal["placed", "hosts", "even", "left"]

_SEED = 1
_LEVELS = 10
_POLL_SECONDS = 0.1
_SLACK = 1e-6


class Effort(NamedTuple):
    """How long a search may take: wall-clock ``seconds``, and in addition the solver's own, which do not vary.

    ``stopped`` is called several times a second; ``on_bound`` gets the best value so far and the bound.
    """

    seconds: float
    stopped: Callable[[], bool]
    on_bound: Callable[[int | None, int | None], None]
    deterministic_seconds: float | None = None


class Found(NamedTuple):
    """The best places found, None if none were; ``bound`` is what no assignment surpasses."""

    places: Places | None
    value: int
    bound: int
    optimal: bool


class Model:
    """The model of one problem, to which cuts and goals are added. Raises MissingExtraError without OR-Tools."""

    def __init__(self, problem: Problem) -> None:
        try:
            from ortools.sat.python import cp_model
        except ImportError:
            raise MissingExtraError("fleet", "ortools", "the exact assignment") from None
        self._cp, self._problem = cp_model, problem
        self._model = cp_model.CpModel()
        self._used = [self._model.new_bool_var("") for _ in problem.rooms]
        self._even: cp_model.LinearExprT | None = None
        self._counts: dict[tuple[int, int], cp_model.IntVar] = {}
        for number, kind in enumerate(problem.kinds):
            for host in range(len(problem.rooms)):
                if most := self._most(number, kind, host):
                    self._counts[number, host] = self._model.new_int_var(0, most, "")
        self._on: dict[int, list[tuple[int, Kind, Need, cp_model.IntVar]]] = defaultdict(list)
        for (number, host), variable in self._counts.items():
            kind = problem.kinds[number]
            if need := kind.needs[host]:
                self._on[host].append((number, kind, need, variable))
        for number, kind in enumerate(problem.kinds):
            of_kind = [variable for (each, _), variable in self._counts.items() if each == number]
            self._model.add(sum(of_kind) <= len(kind.guests))
        for host, room in enumerate(problem.rooms):
            self._limit_host(host, room)
        self._order_alike_hosts()

    def exclude(self, cut: Cut) -> None:
        """No host of the cut gets that many guests of each of its kinds."""
        for host in cut.hosts:
            fewer = []
            for number, least in cut.kinds:
                variable = self._counts.get((number, host))
                if variable is None:
                    break  # it has none of them in any case
                below = self._model.new_bool_var("")
                self._model.add(variable <= least - 1).only_enforce_if(below)
                fewer.append(below)
            else:
                self._model.add_bool_or(fewer)

    def keep(self, goal: Goal, value: int) -> None:
        """In every later search the value of a goal is at least as good as this one."""
        expression = self._expression(goal)
        self._model.add(expression >= value if goal == "placed" else expression <= value)

    def value(self, goal: Goal, places: Places) -> int:
        """The value of a goal for these places."""
        hosts = {host for host in places if host is not None}
        if goal == "placed":
            return sum(host is not None for host in places)
        if goal == "hosts":
            return len(hosts)
        units: Counter[int] = Counter()
        for kind in self._problem.kinds:
            for guest in kind.guests:
                host = places[guest]
                if host is not None and (need := kind.needs[host]):
                    units[host] += need.units
        rooms = self._problem.rooms
        if goal == "left":
            return sum(units_left(rooms[host]) - units[host] for host in hosts)
        return sum(_cost_of_share(room, units[host]) for host, room in enumerate(rooms))

    def search(self, goal: Goal, start: Places, effort: Effort) -> Found:
        """The best places for a goal within the effort. ``start`` is where to begin; it need not be possible."""
        expression = self._expression(goal)
        if goal == "placed":
            self._model.maximize(expression)
        else:
            self._model.minimize(expression)
        self._hint(start)
        solver = self._cp.CpSolver()
        solver.parameters.random_seed = _SEED
        solver.parameters.num_workers = 1  # more are a race, with another answer each time
        solver.parameters.catch_sigint_signal = False  # _run stops it
        solver.parameters.max_time_in_seconds = max(effort.seconds, 0.01)
        if effort.deterministic_seconds is not None:
            solver.parameters.max_deterministic_time = effort.deterministic_seconds
        status = _run(self._cp, solver, self._model, effort, maximize=goal == "placed")
        found = status in (self._cp.OPTIMAL, self._cp.FEASIBLE)
        places = self._places(solver) if found else None
        value = round(solver.objective_value) if found else 0
        bound = _whole(solver.best_objective_bound, up=goal != "placed")
        return Found(places, value, bound, status == self._cp.OPTIMAL)

    # -- the constraints ------------------------------------------------------------------------------------------

    def _most(self, number: int, kind: Kind, host: int) -> int:
        """How many guests of a kind a host can have if it has no others."""
        load = Load(self._problem, host)
        most = 0
        while most < len(kind.guests) and load.admits(number):
            load.add(number, kind.guests[most])
            most += 1
        return most

    def _limit_host(self, host: int, room: Room) -> None:
        used, on = self._used[host], self._on[host]
        for _, kind, _, variable in on:
            self._model.add(variable <= len(kind.guests) * used)
        self._model.add(sum(variable for *_, variable in on) >= used)
        if room.closids is not None:
            self._model.add(sum(need.closids * variable for _, _, need, variable in on) <= room.closids * used)
        if room.rmids is not None:
            self._model.add(sum(need.rmids * variable for _, _, need, variable in on) <= room.rmids * used)
        for node, total in room.bandwidth.items():
            terms = [dict(need.bandwidth).get(node, 0) * variable for _, _, need, variable in on]
            self._model.add(sum(terms) <= total * used)
        for place in room.layouts:
            self._limit_cache(host, room, place)
        for twin in {kind.twin for _, kind, _, _ in on if kind.twin}:
            self._model.add(sum(variable for _, kind, _, variable in on if kind.twin == twin) <= 1)

    def _limit_cache(self, host: int, room: Room, place: Place) -> None:
        """All ways together; for each width how many groups as wide or wider; and which widths are in which hole."""
        used, layouts, sparse = self._used[host], room.layouts[place], place in room.sparse
        terms: dict[int, list[tuple[int, cp_model.IntVar]]] = defaultdict(list)
        for _, _, need, variable in self._on[host]:
            for width, times in Counter(dict(need.ways).get(place, ())).items():
                terms[width].append((times, variable))
        if not terms:
            return
        groups = {width: sum(times * variable for times, variable in each) for width, each in terms.items()}
        self._model.add(sum(width * number for width, number in groups.items()) <= most_ways(room, place) * used)
        if sparse:
            return
        for width in groups:
            wide = sum(number for each, number in groups.items() if each >= width)
            self._model.add(wide <= max(sum(hole // width for hole in layout.holes) for layout in layouts) * used)
        if any(len(layout.holes) > 1 for layout in layouts):
            self._distribute(groups, layouts)

    def _distribute(self, groups: "Mapping[int, cp_model.LinearExprT]", layouts: Sequence[Layout]) -> None:
        """Every group is in one hole of the layout that is chosen."""
        chosen = [self._model.new_bool_var("") for _ in layouts]
        self._model.add_exactly_one(chosen)
        inside: dict[int, list[cp_model.IntVar]] = defaultdict(list)
        for layout, choice in zip(layouts, chosen, strict=True):
            fixed = Counter(layout.fixed)
            settled: dict[int, list[cp_model.IntVar]] = defaultdict(list)
            for hole in layout.holes:
                filled = []
                for width, into in [*((w, inside) for w in groups), *((w, settled) for w in fixed)]:
                    if most := hole // width:
                        variable = self._model.new_int_var(0, most, "")
                        into[width].append(variable)
                        filled.append(width * variable)
                self._model.add(sum(filled) <= hole * choice)
            for width, times in fixed.items():
                self._model.add(sum(settled[width]) == times * choice)
        for width, number in groups.items():
            self._model.add(sum(inside[width]) == number)

    def _order_alike_hosts(self) -> None:
        """Of hosts that do not differ, the first are used first."""
        homes = {host for hosts in self._problem.homes.values() for host in hosts}
        last: dict[int, int] = {}
        for host, first in enumerate(self._problem.alike):
            if host in homes:
                continue
            if first in last:
                self._model.add_implication(self._used[host], self._used[last[first]])
            last[first] = host

    # -- goals ----------------------------------------------------------------------------------------------------

    def _expression(self, goal: Goal) -> "cp_model.LinearExprT":
        if goal == "placed":
            return sum(self._counts.values())
        if goal == "hosts":
            return sum(self._used)
        units = {h: sum(need.units * variable for _, _, need, variable in self._on[h]) for h in range(len(self._used))}
        if goal == "left":
            rooms = self._problem.rooms
            return sum(units_left(rooms[h]) * used - units[h] for h, used in enumerate(self._used))
        if self._even is None:
            self._even = sum(self._share(room, units[h]) for h, room in enumerate(self._problem.rooms))
        return self._even

    def _share(self, room: Room, units: "cp_model.LinearExprT") -> "cp_model.LinearExprT":
        """The cost of the share in use: as many steps as there are tenths, and each costs more than the one before."""
        steps = [self._model.new_int_var(0, size, "") for size in _steps(room)]
        self._model.add(sum(steps) == room.units_taken + units)
        return sum(cost * step for cost, step in enumerate(steps, 1))

    # -- in and out -----------------------------------------------------------------------------------------------

    def _hint(self, places: Places) -> None:
        counts: Counter[tuple[int, int]] = Counter()
        for number, kind in enumerate(self._problem.kinds):
            for guest in kind.guests:
                host = places[guest]
                if host is not None:
                    counts[number, host] += 1
        clear: Callable[[], None] = self._model.clear_hints  # it has no types
        clear()
        for key, variable in self._counts.items():
            self._model.add_hint(variable, counts[key])
        for host, used in enumerate(self._used):
            self._model.add_hint(used, host in places)

    def _places(self, solver: "cp_model.CpSolver") -> Places:
        places: list[int | None] = [None] * len(self._problem.guests)
        for number, kind in enumerate(self._problem.kinds):
            hosts = (
                host
                for (each, host), variable in self._counts.items()
                if each == number
                for _ in range(solver.value(variable))
            )
            for guest, host in zip(kind.guests, hosts, strict=False):
                places[guest] = host
        return tuple(places)


def _run(cp: Any, solver: "cp_model.CpSolver", model: "cp_model.CpModel", effort: Effort, *, maximize: bool) -> Any:
    """Solve in a thread, since Python takes signals in the main thread only, which waits here and asks ``stopped``."""
    outcome: list[Any] = []
    bounds: list[float] = []
    solver.best_bound_callback = bounds.append

    class Best(cp.CpSolverSolutionCallback):  # type: ignore[misc]
        value: int | None = None

        def on_solution_callback(self) -> None:
            self.value = round(self.objective_value)

    best = Best()
    thread = threading.Thread(target=lambda: outcome.append(solver.solve(model, best)), daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            if effort.stopped():
                solver.stop_search()
            effort.on_bound(best.value, _whole(bounds[-1], up=not maximize) if bounds else None)
    finally:  # also if a signal raises KeyboardInterrupt
        solver.stop_search()
        thread.join()
    return outcome[0] if outcome else cp.UNKNOWN


def _steps(room: Room) -> list[int]:
    """The sizes of the tenths of a host; the last takes whatever is beyond."""
    size = -(-room.units // _LEVELS)
    return [size] * (_LEVELS - 1) + [size + room.units + room.units_taken]


def _cost_of_share(room: Room, units: int) -> int:
    """What ``_share`` is for a number of units."""
    left, total = room.units_taken + units, 0
    for cost, size in enumerate(_steps(room), 1):
        total += cost * min(left, size)
        left -= min(left, size)
    return total


def _whole(bound: float, *, up: bool) -> int:
    """A bound of whole numbers, which the solver computes as a float."""
    return ceil(bound - _SLACK) if up else floor(bound + _SLACK)
