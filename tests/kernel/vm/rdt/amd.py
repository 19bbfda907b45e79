"""AMD's part: limits in 1/8 GB/s for memory (MB) and slow memory (SMBA), configured events (BMEC), assignable counters
(ABMC), and a mask for I/O (SDCIAE).

Layouts follow the AMD64 Architecture Programmer's Manual, volume 2, chapter "Platform Quality of Service", and volume
3 for CPUID leaves 0x80000008, 0x8000001D, 0x8000001E and 0x80000020.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.kernel.vm.rdt.counters import BYTES_PER_SECOND, LOCAL_SHARE, Counter, Pace
from tests.kernel.vm.rdt.offer import Amd, Rdt
from tests.kernel.vm.rdt.registers import (
    LINE_BYTES,
    LOW32,
    OCCUPANCY,
    QM_ERROR,
    TOTAL,
    Bank,
    Cpuid,
    Registers,
    copied,
    one,
)
from tests.kernel.vm.rdt.state import HwState

ABMC_CFG: Final = 0xC00003FD
COUNTER_ON, CONFIGURE = 1 << 62, 1 << 63
ABMC_EVENT: Final = 1  # with EXTENDED in QM_EVTSEL: the RMID is the number of a counter
EXTENDED: Final = 1 << 31
# Kinds of transactions: reads of this and of another node's memory, non-temporal writes of both, reads of both nodes'
# slow memory, dirty victims.
LOCAL_READS, REMOTE_READS = 1 << 0, 1 << 1
ALL_KINDS, LOCAL_KINDS = 0x7F, 0x15
CONFIGURED_EVENTS: Final = 2


@dataclasses.dataclass(frozen=True)
class Assigned:
    """What an assignable counter counts, and the bytes that had been moved before."""

    rmid: int
    kinds: int
    before: float


class AmdRegisters(Registers):
    """The registers of an AMD processor."""

    COUNTER_BITS: Final = 44

    def __init__(self, rdt: Rdt, amd: Amd, cache_of: Sequence[int], clock: Callable[[], float]) -> None:
        super().__init__(rdt, cache_of, clock)
        self._amd, self._unlimited = amd, 1 << amd.bandwidth_bits
        self._mb, self._smba = (
            Bank(name, range(first, first + 64), closids, self._cache_of, self._legal_limit, (self._unlimited,))
            for name, first, closids in (
                ("L3QOS_BW_CONTROL", 0xC0000200, rdt.mba_closids),
                ("L3QOS_SLOWBW_CONTROL", 0xC0000280, amd.smba_closids),
            )
        )
        features = bool(amd.counters) | amd.io_alloc << 1
        self._features = one("L3_QOS_EXT_CFG", 0xC00003FF, self._cache_of, features)
        self._events = Bank(
            "QOS_EVT_CFG",
            range(0xC0000400, 0xC0000410),
            CONFIGURED_EVENTS * amd.event_configuration,
            self._cache_of,
            lambda kinds: not kinds & ~ALL_KINDS,
            (ALL_KINDS, LOCAL_KINDS),
        )
        self._assigned: dict[int, dict[int, Assigned]] = {cache: {} for cache in set(self._cache_of)}

    @property
    def banks(self) -> tuple[Bank, ...]:
        """All registers that hold what was written."""
        return self._l3_config, self._l3_mask, self._mb, self._smba, self._features, self._events

    def cpuid(self, leaf: int, subleaf: int, cpu: int) -> Cpuid | None:
        """EAX, EBX, ECX, EDX; None where the processor itself is to answer (see ``amends``)."""
        match leaf:
            case 0x8000001D:
                return self._cache_leaf(subleaf)
            case 0x8000001E:
                return cpu, self._core(cpu), self._cache_of[cpu], 0
            case 0x80000020:
                return self._qos_leaf(subleaf)
        return super().cpuid(leaf, subleaf, cpu)

    def amends(self, leaf: int, subleaf: int) -> bool:
        """Whether the processor's answer needs ``amend``: feature bits; leaf 4 is Intel's."""
        return leaf in (0x80000001, 0x80000008) or (leaf == 7 and subleaf == 0)

    def amend(self, leaf: int, answer: Cpuid) -> Cpuid:
        """The processor's answer with PQoS's bits set."""
        eax, ebx, ecx, edx = answer
        if leaf == 0x80000001:
            return eax, ebx, ecx | 1 << 22, edx  # leaves 0x8000001D and 0x8000001E
        if leaf == 0x80000008:
            return eax, ebx | bool(self._rdt.mba_closids) << 6, ecx, edx
        return super().amend(leaf, answer)

    def owns(self, msr: int) -> bool:
        """Whether the register is one of PQoS's."""
        return msr == ABMC_CFG or super().owns(msr)

    def write(self, cpu: int, msr: int, value: int) -> None:
        """WRMSR on a processor."""
        if msr == ABMC_CFG:
            self._assign(self._cache_of[cpu], value)
            return
        super().write(cpu, msr, value)
        if msr in self._events.numbers:
            self._counters.clear(self._cache_of[cpu])
        elif not self._counts_assigned(self._cache_of[cpu]):
            self._assigned[self._cache_of[cpu]].clear()

    def read(self, cpu: int, msr: int) -> int:
        """RDMSR on a processor."""
        return 0 if msr == ABMC_CFG else super().read(cpu, msr)

    def state(self) -> HwState:
        """What the hardware holds now."""
        return dataclasses.replace(
            super().state(),
            mb_limit=copied(self._mb),
            smba_limit=copied(self._smba),
            io_alloc=self._features.bit(1) if self._amd.io_alloc else {},
            assigned={
                cache: {number: (each.rmid, each.kinds) for number, each in counters.items()}
                for cache, counters in self._assigned.items()
            },
        )

    def _closids(self) -> Iterator[int]:
        yield from super()._closids()
        if self._amd.smba_closids:
            yield self._amd.smba_closids

    def _counts_assigned(self, cache: int) -> bool:
        return self._features.bit(0).get(cache, False)

    def _assign(self, cache: int, value: int) -> None:
        kinds, rmid, number = value & LOW32, value >> 32 & 0xFFF, value >> 48 & 0x1F
        known = LOW32 | 0xFFF << 32 | 0x1F << 48 | COUNTER_ON | CONFIGURE
        there = number < self._amd.counters and rmid < self._rdt.rmids and not kinds & ~ALL_KINDS
        if not there or value & ~known or not self._counts_assigned(cache):
            self._refuse("L3_QOS_ABMC_CFG", value)
        elif value & CONFIGURE and value & COUNTER_ON:
            moved = self._counters.read(cache, rmid).moved_bytes
            self._assigned[cache][number] = Assigned(rmid, kinds, moved)
        elif value & CONFIGURE:
            self._assigned[cache].pop(number, None)

    def _core(self, cpu: int) -> int:
        return [each for each, home in enumerate(self._cache_of) if home == self._cache_of[cpu]].index(cpu)

    def _legal_l3_mask(self, mask: int) -> bool:
        """Holes and no way at all are allowed."""
        return not mask >> self._rdt.l3_ways

    def _legal_limit(self, limit: int) -> bool:
        return limit <= self._unlimited

    def _monitoring_leaf(self, subleaf: int) -> Cpuid:
        rmids = self._rdt.rmids
        if not rmids or subleaf > 1:
            return 0, 0, 0, 0
        return (0, rmids - 1, 0, 1 << 1) if subleaf == 0 else (0, LINE_BYTES, rmids - 1, 0b111)

    def _qos_leaf(self, subleaf: int) -> Cpuid:
        amd, mba = self._amd, self._rdt.mba_closids
        match subleaf:
            case 0:
                features = bool(mba) << 1 | bool(amd.smba_closids) << 2 | amd.event_configuration << 3
                return 0, features | bool(amd.counters) << 5 | amd.io_alloc << 6, 0, 0
            case 1 if mba:
                return amd.bandwidth_bits, 0, 0, mba - 1
            case 2 if amd.smba_closids:
                return amd.bandwidth_bits, 0, 0, amd.smba_closids - 1
            case 3 if amd.event_configuration or amd.counters:
                return 0, CONFIGURED_EVENTS, ALL_KINDS, 0
            case 5 if amd.counters:
                return 0, amd.counters - 1, 0, 0
        return 0, 0, 0, 0

    def _cache_leaf(self, subleaf: int) -> Cpuid:
        """The caches as the kernel of an AMD processor finds them: two L1 of 32 KiB, an L2 of 512 KiB, our L3."""
        kinds = ((1, 1, 8, 32), (2, 1, 8, 32), (3, 2, 8, 512), (3, 3, self._rdt.l3_ways, self._l3_kib))
        if subleaf >= len(kinds) or not kinds[subleaf][2]:
            return 0, 0, 0, 0
        kind, level, ways, size_kib = kinds[subleaf]
        sharing = self._cache_of.count(0) if level == 3 else 1
        sets = size_kib * 1024 // LINE_BYTES // ways
        return kind | level << 5 | 1 << 8 | (sharing - 1) << 14, (LINE_BYTES - 1) | (ways - 1) << 22, sets - 1, 0

    @property
    def _l3_kib(self) -> int:
        return self._rdt.l3_ways * self._rdt.l3_way_kib

    def _selected(self, cpu: int, select: int) -> int:
        if not select & EXTENDED:
            return super()._selected(cpu, select)
        cache, event, number = self._cache_of[cpu], select & 0xFF, select >> 32
        assigned = self._assigned[cache].get(number)
        if event != ABMC_EVENT or assigned is None:
            return QM_ERROR
        moved = self._counters.read(cache, assigned.rmid).moved_bytes - assigned.before
        return self._units(_share(assigned.kinds) * moved)

    def _event(self, cache: int, event: int, counter: Counter) -> int:
        if event == OCCUPANCY:
            return self._units(counter.held_bytes)
        configured = self._events.values[cache] or [ALL_KINDS, LOCAL_KINDS]
        return self._units(_share(configured[event - TOTAL]) * counter.moved_bytes)

    def _units(self, size_bytes: float) -> int:
        return int(size_bytes / LINE_BYTES) & ((1 << self.COUNTER_BITS) - 1)

    def _pace(self, cpu: int) -> Pace:
        cache, (closid, rmid) = self._cache_of[cpu], self._association[cpu]
        limits = self._mb.values[cache]
        limit = limits[closid] if closid < len(limits) else self._unlimited
        most = BYTES_PER_SECOND if limit == self._unlimited else min(BYTES_PER_SECOND, limit * (1 << 30) / 8)
        return Pace(rmid, most, self._held_bytes(cache, closid))


def _share(kinds: int) -> float:
    """All that the model moves are reads of memory that is not slow."""
    return LOCAL_SHARE * bool(kinds & LOCAL_READS) + (1 - LOCAL_SHARE) * bool(kinds & REMOTE_READS)
