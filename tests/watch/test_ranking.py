"""Who takes cache from others: rules one by one, and how often the ranking is right on random hosts."""

import json
from pathlib import Path

import pytest

from cachetune.watch.ranking import Ranked, Ranking, rank
from cachetune.watch.usage import Moment
from tests.watch.neighborhoods import Scene, is_right, moments_of, seeded, simulate
from tests.watch.neighbors import MIB, calm, crowd, moments, use

SCENES = json.loads((Path(__file__).parents[1] / "golden/noisy/scenes.json").read_text())


def noisy(ranking: Ranking) -> list[str]:
    return [one.name for one in ranking.noisy]


def named(ranking: Ranking, name: str) -> Ranked:
    return next(one for one in ranking.ranked if one.name == name)


def test_a_guest_that_holds_more_than_an_equal_share_of_full_ways_takes_from_one_that_reads_again() -> None:
    ranking = rank(moments(*[crowd()] * 5))
    assert noisy(ranking) == ["batch"]
    (cache,) = ranking.ranked[0].caches
    assert cache.bandwidth_share == pytest.approx(4000 / 4900)
    assert cache.occupancy_bytes == 17 * MIB
    assert cache.equal_share_bytes == pytest.approx(22 * MIB / 3, abs=1)
    assert cache.beyond_bytes == pytest.approx(17 * MIB - 22 * MIB / 3, abs=1)
    assert {each.name: (each.shared_ways, each.hurt) for each in cache.neighbors} == {
        ".": (11, True),
        "web": (11, True),
    }
    assert ranking.without == ()


def test_nothing_is_taken_from_a_guest_with_separate_ways_however_much_bandwidth_there_is() -> None:
    ranking = rank(moments(*[calm()] * 5))
    assert noisy(ranking) == []
    assert ranking.ranked[0].name == "batch", "sorted by bandwidth"
    assert named(ranking, "batch").caches[0].bandwidth_share == pytest.approx(4000 / 4070)
    assert ranking.without == ("L3 cache 0: no two guests or groups share ways",)


def test_nothing_is_taken_while_there_is_room() -> None:
    ranking = rank(moments(*[crowd(batch=9)] * 5))
    assert noisy(ranking) == []
    assert ranking.without == ("L3 cache 0: the ways that are shared have room",)


def test_nothing_is_taken_from_a_neighbor_that_reads_little() -> None:
    quiet = [*crowd()[:2], use("mon_groups/cachetune-web-vcpus_0-1", 3, 0.5, guest="web")]
    assert noisy(rank(moments(*[quiet] * 5))) == []


def test_a_slow_guest_cannot_have_taken_more_than_it_reads() -> None:
    assert noisy(rank(moments(*[crowd(rate=3)] * 5))) == []


def test_the_default_group_counts_without_the_guests_in_it() -> None:
    usages = [use(".", 21, 4800), use("mon_groups/cachetune-web-vcpus_0", 3, 800, guest="web")]
    ranking = rank(moments(*[usages] * 5))
    assert noisy(ranking) == ["."]
    assert ranking.ranked[0].title == "the default group"
    assert ranking.ranked[0].caches[0].bytes_per_second == 4000 * MIB


def test_a_neighbor_that_reads_as_much_whatever_it_holds_streams_and_loses_nothing() -> None:
    phases = [crowd(batch=17, web=3), crowd(batch=13, web=7)] * 5
    assert noisy(rank(moments(*phases))) == ["batch"], "the default group is still hurt"
    (cache,) = named(rank(moments(*phases)), "batch").caches
    assert [each.name for each in cache.hurts] == ["."]


def test_whose_occupancy_fell_while_that_of_another_rose_is_in_the_evidence() -> None:
    steps = [crowd(batch=10 + step, web=10 - step) for step in range(9)]
    (cache,) = named(rank(moments(*steps)), "batch").caches
    web = next(each for each in cache.neighbors if each.name == "web")
    assert (web.correlation, web.samples) == (pytest.approx(-1), 9)
    (short,) = named(rank(moments(*steps[:7])), "batch").caches
    assert {each.correlation for each in short.neighbors} == {None}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "0 samples with rates, and at least 3 are needed"),
        (moments(*[crowd()] * 2), "2 samples with rates, and at least 3 are needed"),
        (moments(*[[use(".", None, 5), use("x", None, 7)]] * 3), "L3 cache 0: no occupancy is counted"),
        (moments(*[[use(".", 5, None), use("x", 7, None)]] * 3), "L3 cache 0: no memory bandwidth is counted"),
    ],
)
def test_it_says_why_there_is_no_evidence(found: list[Moment], reason: str) -> None:
    ranking = rank(found)
    assert noisy(ranking) == []
    assert ranking.without == (reason,)


def test_the_first_moment_has_no_rates_and_is_no_sample() -> None:
    first = [use(usage.path, 1, None, guest=usage.guest) for usage in crowd()]
    ranking = rank(moments(first, *[crowd()] * 3))
    assert (ranking.samples, ranking.began, ranking.ended) == (3, 1000.0, 1003.0)
    assert noisy(ranking) == ["batch"]


def test_a_guest_that_ends_in_between_is_ranked_by_what_it_did() -> None:
    assert noisy(rank(moments(*[crowd()] * 6, *[crowd()[:1]] * 2)))[0] == "batch"


def share_right(scenes: list[Scene]) -> float:
    right = 0
    for scene in scenes:
        host = scene.host()
        found = noisy(rank(moments_of(host, simulate(host), seeded(scene.seed))))
        right += found[:1] == [scene.aggressor] if scene.aggressor else not found
    return right / len(scenes)


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [50, pytest.param(200, marks=pytest.mark.soak)])
def test_the_aggressor_is_named_first_on_random_hosts_and_no_guest_on_calm_ones(hosts: int) -> None:
    calm_hosts = [Scene(seed, crowded=False) for seed in SCENES["calm"][:hosts]]
    crowded = [Scene(seed, crowded=True) for seed in SCENES["aggressor"][:hosts]]
    assert (len(calm_hosts), len(crowded)) == (hosts, hosts)
    assert share_right(crowded) >= 0.95
    assert share_right(calm_hosts) >= 0.95


@pytest.mark.slow
def test_the_recorded_scenes_are_what_they_say_when_hosts_run_without_each_guest() -> None:
    assert all(is_right(Scene(seed, crowded)) for crowded in (False, True) for seed in _some(crowded=crowded))


def _some(*, crowded: bool) -> list[int]:
    seeds: list[int] = SCENES["aggressor" if crowded else "calm"]
    return seeds[::40]
