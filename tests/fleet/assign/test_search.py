"""Assignments: the exact ones are the best there are, and the real planner accepts every one."""

import sys

import pytest
from msgspec.structs import replace

from cachetune.fleet.assign.confirm import Accepted, Planner, Refused
from cachetune.fleet.assign.load import Cut
from cachetune.fleet.assign.problem import Limits, Problem, problem_of
from cachetune.fleet.assign.search import Control, Outcome, Progress, Search, assign
from cachetune.fleet.model import Candidate
from cachetune.plan.request import GuestRequest, Options
from tests.fleet.assign.instances import (
    SHRINK,
    accepts,
    best_by_trying_all,
    control,
    mixed_guests,
    problem,
    random_problem,
    request,
    simulated,
    ways,
)
from tests.fleet.domains import caches
from tests.fleet.random_fleet import random_fleet


def placed(outcome: Outcome) -> int:
    return len(outcome.places) - outcome.places.count(None)


def by_host(outcome: Outcome) -> list[list[int]]:
    """The guests of each host that has some, sorted."""
    return sorted(sorted(found.order) for found in outcome.accepted.values())


def without_ortools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)


@pytest.mark.parametrize("seed", range(20))
def test_the_exact_search_is_as_good_as_trying_all_assignments(seed: int) -> None:
    instance = random_problem(seed, guests=4 - seed % 2, hosts=2 + seed % 2)
    outcome = assign(instance, control())
    assert (placed(outcome), len(outcome.accepted)) == best_by_trying_all(instance)
    assert outcome.bounds["placed"] == placed(outcome)


@pytest.mark.parametrize("seed", range(100, 106))
def test_the_planner_accepts_every_host_of_an_assignment_at_once_and_one_guest_after_another(seed: int) -> None:
    instance = random_problem(seed, guests=16, hosts=6)
    search = Search(instance, control(5.0))
    exact, greedy = search.exact(), Search(instance, control()).greedy()
    assert placed(greedy) <= placed(exact)
    for outcome in (exact, greedy):
        assert sum(len(found.order) for found in outcome.accepted.values()) == placed(outcome)
        for host, found in outcome.accepted.items():
            assert accepts(instance, host, found.order)
            assert in_turn(instance, host, found.order)


def in_turn(instance: Problem, host: int, order: tuple[int, ...]) -> bool:
    """Whether the planner accepts each guest on the host that the ones before it leave."""
    for n, guest in enumerate(order):
        before = Planner(instance).verdict(host, order[:n]) if n else None
        now = before.host if isinstance(before, Accepted) else instance.candidates[host].host
        there = replace(instance, candidates=(Candidate("", now),))
        if not accepts(there, 0, [guest]):
            return False
    return True


def test_all_guests_are_on_as_few_hosts_as_possible() -> None:
    outcome = assign(problem(ways(5, 4, 4, 5), [simulated(), simulated(), simulated()]), control())
    assert by_host(outcome) in ([[0, 1], [2, 3]], [[0, 2], [1, 3]])
    assert outcome.bounds["hosts"] == 2


def test_as_many_as_possible_are_placed_if_not_all_can_be() -> None:
    outcome = assign(problem(ways(8, 4, 5), [simulated()]), control())
    assert outcome.places == (None, 0, 0)
    assert outcome.bounds["placed"] == 2


def test_of_two_hosts_the_fuller_one_is_taken() -> None:
    fuller = simulated(default="600", cachetune_a="1f")
    outcome = assign(problem(ways(4), [simulated(), fuller]), control())
    assert outcome.places == (1,)


def test_spread_evens_out_the_shares_in_use() -> None:
    hosts = [simulated(), simulated(), simulated(default="600", cachetune_a="3f")]
    instance = problem(ways(2, 2, 2, 2), hosts)
    assert by_host(assign(instance, control(), spread=True)) in ([[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]])
    assert by_host(assign(instance, control())) == [[0, 1, 2, 3]]


def test_two_holes_are_not_one() -> None:
    holes = simulated(default="7e0", cachetune_a="4")  # 2 ways below a, 2 above
    assert assign(problem(ways(3), [holes], Options()), control()).places == (None,)
    assert assign(problem(ways(2, 2), [holes], Options()), control()).places == (0, 0)
    assert assign(problem(ways(3), [holes], Options(compact=True)), control()).places == (0,)


def test_closids_run_out_before_ways() -> None:
    full = simulated("skylake-2s", default="600", **{f"cachetune_a{i}": "1" for i in range(5)})
    assert full.closids_total == 8
    outcome = assign(problem(ways(1, 1, 1), [full]), control())
    assert placed(outcome) == 2


