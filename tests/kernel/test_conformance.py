"""The simulated kernel answers fresh random operations as the real one does, and both read as the same host.

The long comparison is recorded: see tests/conformance. The newest kernel is compared with the rules of the last one
that was recorded: what is new in it shows here.
"""

import dataclasses
import random
from typing import Any

import msgspec
import pytest

from cachetune.host import read_host
from cachetune.host.model import Host
from tests.conformance.answers import differences
from tests.conformance.configurations import CONFIGURATIONS, Configuration
from tests.conformance.on_simulator import Simulator
from tests.conformance.record import answer
from tests.kernel.conftest import Scenario, fresh_seed, require
from tests.kernel.vm import NEWEST, Machine

pytestmark = pytest.mark.kernel
LAST_RULES = max((each.kernel for each in CONFIGURATIONS.values()), key=lambda version: [*map(int, version.split("."))])
# Kernel, the rules of the simulated kernel, the kind of processor.
BOOTED = [
    ("6.1", "6.1", "Intel"),
    (NEWEST, LAST_RULES, "Intel"),
    *(pytest.param(NEWEST, LAST_RULES, kind, marks=pytest.mark.soak) for kind in ("AMD", "SNC")),
    pytest.param("6.12", "6.12", "Intel", marks=pytest.mark.soak),
]


def kind_of(machine: Machine) -> str:
    """The kind of its processor."""
    return "AMD" if machine.rdt.amd else "SNC" if machine.rdt.snc_nodes > 1 else "Intel"


@pytest.mark.parametrize(("kernel", "rules", "kind"), BOOTED)
def test_both_kernels_answer_random_operations_alike(kernel: str, rules: str, kind: str) -> None:
    require(kernel)
    seed = fresh_seed()
    choice = [e for e in CONFIGURATIONS.values() if e.kernel == rules and kind_of(e.machine) == kind and e.length]
    configuration = random.Random(f"{seed} {kernel}").choice(choice)  # noqa: S311 - reproducible on purpose
    operations = dataclasses.replace(configuration, parts=()).operations(seed)
    found = differences(answer(_on(kernel, configuration), operations), *Simulator(configuration).answers(operations))
    assert found == [], f"CACHETUNE_SEED={seed}, {kernel}, {configuration.name}"


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("6.1", "6.1-cdp"),
        (NEWEST, f"{LAST_RULES}-amd"),
        pytest.param("6.1", "6.1-plain", marks=pytest.mark.soak),
        pytest.param(NEWEST, f"{LAST_RULES}-snc", marks=pytest.mark.soak),
    ],
)
def test_both_kernels_read_as_the_same_host(kernel: str, name: str, scenario: Scenario) -> None:
    configuration = CONFIGURATIONS[name]
    machine = dataclasses.replace(_on(kernel, configuration).machine, kernel=kernel)
    host, _ = scenario("host", Host, machine=machine, options=",".join(configuration.options))
    assert _comparable(read_host(Simulator(configuration).fs)) == _comparable(host)


def _on(kernel: str, configuration: Configuration) -> Configuration:
    """The configuration on a kernel, without registers (it is quicker) but for AMD's: they have the kinds of events."""
    machine = configuration.machine
    machine = dataclasses.replace(machine, registers=kind_of(machine) == "AMD")
    return dataclasses.replace(configuration, kernel=kernel, machine=machine)


def _comparable(host: Host) -> Any:
    groups = tuple(msgspec.structs.replace(group, tids=()) for group in host.groups)
    topology = msgspec.structs.replace(host.topology, nodes={})  # the machine's, which no profile describes
    return msgspec.structs.replace(host, source="", groups=groups, topology=topology)
