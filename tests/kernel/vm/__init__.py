"""A real resctrl file system without RDT hardware: a kernel in QEMU whose RDT instructions a model answers.

A command, a machine and mount options go in; what the command printed, its exit status and the registers that
the kernel wrote come out. Needs the Debian packages qemu-system-x86, busybox-static and zstd, and fetches a
kernel's packages on first use. A run takes some four seconds longer than its command, unless one of ``Machines`` stays
booted; never use it to judge performance. As a command: ``python -m tests.kernel.vm -- cat /sys/fs/resctrl/schemata``.
"""

from tests.kernel.vm.kernels import Kernel
from tests.kernel.vm.machine import MACHINES, Machine
from tests.kernel.vm.packages import NEWEST, VmError
from tests.kernel.vm.rdt import Amd, HwState, Rdt
from tests.kernel.vm.run import Machines, Result, missing, prepare, run

__all__ = [
    "MACHINES",
    "NEWEST",
    "Amd",
    "HwState",
    "Kernel",
    "Machine",
    "Machines",
    "Rdt",
    "Result",
    "VmError",
    "missing",
    "prepare",
    "run",
]
