"""Runs that begin at the same moment, each in its own process, on a real kernel: one after the other, and all right."""

from itertools import pairwise

import pytest

from cachetune.host.resctrl.schemata import parse
from tests.kernel import vm
from tests.kernel.conftest import Count, FileOf, Scenario
from tests.kernel.domains import ONE_VCPU
from tests.kernel.scenarios.together import NAMES, Moment, Outcome

pytestmark = pytest.mark.kernel
TIMES = [5, pytest.param(20, marks=pytest.mark.soak)]  # moments of each kind
WAYS = 2


@pytest.fixture(scope="module", params=TIMES)
def times(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def outcome(times: int, scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = vm.Machine(sockets=1, registers=False)
    found: Outcome = scenario("together", Outcome, str(times), file_of(ONE_VCPU), machine=machine)[0]
    return found


def test_simultaneous_runs_wait_for_the_lock_and_get_it_one_by_one(outcome: Outcome, record_property: Count) -> None:
    moments = (*outcome.same, *outcome.different, *outcome.removed)
    record_property("moments", len(moments))
    record_property("runs", sum(len(moment.runs) for moment in moments))
    for moment in moments:
        runs = sorted(moment.runs, key=lambda run: run.held)
        assert max(run.asked for run in runs) < runs[0].held[0]
        assert all(first.held[1] <= second.held[0] for first, second in pairwise(runs))


def test_of_two_runs_for_one_guest_the_second_finds_nothing_to_do(times: int, outcome: Outcome) -> None:
    assert len(outcome.same) == times
    for moment in outcome.same:
        assert sorted(run.outcome for run in moment.runs) == ["done", "nothing to do"]
        _is_right(moment, outcome.guests, "first")


def test_two_runs_for_different_guests_both_succeed(times: int, outcome: Outcome) -> None:
    assert len(outcome.different) == times
    for moment in outcome.different:
        assert [run.outcome for run in moment.runs] == ["done", "done"]
        _is_right(moment, outcome.guests, *NAMES)


def test_three_removals_all_succeed_and_leave_nothing(times: int, outcome: Outcome) -> None:
    assert len(outcome.removed) == times
    for moment in outcome.removed:
        assert [run.outcome for run in moment.runs] == ["done"] * 3
        _is_right(moment, outcome.guests)
    assert outcome.differs == ()


def _is_right(moment: Moment, guests: dict[str, int], *names: str) -> None:
    """Whether exactly these guests have groups, each with its thread and its own ways."""
    paths = {f"cachetune-{name}-vcpus_0": guests[name] for name in names}
    left = tuple(sorted(tid for name, tid in guests.items() if name not in names))
    assert moment.tids == {".": left} | {path: (tid,) for path, tid in paths.items()}
    assert set(moment.owned) == set(paths)
    masks = {path: parse(text).masks["L3"][0] for path, text in moment.schemata.items()}
    assert all(masks[path].bit_count() == WAYS for path in paths)
    assert sum(mask.bit_count() for mask in masks.values()) == vm.Rdt().l3_ways
