"""The simulated kernel answers every operation as the real one does, and both read as the same host."""

from typing import Any

import msgspec
import pytest

from cachetune.host import read_host
from cachetune.host.state import Host
from cachetune.sim import SimulatedResctrl, load_profile
from tests.kernel import vm
from tests.kernel.conftest import Scenario
from tests.kernel.scenarios.conformance import Outcome
from tests.kernel.scenarios.operations import OPERATIONS, Answer, perform

pytestmark = pytest.mark.kernel
NEWER = vm.newest_package("6.12")
TIDS = {"A": 50001, "B": 50002, "C": 50003}


@pytest.fixture(scope="module", params=["plain", "cdp", *(["6.12"] if NEWER else [])])
def machines(request: pytest.FixtureRequest, scenario: Scenario) -> tuple[Outcome, SimulatedResctrl]:
    """What the real kernel did, and a simulated one of the same make that has done nothing yet.

    Besides the distribution's own kernel, 6.12 where apt knows one (Debian 12: with backports).
    """
    options = "cdp" if request.param == "cdp" else ""
    kernel = NEWER if NEWER and request.param == "6.12" else vm.Machine().kernel
    outcome, _ = scenario("conformance", Outcome, options=options, machine=vm.Machine(kernel=kernel))
    rules = "6.1" if outcome.release.startswith("6.1.") else "6.12"
    profile = load_profile("cascade-lake").mounted(*filter(None, [options]), kernel=rules)
    cache = msgspec.structs.replace(profile.caches[0], size_bytes=vm.Rdt.l3_ways * vm.Rdt.l3_way_kib * 1024)
    simulated = SimulatedResctrl(msgspec.structs.replace(profile, caches=(cache,)), kernel=rules)
    for tid in TIDS.values():
        simulated.add_task(tid)
    return outcome, simulated


@pytest.fixture(scope="module")
def answers(machines: tuple[Outcome, SimulatedResctrl]) -> list[tuple[Answer, Answer]]:
    """The real and the simulated answer to each operation."""
    outcome, simulated = machines
    return list(zip(outcome.answers, perform(simulated, TIDS), strict=True))


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=lambda n: f"{n}-{'-'.join(OPERATIONS[n])!r}")
def test_both_kernels_answer_an_operation_alike(number: int, answers: list[tuple[Answer, Answer]]) -> None:
    real, simulated = answers[number]
    assert simulated == real


def test_both_kernels_read_as_the_same_host(machines: tuple[Outcome, SimulatedResctrl]) -> None:
    outcome, simulated = machines
    assert _comparable(read_host(simulated)) == _comparable(outcome.before)
    assert _comparable(outcome.after) == _comparable(outcome.before)


def _comparable(host: Host) -> Any:
    groups = tuple(msgspec.structs.replace(group, tids=()) for group in host.groups)
    monitors = tuple(msgspec.structs.replace(monitor, max_threshold_occupancy=None) for monitor in host.monitors)
    return msgspec.structs.replace(host, source="", groups=groups, monitors=monitors)
