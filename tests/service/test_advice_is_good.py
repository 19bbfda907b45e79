"""How good the advice is on the model of workloads: compared with what is true there, for random guests."""

from pathlib import Path
from unittest import mock

import pytest

from cachetune.apply.run import apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan.partition import knee
from cachetune.plan.request import Options
from cachetune.service.measure import Request, measure
from cachetune.service.suggest import Measured, Situation, suggest
from tests.service.measured import Scene
from tests.service.mixes import DirectWrites, best_traffic, mix, true_curve

each_amount = pytest.mark.parametrize("mixes", [12, pytest.param(50, marks=pytest.mark.soak)])


def advised(scene: Scene) -> Measured:
    """What is suggested to all guests of a scene after a measurement of three minutes."""
    guests = tuple(scene.guests.values())
    curves = measure(Request(guests=guests, cache_id=0), scene.connection, pace=scene.pace)
    ledger = load_ledger(scene.connection.run)
    now = Situation(guests, scene.connection.look(ledger), ledger, Path("/nonexistent"), Options())
    return suggest(curves, now, 180.0)


def excess(directory: Path, seed: int) -> float:
    """How much more the guests of a mix move with the division that is suggested than with the best one, as a part."""
    scene, works = mix(directory, seed)
    with mock.patch("cachetune.service.measure.arrange", DirectWrites(scene)):
        found = advised(scene)
    assert found.divided_ways is not None
    curves = {name: true_curve(work, found.divided_ways) for name, work in works.items()}
    cost = sum(curves[each.guest][each.ways - 1] for each in found.suggestions)
    best = best_traffic(curves, found.divided_ways)
    return cost / best - 1 if best > 1 else 0.0


@pytest.mark.slow
@each_amount
def test_the_division_costs_at_most_five_percent_more_traffic_than_the_best_one(mixes: int, tmp_path: Path) -> None:
    costs = {seed: excess(tmp_path / str(seed), seed) for seed in range(mixes)}
    assert max(costs.values()) <= 0.05, costs


def knee_error(directory: Path, seed: int) -> int:
    scene, works = mix(directory, seed, least=1, most=1)
    with mock.patch("cachetune.service.measure.arrange", DirectWrites(scene)):
        (curve,) = measure(Request(guests=tuple(scene.guests.values())), scene.connection, pace=scene.pace)
    return abs(curve.knee_ways - knee(true_curve(works["g0"], len(curve.values))))


@pytest.mark.slow
@each_amount
def test_the_knee_of_a_lone_guest_is_found_within_one_way(mixes: int, tmp_path: Path) -> None:
    errors = [knee_error(tmp_path / str(seed), seed) for seed in range(mixes)]
    assert max(errors) <= 1


def test_the_division_is_planned_and_applied_as_it_is_suggested(tmp_path: Path) -> None:
    """All the way: with runs, a plan, and the guests' final masks."""
    scene, _ = mix(tmp_path, 3)
    found = advised(scene)
    assert scene.schemata() == scene.before
    assert found.plan is not None, found.findings
    assert apply(found.plan, scene.connection).outcome == "done"
    for each in found.suggestions:
        assert int(scene.mask(each.guest), 16).bit_count() == each.ways
        assert each.command == f"cachetune set {each.guest} --l3 0={each.ways}ways"
    assert found.bytes_per_second <= found.before_bytes_per_second
