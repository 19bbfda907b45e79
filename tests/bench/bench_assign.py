"""How close assignments come to what is possible: 100 guests on 50 hosts of all processors, in 60 seconds."""

import time

from cachetune.fleet.assign.problem import Limits, problem_of
from cachetune.fleet.assign.search import Control, Search
from cachetune.fleet.model import Candidate
from cachetune.plan.request import GuestRequest, Options
from tests.bench.table import Row
from tests.fleet.assign.instances import mixed_guests
from tests.fleet.random_fleet import random_fleet

_GUESTS, _HOSTS, _SECONDS = 100, 50, 60.0
_SEEDS = (1, 2)


def rows() -> list[Row]:
    """For some fleets, the guests that could be placed against those that are, and the hosts used against the bound."""
    return [row for seed in _SEEDS for row in _rows(seed)]


def _rows(seed: int) -> list[Row]:
    hosts = [Candidate(f"node-{i}", host) for i, host in enumerate(random_fleet(_HOSTS, seed))]
    guests = [GuestRequest(domain) for domain in mixed_guests(_GUESTS, seed)]
    problem = problem_of(guests, hosts, Options(shrink_default=True), Limits())
    found = Search(problem, Control(_SECONDS, time.monotonic)).exact()
    placed = len(found.places) - found.places.count(None)
    what = f"assign {_GUESTS} guests to {_HOSTS} hosts within {_SECONDS:g} s, fleet {seed}"
    return [
        Row(f"{what}: guests possible / placed", found.bounds["placed"], placed, 1.05, unit=""),
        Row(f"{what}: hosts used / needed", len(found.accepted), found.bounds["hosts"], 1.05, unit=""),
        Row(f"{what}: time / budget", found.seconds, _SECONDS, 1.05),
    ]
