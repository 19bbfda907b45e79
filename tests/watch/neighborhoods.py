"""Random hosts on which guests share caches, in the model of ``cachetune.sim.contention``, and who hurts whom there.

Who hurts is not read from any counter: the same host runs again without a guest, and what each of the others reads from
memory then is compared with what it reads beside it. A guest *hurts* a neighbor that reads at least a third more with
it, and at least 8 MiB/s more. A host is *calm* if no neighbor of any guest reads more than 8 % and 2 MiB/s more because
of that guest. An *aggressor* is a guest that comes to a calm host and hurts a neighbor, while it does not read much
more there than alone. All other hosts, such as those where two hurt each other or one hurts a little, are neither, and
left out.
"""

import json
import math
import random
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from cachetune.cbm import Cbm
from cachetune.sim.contention import Flow, SharedCache
from cachetune.watch.usage import Cache, Moment, Usage

MIB = 1 << 20
SAMPLES, INTERVAL = 30, 1.0
NEWCOMER = "newcomer"
_HURTS, _HURTS_BYTES = 4 / 3, 8 * MIB
_CALM, _CALM_BYTES = 1.08, 2 * MIB
_COUNTER_STEP = 65536
_TIDY = 0.75


class Phase(NamedTuple):
    """A workload runs at this part of its rate after ``start``, in seconds from the first sample."""

    start: float
    part: float


class Tenant(NamedTuple):
    """A guest, or the default group (""), and what it runs."""

    name: str
    mask: int
    in_default: bool
    rate: float
    working_set: float
    fresh: float
    phases: tuple[Phase, ...]
    caches: tuple[int, ...]

    def part_at(self, when: float) -> float:
        return next((phase.part for phase in reversed(self.phases) if phase.start <= when), 0.0)


class Neighborhood(NamedTuple):
    """A host. Its tenants are the default group, and guests."""

    ways: int
    way_bytes: int
    caches: int
    warm_up: float
    noise: float
    tenants: tuple[Tenant, ...]

    def without(self, name: str) -> "Neighborhood":
        return self._replace(tenants=tuple(tenant for tenant in self.tenants if tenant.name != name))

    def classes(self) -> dict[int, list[int]]:
        """The ways, by the tenants (bits) that may fill them."""
        found: dict[int, list[int]] = {}
        for way in range(self.ways):
            bits = sum(1 << number for number, tenant in enumerate(self.tenants) if tenant.mask >> way & 1)
            found.setdefault(bits, []).append(way)
        return found


class _Space(NamedTuple):
    """Which ways a tenant may get: those of the default group, those that some guests share, or a few others.

    On a ``tidy`` host these do not overlap, as cachetune and libvirt place guests.
    """

    size: float
    caches: int
    default: int
    shared: int
    own: list[int]

    def mask(self, rng: random.Random) -> tuple[int, bool]:
        where = rng.random()
        if where < 0.4:
            return self.default, True
        if where < 0.7 or not self.own:
            return self.shared, False
        return self.own.pop(0), False


def seeded(seed: int) -> random.Random:
    """The same numbers each time."""
    return random.Random(seed)  # noqa: S311 - nothing secret


def draw(rng: random.Random) -> tuple[Neighborhood, Tenant]:
    """A host with the default group and 1 to 5 guests, and one more guest that may come to it."""
    ways, caches = rng.choice((11, 12, 15, 16, 20)), rng.choice((1, 2))
    way_bytes = int(rng.choice((1, 1.25, 1.5, 2, 2.25, 4)) * MIB)
    space = _Space(ways * way_bytes, caches, *(_tidy if rng.random() < _TIDY else _untidy)(rng, ways))
    default = _tenant(rng, "", space, (20, 500), 0.0)._replace(mask=space.default, in_default=True)
    guests = [_tenant(rng, f"guest{number}", space, (20, 4000), 0.25) for number in range(rng.randint(1, 5))]
    host = Neighborhood(ways, way_bytes, caches, rng.uniform(0, 60), rng.uniform(0.0, 0.05), (default, *guests))
    return host, _tenant(rng, NEWCOMER, space, (200, 10_000), 0.5)


