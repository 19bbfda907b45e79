"""The machine for these tests: had, or named as the reason to skip; in CI it must be had."""

import os

import pytest

from tests.kernel import vm


@pytest.fixture(scope="session", autouse=True)
def virtual_machine() -> None:
    try:
        vm.prepare()
    except vm.VmError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no virtual machine: {error}")
        pytest.skip(f"no virtual machine: {error}")
