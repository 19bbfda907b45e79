"""The machines: their caches, their processor, and how QEMU makes one."""

import dataclasses
from pathlib import Path
from typing import Final

from tests.kernel.vm.kernels import DEFAULT_KERNEL, Kernel
from tests.kernel.vm.rdt import Amd, Rdt


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine: ``sockets`` L3 caches with ``cores`` processors each, and what their RDT offers.

    Model 106 is Ice Lake: with 85 (Skylake, Cascade Lake) the kernel disables L3 CAT, 79 can
    pseudo-lock. Without ``registers`` what the kernel writes into them is dropped, as QEMU does with registers that it
    does not know, and the counters read 0: nothing stops the machine once it has booted, and as each stop
    makes QEMU translate all code again, programs then run about ten times faster.
    """

    sockets: int = 2
    cores: int = 1
    memory_mib: int = 1024
    cpu_model: int = 106  # Intel's
    kernel: Kernel = DEFAULT_KERNEL
    append: str = ""
    registers: bool = True
    rdt: Rdt = dataclasses.field(default_factory=Rdt)

    def __post_init__(self) -> None:
        if self.cores % self.rdt.snc_nodes:
            raise ValueError(f"{self.cores} cores cannot be divided among {self.rdt.snc_nodes} Sub-NUMA nodes")

    @property
    def cache_of(self) -> list[int]:
        """The number of the L3 cache of each processor."""
        return [cpu // self.cores for cpu in range(self.sockets * self.cores)]

    def command(self, kernel: Path, initrd: Path) -> list[str]:
        """QEMU's command line, without devices."""
        # no_timer_check: on a busy host the kernel's test of its timer interrupt fails, and it panics
        kernel_words = f"console=ttyS0 panic=-1 no_timer_check nokaslr mitigations=off loglevel=6 {self.append}"
        # TCG: no KVM is needed, and the stops cost the same with it
        words = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", self._processor]
        words += ["-m", f"{self.memory_mib}M"]
        words += ["-smp", f"{len(self.cache_of)},sockets={self.sockets},cores={self.cores}"]
        words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *self._nodes()]
        return [*words, "-kernel", str(kernel), "-initrd", str(initrd), "-append", kernel_words]

    @property
    def _processor(self) -> str:
        if self.rdt.amd:
            kind = "vendor=AuthenticAMD,family=25,model=17,stepping=1,level=0x10,xlevel=0x80000021"
            return f"max,{kind},model-id=Pretended AMD EPYC with PQoS,svm=off,la57=off"
        kind = f"vendor=GenuineIntel,family=6,model={self.cpu_model},stepping=6,level=0x14"
        return f"max,{kind},model-id=Pretended Intel Xeon with RDT,svm=off,la57=off"

    def _nodes(self) -> list[str]:
        """NUMA nodes inside an L3 cache: by them the kernel recognizes Sub-NUMA clusters."""
        if self.rdt.snc_nodes == 1:
            return []
        nodes, cpus = self.sockets * self.rdt.snc_nodes, self.cores // self.rdt.snc_nodes
        words = []
        for node in range(nodes):
            words += ["-object", f"memory-backend-ram,id=memory{node},size={self.memory_mib // nodes}M"]
            range_of_cpus = f"{node * cpus}-{(node + 1) * cpus - 1}"
            words += ["-numa", f"node,nodeid={node},memdev=memory{node},cpus={range_of_cpus}"]
        return words


_EPYC: Final = Rdt(l3_ways=16, l3_way_kib=2048, l3_shareable=0, mba_closids=16, rmids=256)

MACHINES: Final = {
    "intel": Machine(),
    "amd": Machine(rdt=dataclasses.replace(_EPYC, amd=Amd(counters=32, io_alloc=True))),
    "amd-bmec": Machine(rdt=dataclasses.replace(_EPYC, amd=Amd())),
    "snc": Machine(cores=2, rdt=Rdt(snc_nodes=2)),
    "sparse-l2": Machine(rdt=Rdt(l3_shareable=0, sparse_masks=True, l2_ways=16, l2_cdp=True)),
}
