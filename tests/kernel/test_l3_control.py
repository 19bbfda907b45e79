"""A server processor on which Linux leaves L3 allocation off: what show says there, and that its remedy helps."""

import dataclasses
import sys

import pytest

from tests.kernel import vm
from tests.kernel.conftest import ROOT, require

pytestmark = pytest.mark.kernel
SKYLAKE = dataclasses.replace(vm.MACHINES["intel"], cpu_model=85, registers=False)


def shown(machine: vm.Machine) -> tuple[str, str]:
    """The processor's flag for L3 allocation if it has that, and what show prints."""
    require(machine.kernel)
    show = f"{sys.executable} -m cachetune.cli.main show"
    command = ["sh", "-c", f"grep -o -w -m1 cat_l3 /proc/cpuinfo; echo; {show}"]
    result = vm.run(command, env={"PYTHONPATH": str(ROOT)}, machine=machine)
    assert result.status == 0, result.stderr
    flag, _, page = result.stdout.partition("\n\n")
    return flag, page


def test_l3_that_linux_leaves_off_is_explained_and_the_remedy_turns_it_on() -> None:
    flag, page = shown(SKYLAKE)
    assert flag == "cat_l3"
    assert "The L3 caches can be monitored but not allocated: info/ has L3_MON but no L3.\n" in page
    assert "If /proc/cpuinfo has the flag cat_l3, boot with rdt=l3cat: " in page
    _, page = shown(dataclasses.replace(SKYLAKE, append="rdt=l3cat"))
    assert "L3     11 ways of 3.75 MiB\n" in page
    assert "cat_l3" not in page
