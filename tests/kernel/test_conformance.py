"""The simulated kernel answers fresh random operations as the real one does, and both read as the same host.

The long comparison is recorded: see tests/conformance.
"""

import dataclasses
import random
from typing import Any

import msgspec
import pytest

from cachetune.host import read_host
from cachetune.host.model import Host
from cachetune.sim.rules import KERNELS
from tests.conformance.answers import differences
from tests.conformance.configurations import CONFIGURATIONS
from tests.conformance.on_simulator import Simulator
from tests.conformance.record import answer
from tests.kernel.conftest import Scenario, fresh_seed, require

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_kernels_answer_random_operations_alike(kernel: str) -> None:
    require(kernel)
    seed = fresh_seed()
    choice = [each for each in CONFIGURATIONS.values() if each.kernel == kernel and each.length]
    configuration = random.Random(f"{seed} {kernel}").choice(choice)  # noqa: S311 - reproducible on purpose
    operations = dataclasses.replace(configuration, parts=()).operations(seed)
    found = differences(answer(configuration, operations), *Simulator(configuration).answers(operations))
    assert found == [], f"CACHETUNE_SEED={seed}, {kernel}-{configuration.name}"


@pytest.mark.parametrize("name", ["6.1-plain", "6.1-cdp"])
def test_both_kernels_read_as_the_same_host(name: str, scenario: Scenario) -> None:
    configuration = CONFIGURATIONS[name]
    machine = dataclasses.replace(configuration.machine, registers=False)
    host, _ = scenario("host", Host, machine=machine, options=",".join(configuration.options))
    assert _comparable(read_host(Simulator(configuration).fs)) == _comparable(host)


def _comparable(host: Host) -> Any:
    groups = tuple(msgspec.structs.replace(group, tids=()) for group in host.groups)
    return msgspec.structs.replace(host, source="", groups=groups)
