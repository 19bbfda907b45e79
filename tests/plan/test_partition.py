"""Dividing a cache by curves: compared with every possible division, and with the look-ahead of Qureshi and Patt."""

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.errors import InputError
from cachetune.plan.partition import Curve, divide, knee, traffic

SEEDS = range(60)


def every_division(guests: int, ways: int, least: int = 1) -> Iterator[tuple[int, ...]]:
    if guests == 1:
        yield (ways,)
        return
    for first in range(least, ways - least * (guests - 1) + 1):
        yield from ((first, *rest) for rest in every_division(guests - 1, ways - first, least))


def look_ahead(curves: Sequence[Curve], ways: int) -> list[int]:
    """As in the paper: in each round the guest whose traffic falls most per way gets as many ways as that takes."""
    shares = [1] * len(curves)
    while left := ways - sum(shares):
        _, _, winner, more = max(
            ((curve[share - 1] - curve[share + more - 1]) / more, -more, guest, more)
            for guest, (curve, share) in enumerate(zip(curves, shares, strict=True))
            for more in range(1, left + 1)
        )
        shares[winner] += more
    return shares


def random_curve(source: random.Random, ways: int) -> list[float]:
    """Convex, straight, flat, or with cliffs, where fewer than enough ways save nothing."""
    top = source.uniform(10, 1000)
    match source.choice(("stream", "linear", "convex", "cliff", "cliffs")):
        case "stream":
            return [top] * ways
        case "linear":
            enough = source.uniform(1, 1.5 * ways)
            return [top * max(0.0, 1 - n / enough) for n in range(1, ways + 1)]
        case "convex":
            power = source.uniform(0.2, 2)
            return [top / n**power for n in range(1, ways + 1)]
        case "cliff":
            enough = source.randint(1, ways)
            return [top if n < enough else top / 20 for n in range(1, ways + 1)]
        case _:
            return sorted((source.choice((top, top / 2, top / 9)) for _ in range(ways)), reverse=True)


def random_mix(seed: int) -> tuple[dict[str, list[float]], int]:
    source = random.Random(seed)  # noqa: S311 - a scene, no secret
    ways = source.choice((8, 11, 12))
    return {f"guest{n}": random_curve(source, ways) for n in range(source.randint(2, 5))}, ways


@pytest.mark.parametrize("seed", SEEDS)
def test_no_division_costs_less_traffic(seed: int) -> None:
    curves, ways = random_mix(seed)
    shares = divide(curves, ways)
    best = min(
        traffic(curves, dict(zip(curves, division, strict=True))) for division in every_division(len(curves), ways)
    )
    assert traffic(curves, shares) == pytest.approx(best)
    assert sum(shares.values()) == ways


def test_the_look_ahead_of_the_paper_never_saves_more_and_sometimes_less() -> None:
    ratios = []
    for seed in SEEDS:
        curves, ways = random_mix(seed)
        greedy = dict(zip(curves, look_ahead(list(curves.values()), ways), strict=True))
        ratios.append(traffic(curves, greedy) - traffic(curves, divide(curves, ways)))
    assert min(ratios) > -1e-6
    assert max(ratios) > 1


@given(
    st.lists(st.lists(st.floats(0, 1e12), min_size=1, max_size=16), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(0, 16),
)
def test_all_ways_are_given_and_everyone_has_the_least(curves: list[list[float]], least: int, more: int) -> None:
    names = {str(n): curve for n, curve in enumerate(curves)}
    ways = least * len(names) + more
    shares = divide(names, ways, least)
    assert sum(shares.values()) == ways
    assert min(shares.values()) >= least
    assert list(shares) == list(names)


@given(st.lists(st.lists(st.floats(0, 1e12), min_size=3, max_size=12), min_size=2, max_size=4), st.integers(1, 3))
def test_equal_shares_never_save_more(curves: list[list[float]], each: int) -> None:
    names = {str(n): curve for n, curve in enumerate(curves)}
    shares = divide(names, each * len(names))
    assert traffic(names, shares) <= traffic(names, dict.fromkeys(names, each)) * (1 + 1e-9)


def test_a_guest_is_given_the_ways_that_help_only_together() -> None:
    """One way more saves it nothing, five save all."""
    curves = {"cliff": [100.0] * 5 + [0.0] * 6, "slope": [50.0 - n for n in range(11)]}
    assert divide(curves, 11) == {"cliff": 6, "slope": 5}


def test_ways_that_save_nothing_are_divided_equally() -> None:
    assert divide({"a": [5.0], "b": [7.0], "c": [9.0]}, 11) in (
        {"a": 3, "b": 4, "c": 4},
        {"a": 4, "b": 3, "c": 4},
        {"a": 4, "b": 4, "c": 3},
    )


def test_a_rise_is_noise() -> None:
    """b's traffic with three ways is no reason to leave it two."""
    assert divide({"a": [9.0, 9.0, 9.0, 9.0], "b": [80.0, 40.0, 41.0, 1.0]}, 5) == {"a": 1, "b": 4}


def test_fewer_ways_than_guests_cannot_be_divided() -> None:
    with pytest.raises(InputError, match=r"^3 ways cannot be divided among 2 guests, at least 2 each$"):
        divide({"a": [1.0], "b": [1.0]}, 3, least=2)


@pytest.mark.parametrize(
    ("curve", "ways"),
    [
        ([700.0, 500.0, 300.0, 100.0, 0.0, 0.0, 0.0], 5),  # its working set fits
        ([700.0, 500.0, 300.0, 104.0, 101.0, 100.0, 102.0], 4),  # the rest is noise
        ([900.0] * 11, 1),  # streaming: no number of ways helps
        ([903.0, 897.0, 905.0, 899.0, 890.0], 1),  # streaming, measured
        ([0.0] * 4, 1),  # idle
        ([100.0, 100.0, 100.0, 3.0, 3.0], 4),  # a cliff
        ([100.0, 90.0, 80.0, 70.0, 60.0], 5),  # all would help: the end of what was measured
    ],
)
def test_the_knee_is_where_more_ways_hardly_help(curve: list[float], ways: int) -> None:
    assert knee(curve) == ways


def test_the_knee_is_not_below_the_least_number_of_ways() -> None:
    assert knee([100.0, 100.0, 100.0], least=2) == 2
    with pytest.raises(ValueError, match="no knee"):
        knee([100.0], least=2)


@given(st.lists(st.integers(0, 10**9).map(float), min_size=1, max_size=20))
def test_the_knee_does_not_depend_on_the_unit(curve: list[float]) -> None:
    assert knee(curve) == knee([value * 1024 for value in curve])
