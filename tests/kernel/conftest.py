"""The virtual machine for these tests. Tests are skipped without it, except in CI, where they fail."""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachetune import documents
from tests.kernel import vm
from tests.missing import skip_without

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Count = Callable[[str, object], None]  # a figure for the summary of the run: record_property
FileOf = Callable[[str], str]
Scenario = Callable[..., tuple[Any, vm.Result]]


def fresh_seed() -> int:
    """Of this test run, in all its processes; CACHETUNE_SEED sets it."""
    return int(os.environ.setdefault("CACHETUNE_SEED", str(random.randrange(1 << 32))))  # noqa: S311 - no secret


def pytest_report_header() -> str:
    return f"CACHETUNE_SEED={fresh_seed()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests counted, whether they passed or not."""
    for report in (report for of in terminalreporter.stats.values() for report in of):
        counts = getattr(report, "user_properties", ())
        if counts and report.when == "call":
            told = ", ".join(f"{number} {what}" for what, number in counts)
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {told}")


@pytest.hookimpl(wrapper=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """The tests of a module stay together, for they share its machines."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group(f"kernel {item.path.stem}"))
    return (yield)


@pytest.fixture(scope="session", autouse=True)
def bytecode() -> None:
    """Of all that machines import."""
    subprocess.run([sys.executable, "-m", "tests.kernel.bytecode"], cwd=ROOT, check=True)


def require(kernel: vm.Kernel) -> None:
    """Skip the test, or in CI fail it, if the kernel cannot be booted here."""
    if why := vm.missing(kernel):
        skip_without(f"no kernel {kernel}: {why}")


@pytest.fixture(scope="session")
def machines() -> Iterator[vm.Machines]:
    """Machines without registers stay booted for the next module that needs such a one."""
    with contextlib.closing(vm.Machines()) as machines:
        yield machines


@pytest.fixture(scope="session")
def scenario(machines: vm.Machines) -> Scenario:
    """Run a program of tests/kernel/scenarios in a machine: the document of type ``kind`` that it prints, the run."""

    def run(
        name: str, kind: type, *words: str, machine: vm.Machine = vm.MACHINES["intel"], **options: Any
    ) -> tuple[Any, vm.Result]:
        require(machine.kernel)
        command = [sys.executable, "-m", f"tests.kernel.scenarios.{name}", *words]
        result = machines.run(command, env={"PYTHONPATH": str(ROOT)}, machine=machine, **options)
        assert result.status == 0, result.stderr
        return documents.decode(result.stdout.encode(), kind, name), result

    return run


@pytest.fixture(scope="session")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> FileOf:
    """Write a domain to a new file and return its path."""

    def write(text: str) -> str:
        path = tmp_path_factory.mktemp("domain") / "domain.xml"
        path.write_text(text)
        return str(path)

    return write
