"""Random mixes of simulated guests, and what the model says about each of them with any number of ways."""

import random
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from cachetune.cbm import Cbm
from cachetune.sim.contention import Flow
from cachetune.sim.workloads import Workload
from tests.service.measured import Scene

MIB = 1 << 20
PROFILE, WAY = "icelake", 3 * MIB  # it has one cache


def workload(source: random.Random) -> Workload:
    """One guest in four streams; the others use between half a way and all of the cache again and again."""
    rate = source.uniform(50, 2000) * MIB
    if source.random() < 0.25:
        return Workload(kind="streaming", bytes_per_second=rate)
    size = round(source.uniform(0.5, 11) * WAY)
    fresh = source.choice((0.0, 0.05, 0.2))
    return Workload(kind="reuse", bytes_per_second=rate, working_set_bytes=size, fresh=fresh)


def mix(directory: Path, seed: int, least: int = 2, most: int = 6) -> tuple[Scene, dict[str, Workload]]:
    """A scene whose guests run random workloads; they have random shares of eight ways of its one L3 cache."""
    source = random.Random(seed)  # noqa: S311 - a scene, no secret
    names = [f"g{n}" for n in range(source.randint(least, most))]
    cuts = [0, *sorted(source.sample(range(1, 8), len(names) - 1)), 8]
    scene = Scene(
        directory, {name: high - low for name, (low, high) in zip(names, pairwise(cuts), strict=True)}, PROFILE
    )
    works = {name: workload(source) for name in names}
    for name, work in works.items():
        scene.sim.run(name, work, [thread.tid for thread in scene.guests[name].guest.threads])
    return scene, works


def true_curve(work: Workload, ways: int) -> list[float]:
    """What the model says that a workload moves per second with 1, 2, … own ways, once it has filled them."""
    flow = Flow("web", "w", (), work.bytes_per_second, work.working_set, work.never_found, work.local)
    return [flow.wanted(min(n * WAY, work.working_set)) for n in range(1, ways + 1)]


def divisions(guests: int, ways: int) -> Iterator[tuple[int, ...]]:
    """Every division of the ways among guests, at least one each."""
    if guests == 1:
        yield (ways,)
        return
    for first in range(1, ways - guests + 2):
        yield from ((first, *rest) for rest in divisions(guests - 1, ways - first))


def best_traffic(curves: Mapping[str, list[float]], ways: int) -> float:
    """The least traffic of all divisions."""
    return min(
        sum(curve[n - 1] for curve, n in zip(curves.values(), each, strict=True))
        for each in divisions(len(curves), ways)
    )


class DirectWrites:
    """Gives masks by writing them, without a run for each; for tests of what is measured, not of how it is applied."""

    exit_code, error = 0, ""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __call__(self, masks: Mapping[str, Cbm], *_: object) -> "DirectWrites":
        for path, mask in masks.items():
            self._scene.sim.write(f"{path}/schemata", f"L3:0={mask:x}\n")
        return self
