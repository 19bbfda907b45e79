"""Intel's part: L2 masks, MBA's delays, and the RMIDs of Sub-NUMA nodes (model-specific register 0xCA0)."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.kernel.vm.rdt.counters import BYTES_PER_SECOND, Counter, Pace
from tests.kernel.vm.rdt.offer import Rdt
from tests.kernel.vm.rdt.registers import Bank, Cpuid, Registers, copied, event_bytes, is_run, one
from tests.kernel.vm.rdt.state import HwState


class IntelRegisters(Registers):
    """The registers of an Intel processor."""

    UPSCALE: Final = 65536  # bytes per unit of QM_CTR
    COUNTER_BITS: Final = 32

    def __init__(self, rdt: Rdt, cache_of: Sequence[int], clock: Callable[[], float]) -> None:
        super().__init__(rdt, cache_of, clock)
        l2_of = range(len(cache_of))
        full, closids = (1 << rdt.l2_ways) - 1, rdt.l2_closids if rdt.l2_ways else 0
        self._l2_mask = Bank("L2_MASK", range(0xD10, 0xD50), closids, l2_of, self._legal_l2_mask, (full,))
        self._l2_config = one("L2_QOS_CFG", 0xC82, l2_of, int(rdt.l2_cdp))
        self._mba = Bank("MBA_THRTL", range(0xD50, 0xD90), rdt.mba_closids, self._cache_of, self._legal_delay)
        # Its number is also that of L3_MASK_16, which processors with Sub-NUMA clusters do not have.
        self._snc = one("RMID_SNC_CONFIG", 0xCA0, self._cache_of, int(rdt.snc_nodes > 1), reset=1)

    @property
    def banks(self) -> tuple[Bank, ...]:
        """All registers that hold what was written."""
        snc = (self._snc,) if self._snc.size else ()
        return *snc, self._l3_config, self._l3_mask, self._l2_config, self._l2_mask, self._mba

    def state(self) -> HwState:
        """What the hardware holds now."""
        return dataclasses.replace(
            super().state(),
            mba_delay=copied(self._mba),
            l2_mask=copied(self._l2_mask),
            l2_cdp=self._l2_config.bit(0) or dict.fromkeys(copied(self._l2_mask), False),
            rmids_shared=self._snc.bit(0),
        )

    def _closids(self) -> Iterator[int]:
        yield from super()._closids()
        if self._rdt.l2_ways:
            yield self._rdt.l2_closids

    def _legal_l2_mask(self, mask: int) -> bool:
        return not mask >> self._rdt.l2_ways and is_run(mask)

    def _legal_delay(self, delay: int) -> bool:
        return delay <= self._rdt.mba_max_delay

    def _monitoring_leaf(self, subleaf: int) -> Cpuid:
        rmids = self._rdt.rmids
        if not rmids or subleaf > 1:
            return 0, 0, 0, 0
        if subleaf == 0:
            return 0, rmids - 1, 0, 1 << 1
        return self.COUNTER_BITS - 24, self.UPSCALE, rmids - 1, 0b111

    def _allocated(self) -> Iterator[int]:
        yield from super()._allocated()
        if self._rdt.l2_ways:
            yield 2
        if self._rdt.mba_closids:
            yield 3

    def _allocation_leaf(self, subleaf: int) -> Cpuid:
        rdt = self._rdt
        if subleaf == 2 and rdt.l2_ways:
            return rdt.l2_ways - 1, 0, rdt.l2_cdp << 2, rdt.l2_closids - 1
        if subleaf == 3 and rdt.mba_closids:
            return rdt.mba_max_delay - 1, 0, 1 << 2, rdt.mba_closids - 1
        return super()._allocation_leaf(subleaf)

    def _event(self, cache: int, event: int, counter: Counter) -> int:  # noqa: ARG002 - AMD's depend on the cache
        # The unit of the occupancy, like that of all events, is 1/nodes of what CPUID says (the kernel divides by
        # them).
        units = event_bytes(event, counter) * self._rdt.snc_nodes / self.UPSCALE
        return int(units) & ((1 << self.COUNTER_BITS) - 1)

    def _pace(self, cpu: int) -> Pace:
        cache, (closid, rmid) = self._cache_of[cpu], self._association[cpu]
        delays = self._mba.values[cache]
        delay = delays[closid] if closid < len(delays) else 0
        held = self._held_bytes(cache, closid) / self._rdt.snc_nodes
        return Pace(self._counted_as(cpu, rmid), BYTES_PER_SECOND * (1 - delay / 100), held)

    def _counted_as(self, cpu: int, rmid: int) -> int:
        """With Sub-NUMA clusters each node has its own part of the RMIDs, unless the nodes count as one."""
        cache, nodes = self._cache_of[cpu], self._rdt.snc_nodes
        if self._snc.bit(0).get(cache, True):
            return rmid
        cpus = [each for each, home in enumerate(self._cache_of) if home == cache]
        return rmid + cpus.index(cpu) * nodes // len(cpus) * (self._rdt.rmids // nodes)
