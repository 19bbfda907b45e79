"""What a read of a counter costs other processors; docs/how-to/watching.md has these figures."""

import pytest

from tests.kernel.conftest import Scenario
from tests.kernel.hosts import host
from tests.kernel.scenarios.reads import Outcome

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(("kernel", "switches"), [("6.1", (0, 0)), ("newest", (2, 4))])
def test_a_read_interrupts_a_processor_of_the_cache_unless_it_is_the_readers(
    kernel: str, switches: tuple[int, int], scenario: Scenario
) -> None:
    found: Outcome = scenario("reads", Outcome, machine=host(kernel, registers=False))[0]
    assert found.interrupts == {0: pytest.approx(0, abs=0.4), 1: pytest.approx(1, abs=0.4)}
    assert found.switches == {cache: pytest.approx(number, abs=0.9) for cache, number in enumerate(switches)}
