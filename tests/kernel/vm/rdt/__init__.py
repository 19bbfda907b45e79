"""A model of the registers of Intel RDT and AMD PQoS: CPUID leaves and the values of MSRs, by processor and cache.

The kernel under test is not changed. Whenever it executes CPUID, RDMSR or WRMSR for one of these leaves and
registers, the trap loop asks this model for the answer. A write that a real processor answers with a fault is listed
as refused.

Masks and limits are stored, not enforced: QEMU has no cache. The counters are a simple model of a busy processor.
"""

from collections.abc import Callable, Sequence

from tests.kernel.vm.rdt.amd import AmdRegisters
from tests.kernel.vm.rdt.intel import IntelRegisters
from tests.kernel.vm.rdt.offer import Amd, Rdt
from tests.kernel.vm.rdt.registers import LOW32, Cpuid, Registers
from tests.kernel.vm.rdt.state import HwState

__all__ = ["LOW32", "Amd", "Cpuid", "HwState", "Rdt", "Registers", "registers"]


def registers(rdt: Rdt, cache_of: Sequence[int], clock: Callable[[], float]) -> Registers:
    """The registers of such a processor; ``cache_of[cpu]`` is the number of the processor's L3 cache."""
    return AmdRegisters(rdt, rdt.amd, cache_of, clock) if rdt.amd else IntelRegisters(rdt, cache_of, clock)
