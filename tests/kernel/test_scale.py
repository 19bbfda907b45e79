"""Guests with 64 vCPUs each on a real kernel with 16 CLOSIDs: first one is tuned, then all others at once.

There are four, and fifteen in ``make soak``: as many as have CLOSIDs.
"""

import pytest

from tests.kernel.conftest import Scenario
from tests.kernel.scenarios.fleet import Outcome
from tests.kernel.vm import Machine, Rdt

pytestmark = pytest.mark.kernel
VCPUS = 64
# As many ways as CLOSIDs: one for each guest and one for all others.
RDT = Rdt(l3_ways=16, l3_way_kib=2048, l3_shareable=0, l3_closids=16, mba_closids=0)


@pytest.fixture(scope="module", params=[4, pytest.param(15, marks=pytest.mark.soak)])
def guests(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def outcome(guests: int, scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("fleet")
    machine = Machine(registers=False, rdt=RDT)
    found, _ = scenario("fleet", Outcome, str(guests), str(VCPUS), str(directory), machine=machine)
    assert isinstance(found, Outcome)
    return found


def test_all_threads_are_in_the_groups_of_their_guests_and_monitors(guests: int, outcome: Outcome) -> None:
    assert sum(len(guest.vcpus) for guest in outcome.guests) == guests * VCPUS
    assert outcome.tids == outcome.expected()


def test_strace_counts_few_more_operations_than_the_minimum(outcome: Outcome) -> None:
    """6.1 takes one thread in each write."""
    assert 1 <= outcome.first.ratio(lists=False) <= 1.5
    assert 1 <= outcome.others.ratio(lists=False) <= 1.5
