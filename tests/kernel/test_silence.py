"""A concurrent reader takes the kernel's reasons away, since Linux 7.3: an error has the right reason, or says it has
none."""

import pytest

from tests.kernel.conftest import Count, Scenario
from tests.kernel.hosts import host
from tests.kernel.scenarios.silence import Failure, Outcome

pytestmark = pytest.mark.kernel
TIMES = [10, pytest.param(100, marks=pytest.mark.soak)]  # of each kind of failure, with a read in between and without
REASONS = {
    "mkdir": "Out of CLOSIDs",
    "mask": "Mask out of range",
    "name": "Unknown or unsupported resource name 'L9'",
    "task": "No task 4194304; Error while processing task 4194304",
    "cpus": "Bad CPU list/mask",
    "mode": "Unknown or unsupported mode",
}


@pytest.fixture(scope="module", params=TIMES)
def times(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def outcome(times: int, scenario: Scenario) -> Outcome:
    found: Outcome = scenario("silence", Outcome, str(times), machine=host("newest", registers=False))[0]
    return found


def test_without_a_reader_each_failure_has_its_reason(outcome: Outcome) -> None:
    assert {failure.kind: failure.says for failure in outcome.alone} == REASONS
    assert [failure for failure in outcome.alone if failure.lost] == []


def test_with_a_reader_a_failure_never_has_a_wrong_reason(times: int, outcome: Outcome, record_property: Count) -> None:
    lost = [failure for failure in outcome.failures if not failure.says]
    record_property("failures", len(outcome.failures))
    record_property("reasons lost", len(lost))
    record_property("reads at the same time", outcome.reads)
    assert len(outcome.failures) == 2 * times * len(REASONS)
    wrong = [failure for failure in outcome.failures if failure.says not in ("", REASONS[failure.kind])]
    assert wrong == []


def test_a_read_between_a_failure_and_our_look_takes_every_reason_away(outcome: Outcome) -> None:
    """Else this kernel keeps them, and the tests here show nothing."""
    assert {failure.says for failure in outcome.failures if failure.met} == {""}


def test_an_error_whose_reason_was_lost_says_so_with_its_errno_and_a_hint(outcome: Outcome) -> None:
    lost = [failure for failure in outcome.failures if failure.met]
    assert [failure for failure in lost if not _says_that_there_is_none(failure)] == []
    errnos = {failure.kind: failure.errno for failure in outcome.alone}
    assert {failure.kind: failure.errno for failure in lost} == errnos
    assert all(failure.hint for failure in lost if failure.kind == "mkdir")


def _says_that_there_is_none(failure: Failure) -> bool:
    # A mask or a resource may be refused without a reason, so it is not known that there was one.
    return failure.kind in ("mask", "name") or (failure.lost and "kept no reason" in failure.text)
