"""A boot that hangs, as one of thousands does, is repeated; a kernel that never boots is an error. A machine that is
kept is as new for its next run.
"""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.kernel import vm
from tests.kernel.conftest import require
from tests.kernel.vm import guest, kernels

pytestmark = pytest.mark.kernel
Hang = Callable[[int], None]


@pytest.fixture
def boots() -> list[str]:
    """A line for each boot."""
    return []


@pytest.fixture
def hang(boots: list[str], monkeypatch: pytest.MonkeyPatch) -> Hang:
    """A function that makes the first N boots seem to hang."""
    require(kernels.DEFAULT_KERNEL)
    run = guest.Guest.run

    def make_hang(hanging: int) -> None:
        def counted(machine: guest.Guest, *arguments: object) -> int:
            boots.append("hangs" if len(boots) < hanging else "runs")
            with pytest.MonkeyPatch.context() as patch:
                if boots[-1] == "hangs":
                    patch.setattr(guest, "BOOT_CPU_SECONDS", 0.1)  # every boot uses more
                return run(machine, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(guest.Guest, "run", counted)

    return make_hang


def test_a_boot_that_hangs_is_repeated(hang: Hang, boots: list[str]) -> None:
    hang(1)
    assert vm.run(["echo", "booted"]).stdout == "booted\n"
    assert boots == ["hangs", "runs"]


def test_a_kernel_that_hangs_at_each_boot_is_an_error(hang: Hang, boots: list[str]) -> None:
    hang(guest.BOOTS)
    with pytest.raises(guest.BootError, match="the boot of the guest used"):
        vm.run(["true"])
    assert boots == ["hangs"] * guest.BOOTS


# A group, files, and a process that stays in the group, with one of its files open, and holds the output.
LEAVE = """
mkdir /sys/fs/resctrl/left && echo L3CODE:0=1 >/sys/fs/resctrl/left/schemata && touch /run/left /left /dev/shm/left
sh -c 'trap "" TERM; sleep 1000' </sys/fs/resctrl/left/tasks & echo $! >/sys/fs/resctrl/left/tasks
cat /sys/fs/resctrl/left/schemata; echo left >&2; exit 3
"""
LOOK = "ls /left /run/left /dev/shm/left; pgrep sleep; ls -d /sys/fs/resctrl/*; cat /sys/fs/resctrl/schemata; date +%s"


@pytest.mark.parametrize("kernel", [kernels.DEFAULT_KERNEL, vm.NEWEST])
def test_a_run_in_a_kept_machine_finds_nothing_of_the_run_before(kernel: str) -> None:
    require(kernel)
    machine = vm.Machine(sockets=1, registers=False, kernel=kernel)
    with contextlib.closing(vm.Machines()) as machines:
        fresh = machines.run(["sh", "-c", LOOK], machine=machine)
        left = machines.run(["sh", "-c", LEAVE], machine=machine, cdp=True)
        found = machines.run(["sh", "-c", LOOK], machine=machine)
    assert (left.status, left.stderr) == (3, "left\n")
    assert re.search("L3CODE:0=0*1\n", left.stdout)
    *lines, now = found.stdout.splitlines()
    *expected, before = fresh.stdout.splitlines()
    assert lines == expected
    assert "cannot access '/left'" in fresh.stderr
    assert found.stderr == fresh.stderr
    assert int(now) >= int(before)


def test_a_kept_machine_boots_once(boots: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    require(kernels.DEFAULT_KERNEL)
    made = guest.Guest.__init__

    def counted(machine: guest.Guest, *arguments: Any, **options: Any) -> None:
        boots.append("boots")
        made(machine, *arguments, **options)

    monkeypatch.setattr(guest.Guest, "__init__", counted)
    machine = vm.Machine(sockets=1, registers=False)
    with contextlib.closing(vm.Machines()) as machines:
        assert [machines.run(["echo", word], machine=machine).stdout for word in "abc"] == ["a\n", "b\n", "c\n"]
    assert boots == ["boots"]
