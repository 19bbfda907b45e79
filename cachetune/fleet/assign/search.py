"""Search, have the planner confirm, exclude what it refuses, search again: until all is confirmed or time is up."""

from collections.abc import Callable
from typing import NamedTuple

from cachetune.errors import MissingExtraError
from cachetune.fleet.assign.confirm import Accepted, Planner, Refused
from cachetune.fleet.assign.greedy import greedy
from cachetune.fleet.assign.load import Cut, Places
from cachetune.fleet.assign.problem import Problem
from cachetune.fleet.assign.solve import Effort, Goal, Model

_ROUNDS = 20
_SHARE_OF_PLACING = 0.5  # of the budget, to place all; what is left is for the hosts
_SHARE_OF_TIDYING = 0.05  # what fits best is worth no long wait


class Progress(NamedTuple):
    """What is being done, the best value of the goal so far and its bound (None: not yet), and the time since."""

    goal: Goal
    value: int | None
    bound: int | None
    seconds: float


class Control(NamedTuple):
    """The budget, and what the search needs of the world: a clock, whether to stop, and what takes reports."""

    budget_seconds: float
    clock: Callable[[], float]
    stopped: Callable[[], bool] = lambda: False
    on_progress: Callable[[Progress], None] = lambda _: None


class Outcome(NamedTuple):
    """Where each guest goes, the planner's verdict on every host that gets some, and how good that is.

    ``bounds`` are of the goals: no assignment places more, or uses fewer hosts. A goal without one was not searched
    exactly. ``stopped`` says that a signal ended the search.
    """

    places: Places
    accepted: dict[int, Accepted]
    exact: bool
    bounds: dict[Goal, int]
    values: dict[Goal, int]
    seconds: float
    stopped: bool = False


class Search:
    """One assignment."""

    def __init__(self, problem: Problem, control: Control, *, spread: bool = False) -> None:
        self._problem, self._control, self._spread = problem, control, spread
        self.planner = Planner(problem)
        self._began = control.clock()
        self.cuts: list[Cut] = []
        self._complete = True

    def greedy(self) -> Outcome:
        """The answer without a solver: confirmed, and as good as it happens to be."""
        places = self._greedy()
        return self._outcome(places, None, {})

    def exact(self) -> Outcome:
        """The best answer that the budget allows, and how far the best can be from it. Raises MissingExtraError."""
        model = Model(self._problem)
        best = self._greedy()
        for cut in self.cuts:
            model.exclude(cut)
        bounds: dict[Goal, int] = {}
        goals: tuple[Goal, ...] = ("placed", "even") if self._spread else ("placed", "hosts", "left")
        for goal in goals:
            best, bound = self._pursue(goal, model, best)
            if bound is not None:
                bounds[goal] = bound
            model.keep(goal, model.value(goal, best))
            if self._over or not any(host is not None for host in best):
                break
        return self._outcome(best, model, bounds)

    @property
    def _left(self) -> float:
        return self._control.budget_seconds - (self._control.clock() - self._began)

    @property
    def _over(self) -> bool:
        return self._left <= 0 or self._control.stopped()

    def _pursue(self, goal: Goal, model: Model, best: Places) -> tuple[Places, int | None]:
        """The best confirmed places for a goal, and its bound."""
        if goal == "placed" and model.value(goal, best) == len(best):
            return best, len(best)
        bound: int | None = None
        end = self._left * (1 - _SHARE_OF_PLACING) if goal == "placed" else 0.0
        while not self._over and self._left > end:
            found = model.search(goal, best, self._effort(goal, self._left - end))
            if self._complete:
                bound = found.bound
            if found.places is None:
                break
            cuts = self._cuts_of(found.places)
            for cut in cuts:
                model.exclude(cut)
            usable = self._without_refused(found.places)
            if _better(goal, model.value(goal, usable), model.value(goal, best)) and _as_many(usable, best, goal):
                best = usable
            if not cuts:
                break
        return best, bound

    def _effort(self, goal: Goal, seconds: float) -> Effort:
        control = self._control

        def report(value: int | None, bound: int | None) -> None:
            control.on_progress(Progress(goal, value, bound, control.clock() - self._began))

        tidying = control.budget_seconds * _SHARE_OF_TIDYING if goal == "left" else None
        return Effort(seconds, control.stopped, report, tidying)

    def _greedy(self) -> Places:
        """Greedy until the planner accepts all of it; whom it still refuses after some rounds gets no place."""
        for _ in range(_ROUNDS):
            places = greedy(self._problem, self.cuts, spread=self._spread)
            if not self._cuts_of(places):
                return places
        return self._without_refused(places)

    def _without_refused(self, places: Places) -> Places:
        """The places without the guests that have to go so that the planner accepts each host."""
        left = list(places)
        for host, guests in _by_host(places).items():
            while isinstance(self.planner.verdict(host, guests), Refused):
                left[guests.pop()] = None
        return tuple(left)

    def _cuts_of(self, places: Places) -> list[Cut]:
        """What the planner refuses of these places, which every later search excludes."""
        cuts = []
        for host, guests in _by_host(places).items():
            verdict = self.planner.verdict(host, guests)
            if isinstance(verdict, Refused):
                self._complete = self._complete and verdict.complete
                cuts += self.planner.cuts(host, guests)
        self.cuts += cuts
        return cuts

    def _outcome(self, places: Places, model: Model | None, bounds: dict[Goal, int]) -> Outcome:
        hosts = _by_host(places)
        verdicts = {host: self.planner.verdict(host, guests) for host, guests in hosts.items()}
        accepted = {host: verdict for host, verdict in verdicts.items() if isinstance(verdict, Accepted)}
        values = {goal: model.value(goal, places) for goal in bounds} if model else {}
        seconds = self._control.clock() - self._began
        return Outcome(places, accepted, model is not None, bounds, values, seconds, self._control.stopped())


def assign(problem: Problem, control: Control, *, spread: bool = False) -> Outcome:
    """A host for each guest, as many as possible; exact with OR-Tools, otherwise greedy."""
    search = Search(problem, control, spread=spread)
    try:
        return search.exact()
    except MissingExtraError:
        return search.greedy()


def _better(goal: Goal, value: int, than: int) -> bool:
    return value > than if goal == "placed" else value < than


def _as_many(places: Places, others: Places, goal: Goal) -> bool:
    """Whether no guest loses its place for another goal."""
    return goal == "placed" or places.count(None) <= others.count(None)


def _by_host(places: Places) -> dict[int, list[int]]:
    hosts: dict[int, list[int]] = {}
    for guest, host in enumerate(places):
        if host is not None:
            hosts.setdefault(host, []).append(guest)
    return dict(sorted(hosts.items()))
