"""The hosts of these tests: a kernel, and a processor. Ways have the same size on all of them, so that one domain
fits all.

6.1 is the kernel of Debian 12, 6.12 that of Debian 13, and "newest" that of its backports. The newest kernel is
booted on Intel, on AMD, with Sub-NUMA clusters, and with L2 masks.
"""

import dataclasses
from typing import Any, Final

from tests.kernel import vm
from tests.kernel.vm import NEWEST, Machine

# A kernel parameter. The kernel reads all counters of traffic each second, and each read stops a machine with
# registers.
NO_MBM: Final = "rdt=!mbmtotal,!mbmlocal"
WAY_KIB: Final = vm.Rdt().l3_way_kib
_INTEL, _AMD, _SNC, _L2 = (vm.MACHINES[name] for name in ("intel", "amd", "snc", "sparse-l2"))

HOSTS: Final = {
    "6.1": _INTEL,
    "6.12": dataclasses.replace(_INTEL, kernel="6.12"),
    "newest": dataclasses.replace(_INTEL, kernel=NEWEST),
    "newest, AMD": dataclasses.replace(
        _AMD, kernel=NEWEST, rdt=dataclasses.replace(_AMD.rdt, l3_way_kib=WAY_KIB, rmids=64)
    ),
    "newest, SNC": dataclasses.replace(_SNC, kernel=NEWEST),
    "newest, L2": dataclasses.replace(_L2, kernel=NEWEST),
}


def host(name: str, *, rdt: dict[str, Any] | None = None, **changes: Any) -> Machine:
    """One of them, with some fields of the machine and of its processor changed."""
    machine = HOSTS[name]
    return dataclasses.replace(machine, rdt=dataclasses.replace(machine.rdt, **(rdt or {})), **changes)