def test_limits_of_bandwidth_are_added_up() -> None:
    guests = [
        request(f"g{i}", f"<memorytune vcpus='0-3'><node id='0' bandwidth='{n}'/></memorytune>")
        for i, n in enumerate([60, 40, 10])
    ]
    assert placed(assign(problem(guests, [simulated()]), control())) == 2
    assert placed(assign(problem(guests, [simulated()], limits=Limits(overcommit=True)), control())) == 3


def test_guests_whose_groups_would_have_the_same_names_are_on_different_hosts() -> None:
    guests = [request("my_vm", caches("0=2ways")), request("myvm", caches("0=2ways"))]
    outcome = assign(problem(guests, [simulated(), simulated()]), control())
    assert by_host(outcome) == [[0], [1]]
    assert placed(assign(problem(guests, [simulated()]), control())) == 1


@pytest.mark.parametrize("group", ["cachetune_g0-vcpus_0-3", "cachetune_g0-vcpus_0"])
def test_a_guest_with_groups_on_a_host_stays_there(group: str) -> None:
    there = simulated(default="600", **{group: "3f"})  # what it requests now, and what it requested before
    outcome = assign(problem(ways(4, 4), [simulated(), there, simulated()]), control())
    assert outcome.places[0] == 1


def exclusive(name: str) -> GuestRequest:
    """A guest whose group may share no way with devices: the numbers do not know that."""
    domain = request(name, caches("0=2ways", "1=2ways")).domain
    return GuestRequest(replace(domain, groups=tuple(replace(each, exclusive=True) for each in domain.groups)))


def test_what_the_planner_refuses_is_excluded_and_the_search_goes_on() -> None:
    of_devices, others = simulated(default="1ff"), simulated(default="7f0")
    instance = problem([exclusive("own")], [of_devices, others], Options())
    assert [need is not None for need in instance.kinds[0].needs] == [True, True]
    assert not accepts(instance, 0, [0])
    search = Search(instance, control())
    outcome = search.exact()
    assert outcome.places == (1,)
    assert search.cuts == [Cut(frozenset({0}), ((0, 1),))]


def test_a_guest_that_is_refused_alone_is_planned_on_every_host() -> None:
    hosts = [simulated(default="1ff"), simulated(default="7f0"), simulated(default="1f0", cachetune_a="3")]
    planner = Planner(problem([exclusive("own"), *ways(2)], hosts, Options()))
    assert planner.cuts(0, (0, 1)) == [Cut(frozenset({0}), ((0, 1),))]
    hosts[2] = simulated(default="1fc", cachetune_a="3")
    planner = Planner(problem([exclusive("own"), *ways(2)], hosts, Options()))
    assert planner.cuts(0, (0, 1)) == [Cut(frozenset({0, 2}), ((0, 1),))]


def test_a_refusal_excludes_the_smallest_set_on_all_hosts_like_it() -> None:
    instance = problem([*ways(1), *ways(6, 5, prefix="wide")], [simulated(), simulated(), simulated(default="1ff")])
    planner = Planner(instance)
    verdict = planner.verdict(0, (0, 1, 2))
    assert isinstance(verdict, Refused)
    assert verdict.rule == "CT207"
    assert planner.cuts(0, (0, 1, 2)) == [Cut(frozenset({0, 1}), ((1, 1), (2, 1)))]


def fleet_problem() -> Problem:
    hosts = [Candidate(f"node-{i}", host) for i, host in enumerate(random_fleet(8, 4))]
    return problem_of([*map(GuestRequest, mixed_guests(16, 4))], hosts, SHRINK, Limits())


def test_the_same_question_has_the_same_answer() -> None:
    first, second = (assign(fleet_problem(), control()) for _ in range(2))
    assert (first.places, first.bounds) == (second.places, second.bounds)


def test_without_ortools_the_answer_is_greedy_and_has_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = assign(fleet_problem(), control())
    without_ortools(monkeypatch)
    outcome = assign(fleet_problem(), control())
    assert not outcome.exact
    assert outcome.bounds == {}
    assert 0 < placed(outcome) <= placed(exact)


def test_a_signal_ends_the_search_with_the_best_so_far() -> None:
    answers = iter([False] * 2)
    outcome = assign(fleet_problem(), control()._replace(stopped=lambda: next(answers, True)))
    assert outcome.stopped
    assert placed(outcome) > 0
    assert all(isinstance(found, Accepted) for found in outcome.accepted.values())


def test_without_time_the_answer_is_the_greedy_one() -> None:
    outcome = assign(fleet_problem(), control(0.0))
    assert outcome.places == Search(fleet_problem(), control()).greedy().places
    assert "hosts" not in outcome.bounds


def test_progress_says_how_good_the_answer_is_so_far() -> None:
    told: list[Progress] = []
    now = iter(float(n) for n in range(10_000))  # every look at the clock is a second later
    outcome = assign(fleet_problem(), Control(1000.0, lambda: next(now), on_progress=told.append))
    assert {each.goal for each in told} <= {"placed", "hosts", "left"}
    assert outcome.seconds > 0
