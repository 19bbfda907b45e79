"""Guests and hosts to assign: small ones by hand, and random ones of all simulated processors."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from msgspec.structs import replace

from cachetune.cbm import Cbm, Masks
from cachetune.domain.model import Domain
from cachetune.errors import GroupConflictError, PlanRefusedError
from cachetune.fleet.assign.problem import Limits, Problem, problem_of
from cachetune.fleet.assign.search import Control
from cachetune.fleet.model import Candidate
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.read import read_host
from cachetune.plan.build import plan_guests
from cachetune.plan.request import GuestRequest, Options
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests.drawn import drawn_domain
from tests.fleet.domains import caches, guest
from tests.fleet.random_fleet import random_fleet

SHRINK = Options(shrink_default=True)


def simulated(profile: str = "skylake-2s", **masks: str) -> Host:
    """A simulated host whose L3 masks of both caches are these, by group: default="600", cachetune_a="3"."""
    host = read_host(SimulatedResctrl(load_profile(profile)))
    ids = [(c.name, i) for c in host.caches for i in c.size_bytes]
    groups = {
        DEFAULT_GROUP if name == "default" else name.replace("_", "-", 1): Masks.of(
            (resource, i, Cbm.parse(mask)) for resource, i in ids
        )
        for name, mask in masks.items()
    }
    default = replace(host.default_group, masks=groups.pop(DEFAULT_GROUP, host.default_group.masks))
    others = (Group(path, "control", "cachetune", masks=each) for path, each in groups.items())
    return replace(host, groups=(default, *others), caches=tuple(replace(c, bit_usage={}) for c in host.caches))


def candidates(*hosts: Host) -> tuple[Candidate, ...]:
    """The hosts, called a, b, c, …"""
    return tuple(Candidate(chr(ord("a") + i), host) for i, host in enumerate(hosts))


def ways(*numbers: int, cache: int = 0, prefix: str = "g") -> tuple[GuestRequest, ...]:
    """Guests that request these numbers of ways of one cache."""
    return tuple(request(f"{prefix}{i}", caches(f"{cache}={n}ways")) for i, n in enumerate(numbers))


def request(name: str, tuning: str = "") -> GuestRequest:
    """A guest with this content of <cputune>."""
    return GuestRequest(guest(name, tuning))


def problem(
    guests: Sequence[GuestRequest], hosts: Sequence[Host], options: Options = SHRINK, limits: Limits | None = None
) -> Problem:
    """The problem of these guests and hosts."""
    return problem_of(guests, candidates(*hosts), options, limits or Limits())


def control(seconds: float = 60.0) -> Control:
    """More time than a small problem takes."""
    return Control(seconds, time.monotonic)


def random_problem(seed: int, *, guests: int, hosts: int) -> Problem:
    """Guests with requests of all kinds for what some of the hosts have, and options."""
    random = Random(seed)  # noqa: S311 - not for secrets
    profile = random.choice([None, *([name] for name in profile_names() if name != "monitor-only")])
    fleet = [Candidate(f"node-{i}", host) for i, host in enumerate(random_fleet(hosts, seed, profile))]
    options = Options(
        shrink_default=random.random() < 0.7,
        compact=random.random() < 0.4,
        rounding=random.choice([None, "up"]),
    )
    drawn = [drawn_domain(random, random.choice([fleet[0], *fleet]).host, f"g{i}") for i in range(guests)]
    return problem_of([*map(GuestRequest, drawn)], fleet, options, Limits(overcommit=True))


def mixed_guests(number: int, seed: int) -> Iterator[Domain]:
    """The guests of ``mixed_tuning``, called g0, g1, …"""
    return (guest(f"g{i}", tuning) for i, tuning in enumerate(mixed_tuning(number, seed)))


def mixed_tuning(number: int, seed: int) -> Iterator[str]:
    """Guests with one or two groups in one or both of the caches 0 and 1, and some with a limit of bandwidth."""
    random = Random(seed)  # noqa: S311 - not for secrets
    for _ in range(number):
        ids = random.choice([(0,), (0,), (0, 1), (1,)])
        tuning = caches(*(f"{each}={random.randint(2, 5)}ways" for each in ids), vcpus="0-1")
        if random.random() < 0.3:
            tuning += caches(f"0={random.randint(1, 3)}ways", vcpus="2-3")
        if random.random() < 0.3:
            share = random.choice([20, 30, 50])
            tuning += f"<memorytune vcpus='0-1'><node id='0' bandwidth='{share}'/></memorytune>"
        yield tuning


def accepts(problem: Problem, host: int, guests: Iterable[int]) -> bool:
    """Whether the real planner plans these guests together."""
    try:
        plan_guests([problem.guests[each] for each in guests], problem.candidates[host].host, problem.options)
    except (PlanRefusedError, GroupConflictError):
        return False
    return True


def best_by_trying_all(problem: Problem) -> tuple[int, int]:
    """The most guests that the real planner accepts at once, and the fewest hosts for them, of all assignments."""
    known: dict[tuple[int, tuple[int, ...]], bool] = {}
    best = (0, 0)
    for places in itertools.product([None, *range(len(problem.candidates))], repeat=len(problem.guests)):
        hosts = {
            host: tuple(guest for guest, place in enumerate(places) if place == host) for host in {*places} - {None}
        }
        for host, guests in hosts.items():
            if (host, guests) not in known:
                known[host, guests] = accepts(problem, host, guests)
            if not known[host, guests]:
                break
        else:
            best = max(best, (sum(map(len, hosts.values())), -len(hosts)))
    return best[0], -best[1]
