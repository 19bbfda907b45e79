"""Which host gets which guest: all files are read, the assignment is searched, and the document is made."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cachetune.errors import MissingExtraError
from cachetune.fleet.assign.model import AssignedGuest, FleetAssignment
from cachetune.fleet.assign.problem import Limits, problem_of
from cachetune.fleet.assign.result import assigned_hosts, reasons
from cachetune.fleet.assign.search import Control, Outcome, Progress, Search
from cachetune.fleet.snapshots import STALE_SECONDS
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.fit import fleet_host
from cachetune.service.fleet_files import find_files, read_candidates, snapshot_of

BUDGET_SECONDS = 60.0
"""How long the exact search may take."""


class Way(NamedTuple):
    """How to assign: few hosts or spread evenly, what bandwidths may add up to, and how long the search may take."""

    spread: bool = False
    limits: Limits = Limits()
    budget_seconds: float = BUDGET_SECONDS


class Assigned(NamedTuple):
    """The document, and ``notes``: warnings, such as that the exact search is not installed."""

    document: FleetAssignment
    notes: tuple[str, ...] = ()


def assign_guests(
    names: Sequence[str],
    options: Options,
    way: Way,
    *,
    stale_seconds: float = STALE_SECONDS,
    stopped: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Assigned:
    """Assign the guests among these files to the hosts, which are snapshots. ``names`` are those of ``find_files``.

    The search ends early, with the best so far, when ``stopped`` says so.
    """
    files = find_files(names)
    read = read_candidates(files.snapshots)
    guests = [GuestRequest(guest.domain, findings=guest.findings) for guest in files.guests]
    problem = problem_of(guests, read.candidates, options, way.limits)
    control = Control(way.budget_seconds, time.monotonic, stopped, on_progress)
    search = Search(problem, control, spread=way.spread)
    notes: tuple[str, ...] = ()
    try:
        outcome = search.exact()
    except MissingExtraError as error:
        outcome = search.greedy()
        notes = (f"the assignment is greedy and may not be the best: {error}; {error.hint}",)
    why, now = reasons(problem, outcome, search.planner), time.time()
    hosts = tuple(assigned_hosts(problem, outcome))
    names_of = [candidate.name for candidate in problem.candidates]
    found = _Bounds.of(outcome, spread=way.spread)
    document = FleetAssignment(
        solver="cp-sat" if outcome.exact else "greedy",
        spread=way.spread,
        placed=found.placed,
        placed_at_most=found.placed_at_most,
        hosts_used=len(hosts),
        hosts_at_least=found.hosts_at_least,
        optimal=found.optimal,
        stopped=outcome.stopped,
        seconds=round(outcome.seconds, 3),
        budget_seconds=way.budget_seconds,
        guests=tuple(
            AssignedGuest(
                guest.domain.name,
                guest.file,
                None if place is None else names_of[place],
                why.get(number, ()),
                guest.findings,
            )
            for number, (guest, place) in enumerate(zip(files.guests, outcome.places, strict=True))
        ),
        hosts=hosts,
        candidates=tuple(fleet_host(snapshot_of(each), read.older, now, stale_seconds) for each in read.candidates),
        unusable=(*files.unusable, *read.unusable),
    )
    return Assigned(document, notes)


class _Bounds(NamedTuple):
    placed: int
    placed_at_most: int | None
    hosts_at_least: int | None
    optimal: bool

    @classmethod
    def of(cls, outcome: Outcome, *, spread: bool) -> "_Bounds":
        """What is proven about an outcome."""
        placed = len(outcome.places) - outcome.places.count(None)
        most, least = outcome.bounds.get("placed"), outcome.bounds.get("hosts")
        goal = "even" if spread else "hosts"
        values = {name: (value, outcome.values[name]) for name, value in outcome.bounds.items()}
        reached = not placed or (goal in values and values[goal][0] == values[goal][1])
        return cls(placed, most, least, placed == most and reached)