def _tidy(rng: random.Random, ways: int) -> tuple[int, int, list[int]]:
    """From the top: the ways of the default group, those of a class that guests share, and some for other guests."""
    start = rng.randint(ways // 4, ways * 3 // 4)
    middle = rng.randint(start // 2, start - 1)
    cuts = sorted(rng.sample(range(1, middle), min(rng.randint(0, 4), middle - 1))) if middle > 1 else []
    own = [_run(low, high) for low, high in pairwise([0, *cuts, middle])] if middle else []
    return _run(start, ways), _run(middle, start), own


def _untidy(rng: random.Random, ways: int) -> tuple[int, int, list[int]]:
    """Any ways, as others write masks by hand."""
    own = [_run(start, start + rng.randint(1, 3)) for start in (rng.randrange(ways - 3) for _ in range(7))]
    return _run(rng.randint(0, ways // 2), ways), _run(*sorted(rng.sample(range(ways + 1), 2))), own


def _run(start: int, end: int) -> int:
    return (1 << end) - (1 << start)


def _tenant(rng: random.Random, name: str, space: _Space, rates: tuple[float, float], streaming: float) -> Tenant:
    """Any workload at one of these rates (MiB/s): of any size, streaming (with a probability) or not, steady or not."""
    mask, in_default = space.mask(rng)
    streams = rng.random() < streaming
    return Tenant(
        name=name,
        mask=mask,
        in_default=in_default,
        rate=math.exp(rng.uniform(*map(math.log, rates))) * MIB,
        working_set=math.inf if streams else math.exp(rng.uniform(math.log(0.02), math.log(1.2))) * space.size,
        fresh=1.0 if streams else rng.choice((0.0, 0.02, 0.1)),
        phases=tuple(_phases(rng)),
        caches=tuple(range(space.caches)) if rng.random() < 0.5 else (rng.randrange(space.caches),),
    )


def _phases(rng: random.Random) -> Iterator[Phase]:
    """Always on, starting or ending within the samples, in bursts, or with a changing rate."""
    kind = rng.random()
    if kind < 0.5:
        yield Phase(-1e9, 1.0)
    elif kind < 0.65:
        yield Phase(rng.uniform(-10, 20), 1.0)
    elif kind < 0.75:
        yield from (Phase(-1e9, 1.0), Phase(rng.uniform(5, 30), 0.0))
    else:
        low, period = rng.choice((0.0, 0.3, 0.6)), rng.uniform(4, 15)
        for number in range(math.ceil(SAMPLES * INTERVAL / period) + 1):
            yield Phase(-1e9 if number == 0 else number * period, (1.0, low)[number % 2])


class Run(NamedTuple):
    """What the tenants held at each sample and had transferred, by cache and name."""

    held: Mapping[tuple[int, str], Sequence[float]]
    moved: Mapping[tuple[int, str], Sequence[float]]

    def transferred(self, name: str) -> float:
        return sum(row[-1] - row[0] for (_, who), row in self.moved.items() if who == name)


def simulate(host: Neighborhood) -> Run:
    """Run a host."""
    held: dict[tuple[int, str], list[float]] = {}
    moved: dict[tuple[int, str], list[float]] = {}
    classes = host.classes()
    changes = sorted({phase.start for tenant in host.tenants for phase in tenant.phases if phase.start > -host.warm_up})
    for cache_id in range(host.caches):
        now = [-host.warm_up]
        sizes = [len(ways) * host.way_bytes for ways in classes.values()]
        shared = SharedCache(sizes, partial(_flows, host, classes, cache_id, now), now[0])
        pending = list(changes)
        for sample in range(SAMPLES + 1):
            time = sample * INTERVAL
            while pending and pending[0] <= time:
                shared.change(pending[0])
                now[0] = pending.pop(0) + 1e-9
            for tenant in host.tenants:
                held.setdefault((cache_id, tenant.name), []).append(shared.occupancy(tenant.name, time))
                moved.setdefault((cache_id, tenant.name), []).append(shared.traffic(tenant.name, time).total)
    return Run(held, moved)


def _flows(host: Neighborhood, classes: Collection[int], cache_id: int, now: Sequence[float]) -> Iterator[Flow]:
    for number, tenant in enumerate(host.tenants):
        rate = tenant.rate * tenant.part_at(now[0])
        if rate and cache_id in tenant.caches:
            ways = tuple(place for place, bits in enumerate(classes) if bits >> number & 1)
            yield Flow(tenant.name, "work", ways, rate, tenant.working_set, tenant.fresh, 0.75)


class Scene(NamedTuple):
    """A host that can be drawn again from ``seed``; with ``crowded``, its aggressor has come to it."""

    seed: int
    crowded: bool

    @property
    def aggressor(self) -> str | None:
        return NEWCOMER if self.crowded else None

    def host(self) -> Neighborhood:
        host, newcomer = draw(seeded(self.seed))
        return host._replace(tenants=(*host.tenants, newcomer)) if self.crowded else host


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Calm hosts, each followed by the same with an aggressor if one comes to it."""
    while True:
        seed = rng.getrandbits(53)
        for crowded in (False, True):
            if not is_right(Scene(seed, crowded)):
                break
            yield Scene(seed, crowded)


def is_right(scene: Scene) -> bool:
    """Whether a scene is what it says: calm, or calm without its aggressor, which hurts but is not hurt."""
    host, newcomer = draw(seeded(scene.seed))
    run = simulate(host)
    guests = [tenant.name for tenant in host.tenants if tenant.name]
    if not scene.crowded:
        return all(is_calm(run, simulate(host.without(guest))) for guest in guests)
    with_it = simulate(scene.host())
    return hurts(with_it, run) and is_calm(with_it, simulate(host._replace(tenants=(newcomer,))))


def is_calm(together: Run, alone: Run) -> bool:
    """Whether no tenant of both reads much more in the first."""
    return all(more <= _CALM * less or more - less <= _CALM_BYTES for more, less in _reads(together, alone))


def hurts(together: Run, alone: Run) -> bool:
    """Whether a tenant of both reads a lot more in the first."""
    return any(more >= _HURTS * less and more - less >= _HURTS_BYTES for more, less in _reads(together, alone))


def _reads(together: Run, alone: Run) -> Iterator[tuple[float, float]]:
    """What each tenant reads from memory, in bytes per second, in both."""
    seconds = SAMPLES * INTERVAL
    for name in sorted({name for _, name in alone.moved}):
        yield together.transferred(name) / seconds, alone.transferred(name) / seconds


def moments_of(host: Neighborhood, run: Run, rng: random.Random) -> list[Moment]:
    """What a watcher sees: counters in steps and with noise; guests in the default group have monitor groups."""

    def blurred(value: float) -> float:
        return max(0.0, value * (1 + rng.gauss(0, host.noise)))

    found = []
    for sample in range(1, SAMPLES + 1):
        usages = []
        for cache_id in range(host.caches):
            values = {}
            for tenant in host.tenants:
                held, moved = run.held[cache_id, tenant.name], run.moved[cache_id, tenant.name]
                occupancy = int(blurred(held[sample])) // _COUNTER_STEP * _COUNTER_STEP
                values[tenant] = occupancy, blurred((moved[sample] - moved[sample - 1]) / INTERVAL)
            inside = [values[tenant] for tenant in host.tenants if tenant.in_default]
            for tenant in host.tenants:
                occupancy, rate = values[tenant]
                if not tenant.name:
                    occupancy, rate = sum(held for held, _ in inside), sum(each for _, each in inside)
                path = "." if not tenant.name else f"mon_groups/{tenant.name}" if tenant.in_default else tenant.name
                kind = "monitor" if path.startswith("mon_groups/") else "control"
                usages.append(
                    Usage(path, tenant.name or None, kind, cache_id, Cbm(tenant.mask), occupancy, rate, rate * 0.75)
                )
        caches = tuple(Cache(i, host.ways * host.way_bytes, host.ways) for i in range(host.caches))
        found.append(Moment(1000.0 + sample * INTERVAL, caches, tuple(usages)))
    return found


def record(seed: int, wanted: int) -> str:
    """The seeds of the first ``wanted`` scenes of each kind, as ``tests/golden/noisy/scenes.json`` has them."""
    found: dict[bool, list[int]] = {False: [], True: []}
    for scene in scenes(seeded(seed)):
        if len(found[scene.crowded]) < wanted:
            found[scene.crowded].append(scene.seed)
        if all(len(seeds) == wanted for seeds in found.values()):
            break
    return json.dumps({"seed": seed, "calm": found[False], "aggressor": found[True]}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(record(int(sys.argv[1]), int(sys.argv[2])))
