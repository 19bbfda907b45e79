"""A boot that hangs, as one of thousands does, is repeated; a kernel that never boots is an error."""

from collections.abc import Callable

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
