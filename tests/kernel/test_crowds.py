"""Threads that end while they are moved, and that come and go by the hundred, on a real kernel."""

import pytest

from tests.kernel.conftest import Count, FileOf, Scenario
from tests.kernel.domains import WHOLE_PROCESS
from tests.kernel.hosts import host
from tests.kernel.scenarios.crowds import Outcome

pytestmark = pytest.mark.kernel
THREADS, ENDING, TIMES = 500, 50, 5


# 6.1 moves threads one by one, later kernels in lists, which stop at the first that has ended.
@pytest.fixture(scope="module", params=["6.1", "newest", pytest.param("6.12", marks=pytest.mark.soak)])
def outcome(request: pytest.FixtureRequest, scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = host(request.param, sockets=1, registers=False)
    words = (str(THREADS), str(ENDING), str(TIMES), file_of(WHOLE_PROCESS))
    found: Outcome = scenario("crowds", Outcome, *words, machine=machine)[0]
    return found


def test_threads_that_end_during_the_move_are_reported_and_all_others_moved(outcome: Outcome) -> None:
    ended = outcome.ended
    assert len(ended.threads) == THREADS + 1
    assert ended.report.outcome == "done"
    assert set(ended.report.vanished_tids) == set(ended.threads).difference(ended.left)
    assert len(ended.report.vanished_tids) == ENDING
    assert ended.inside == ended.left


def test_no_thread_is_missed_while_threads_start_and_end(outcome: Outcome, record_property: Count) -> None:
    births, seconds = (sum(getattr(run, what) for run in outcome.churned) for what in ("births", "seconds"))
    record_property("threads started a second", round(births / seconds))
    assert [run.apply.outcome for run in outcome.churned] == ["done"] * TIMES
    assert [run.remove.outcome for run in outcome.churned] == ["done"] * TIMES
    assert [run.outside for run in outcome.churned if run.outside] == []
    assert sum(len(run.apply.vanished_tids) + len(run.apply.late_tids) for run in outcome.churned) > 0
    assert outcome.differs == ()
