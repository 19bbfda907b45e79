"""The simulated kernel gives the same answers through the mount as in memory, which are those of real kernels."""

import dataclasses
import os
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.sim.rules import KERNELS
from tests.conformance.answers import Answer, Record, differences, load
from tests.conformance.configurations import CONFIGURATIONS, Configuration
from tests.conformance.on_files import FIRST_TID, SLEEPERS, Files, perform
from tests.conformance.on_mount import INSTEAD, answers, carried, in_namespace, not_carried
from tests.conformance.on_simulator import Simulator
from tests.conformance.operations import Operation
from tests.conformance.sequences import sequence
from tests.effort import examples
from tests.sim.fuse.mounted import mounted, need_fuse

pytestmark = pytest.mark.slow


def _one_kernel_each() -> Iterator[str]:
    """Return every configuration with one of its kernels, in turns; ``record`` does it with all."""
    for number, name in enumerate(dict.fromkeys(each.name for each in CONFIGURATIONS.values())):
        kernels = [each for each in CONFIGURATIONS.values() if each.name == name]
        yield f"{kernels[number % len(kernels)].kernel}-{name}"


ONE_KERNEL_EACH = list(_one_kernel_each())
SHORT = {"6.1-plain", "6.12-debug", "6.18-mbps", "7.3-few-rmids", "7.3-amd-bmec"}
"""Those in ``make test``: every kernel and every kind of operation. The rules themselves are tested in memory."""

MOST_PIDS = 1 << 22
"""The highest possible tid, so that no task has a greater one."""


@pytest.fixture(scope="module", autouse=True)
def _fuse() -> None:
    need_fuse()


@pytest.fixture(scope="module")
def _namespace() -> None:
    done = in_namespace("/bin/true")
    if done.returncode and os.environ.get("CI"):
        pytest.fail(done.stderr)
    if done.returncode:
        pytest.skip(f"no private pid namespace: {done.stderr}")


@pytest.mark.usefixtures("_namespace")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.soak) for name in ONE_KERNEL_EACH]
)
def test_the_mount_answers_every_operation_as_the_real_kernel_did(name: str) -> None:
    configuration = CONFIGURATIONS[name]
    record = carried(load(configuration.golden))
    assert differences(record, *answers(configuration, record.operations)) == []


def test_every_configuration_is_tested_through_the_mount() -> None:
    assert {CONFIGURATIONS[name].name for name in ONE_KERNEL_EACH} == {each.name for each in CONFIGURATIONS.values()}
    assert {CONFIGURATIONS[name].kernel for name in ONE_KERNEL_EACH} == set(KERNELS)


def test_the_short_part_has_every_kernel_and_every_kind_of_operation() -> None:
    def kinds(names: Iterable[str]) -> set[str]:
        return {operation[0] for name in names for operation in load(CONFIGURATIONS[name].golden).operations}

    assert set(ONE_KERNEL_EACH) >= SHORT
    assert {CONFIGURATIONS[name].kernel for name in SHORT} == set(KERNELS)
    assert kinds(SHORT) == kinds(ONE_KERNEL_EACH)


def test_operations_that_fuse_cannot_carry_are_replaced_or_omitted() -> None:
    rows: list[tuple[Operation, str, Operation | None]] = [
        (("write", "tasks", ""), "ok", ("write", "tasks", "\n")),
        (("write", "mode", ""), "EINVAL", None),
        (("mkdir", "n" * 1024), "ok", ("mkdir", "n" * 1024)),
        (("mkdir", "n" * 2000), "ok", ("mkdir", "n" * 500)),
        (("rmdir", "n" * 4080), "ENAMETOOLONG", ("rmdir", "n" * 4080)),
    ]
    made = [Answer(result, "ok\n", {f"{operation[1]}/": "755"}) for operation, result, _ in rows]
    record = Record("6.1", {}, [operation for operation, _, _ in rows], made)
    assert carried(record).operations == [instead for _, _, instead in rows if instead]
    assert "n" * 500 + "/" in carried(record).answers[2].changes
    assert sorted(not_carried(record)) == sorted(INSTEAD)


class Both(NamedTuple):
    """Return the same simulated machine twice: mounted, and in memory."""

    files: Files
    simulator: Simulator
    configuration: Configuration

    def differences(self, operations: list[Operation]) -> list[str]:
        """Run the operations on both."""
        first, done = perform(self.files, operations)
        record = Record("", first, operations, [Answer(*each) for each in done])
        return differences(record, *self.simulator.answers(operations))

    def clean(self) -> None:
        """Remove all groups from both and reset their default groups and last_cmd_status."""
        paths = {*self.simulator.tree(), *self.files.tree()}
        groups = sorted({path.removesuffix("/tasks") for path in paths if path.endswith("/tasks")}, reverse=True)
        offer = self.configuration.offer
        masks = ";".join(f"{cache}={offer.full}" for cache in range(offer.caches))
        self.differences(
            [
                *(("rmdir", path) for path in groups),
                *(("write", "tasks", f"{{{name}}}\n") for name in self.simulator.tids),
                ("write", "schemata", "MB:0=100;1=100\n" + "".join(f"{name}:{masks}\n" for name in offer.resources)),
                ("write", "info/L3_MON/max_threshold_occupancy", "65536\n"),
                ("write", "mode", "shareable\n"),
            ]
        )


@pytest.fixture(scope="module", params=["6.1-cdp", "6.12-plain", "7.3-plain"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A mount and a simulator with enough RMIDs that no test waits for one."""
    configuration = CONFIGURATIONS[request.param]
    rdt = dataclasses.replace(configuration.machine.rdt, rmids=4096)
    configuration = dataclasses.replace(configuration, machine=dataclasses.replace(configuration.machine, rdt=rdt))
    directory = tmp_path_factory.mktemp("both")
    profile = directory / "profile.json"
    profile.write_bytes(msgspec.json.encode(configuration.profile))
    simulator = Simulator(configuration)
    simulator.fs.state.takes_any_tid = True
    simulator.tids = {"W": FIRST_TID} | {name: MOST_PIDS + at for at, name in enumerate(SLEEPERS, start=1)}
    with mounted(directory, "--tids", "any", profile=profile, kernel=configuration.kernel) as mount:
        yield Both(Files(str(mount.root), simulator.tids | {"W": os.getpid()}), simulator, configuration)


@settings(max_examples=examples(7), derandomize=True, database=None)
@given(source=st.randoms(use_true_random=False), length=st.integers(1, 30))
def test_random_operations_are_answered_by_the_mount_as_in_memory(
    both: Both, source: random.Random, length: int
) -> None:
    both.clean()
    operations = sequence(source, length, both.configuration.offer)
    assert both.differences([each for each in operations if each[2:] != ("",)]) == []
