"""A model of Intel RDT's registers: its CPUID leaves and the values of its MSRs, per processor and cache.

The kernel under test is not changed. Whenever it executes CPUID, RDMSR or WRMSR for one of the leaves and
registers below, the trap loop asks this model for the answer. Layouts follow the Intel SDM, volume 3, chapter
"Intel Resource Director Technology Features", and volume 2 for CPUID leaves 4, 7, 0xF and 0x10.

Masks are stored, not enforced: QEMU has no cache. The counters are a simple model of a busy processor.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

L3_QOS_CFG: Final = 0xC81
QM_EVTSEL: Final = 0xC8D
QM_CTR: Final = 0xC8E
PQR_ASSOC: Final = 0xC8F
L3_MASK: Final = range(0xC90, 0xD10)
MBA_THRTL: Final = range(0xD50, 0xD90)

LOW32: Final = (1 << 32) - 1
QM_ERROR: Final = 1 << 63
QM_UNAVAILABLE: Final = 1 << 62
OCCUPANCY, TOTAL, LOCAL = 1, 2, 3

Cpuid = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Rdt:
    """What the pretended processor offers; a count of 0 leaves the resource out.

    The default is a Cascade Lake server's, but for a bigger way (3840 KiB) and fewer RMIDs (so that they run
    out).
    """

    l3_ways: int = 11
    l3_way_kib: int = 3840
    l3_shareable: int = 0x600
    l3_closids: int = 16
    cdp: bool = True
    mba_closids: int = 8
    mba_max_delay: int = 90  # the kernel shows 100 less this as min_bandwidth
    rmids: int = 64
    counters: Literal["model", "zero", "error", "unavailable"] = "model"


@dataclasses.dataclass(frozen=True)
class HwState:
    """What the pretended hardware holds: all dictionaries are by number of the L3 cache.

    ``l3_mask[cache][closid]``, or, with CDP on, ``[2 * closid]`` for data and ``[2 * closid + 1]`` for code.
    ``mba_delay[cache][closid]`` in percent held back. ``association[cpu]`` is (closid, rmid).
    ``refused`` lists the writes that a real processor answers with a fault, as (register, value).
    """

    l3_mask: dict[int, list[int]]
    mba_delay: dict[int, list[int]]
    cdp: dict[int, bool]
    association: list[tuple[int, int]]
    refused: list[tuple[str, str]]


@dataclasses.dataclass
class _Counter:
    occupancy: float = 0.0
    total: float = 0.0
    local: float = 0.0
    settled: float = 0.0


class Registers:
    """The registers of every processor; ``cache_of[cpu]`` is the number of the processor's L3 cache."""

    UPSCALE: Final = 65536  # bytes per unit of QM_CTR
    COUNTER_BITS: Final = 32
    BYTES_PER_SECOND: Final = 1 << 30

    def __init__(self, rdt: Rdt, cache_of: Sequence[int], clock: Callable[[], float] = time.monotonic) -> None:
        self._rdt, self._cache_of, self._clock = rdt, list(cache_of), clock
        self._caches = sorted(set(cache_of))
        full = (1 << rdt.l3_ways) - 1
        self._l3 = {cache: [full] * rdt.l3_closids for cache in self._caches}
        self._mba = {cache: [0] * rdt.mba_closids for cache in self._caches}
        self._plain: dict[tuple[int, int], int] = {}
        self._association = [(0, 0)] * len(self._cache_of)
        now = clock()
        self._charged = [now] * len(self._cache_of)
        rmids = range(max(rdt.rmids, 1))
        self._counters = {cache: [_Counter(settled=now) for _ in rmids] for cache in self._caches}
        self._refused: list[tuple[str, str]] = []

    def cpuid(self, leaf: int, subleaf: int) -> Cpuid | None:
        """EAX, EBX, ECX, EDX; None where the processor itself is to answer (see ``amends``)."""
        if leaf == 0xF:
            return self._monitoring_leaf(subleaf)
        if leaf == 0x10:
            return self._allocation_leaf(subleaf)
        return None

    def amends(self, leaf: int, subleaf: int) -> bool:
        """Whether the processor's answer needs ``amend``: feature bits (leaf 7), the L3's size (leaf 4)."""
        return leaf == 4 or (leaf == 7 and subleaf == 0)

    def amend(self, leaf: int, answer: Cpuid) -> Cpuid:
        """The processor's answer with RDT's bits set, or with the size of our L3."""
        eax, ebx, ecx, edx = answer
        rdt = self._rdt
        if leaf == 7:
            allocates = bool(rdt.l3_ways or rdt.mba_closids)
            return eax, ebx | bool(rdt.rmids) << 12 | allocates << 15, ecx, edx
        level = eax >> 5 & 7
        if level != 3 or not rdt.l3_ways:
            return answer
        line = 64
        return eax, (rdt.l3_ways - 1) << 22 | (line - 1), rdt.l3_way_kib * 1024 // line - 1, edx

    def owns(self, msr: int) -> bool:
        """Whether the register is one of RDT's."""
        return msr in (L3_QOS_CFG, QM_EVTSEL, QM_CTR, PQR_ASSOC) or msr in L3_MASK or msr in MBA_THRTL

    def write(self, cpu: int, msr: int, value: int) -> None:
        """WRMSR on a processor."""
        if msr in L3_MASK or msr in MBA_THRTL:
            self._store(self._cache_of[cpu], msr, value)
        elif msr == PQR_ASSOC:
            self._charge(cpu, self._clock())
            self._association[cpu] = value >> 32, value & 0x3FF
        else:
            self._plain[cpu, msr] = value

    def read(self, cpu: int, msr: int) -> int:
        """RDMSR on a processor."""
        cache = self._cache_of[cpu]
        if msr == QM_CTR:
            return self._count(cpu, cache)
        if msr == PQR_ASSOC:
            closid, rmid = self._association[cpu]
            return closid << 32 | rmid
        for bank, values in ((L3_MASK, self._l3), (MBA_THRTL, self._mba)):
            if msr in bank and msr - bank.start < len(values[cache]):
                return values[cache][msr - bank.start]
        return self._plain.get((cpu, msr), 0)

    def state(self) -> HwState:
        """What the hardware holds now."""
        return HwState(
            l3_mask={cache: list(masks) for cache, masks in self._l3.items()},
            mba_delay={cache: list(delays) for cache, delays in self._mba.items()},
            cdp={cache: self._cdp_on(cache) for cache in self._caches},
            association=list(self._association),
            refused=list(self._refused),
        )

    def _monitoring_leaf(self, subleaf: int) -> Cpuid:
        rmids = self._rdt.rmids
        if not rmids or subleaf > 1:
            return 0, 0, 0, 0
        if subleaf == 0:
            return 0, rmids - 1, 0, 1 << 1
        return self.COUNTER_BITS - 24, self.UPSCALE, rmids - 1, 0b111

    def _allocation_leaf(self, subleaf: int) -> Cpuid:
        rdt = self._rdt
        if subleaf == 0:
            return 0, bool(rdt.l3_ways) << 1 | bool(rdt.mba_closids) << 3, 0, 0
        if subleaf == 1 and rdt.l3_ways:
            return rdt.l3_ways - 1, rdt.l3_shareable, rdt.cdp << 2, rdt.l3_closids - 1
        if subleaf == 3 and rdt.mba_closids:
            return rdt.mba_max_delay - 1, 0, 1 << 2, rdt.mba_closids - 1
        return 0, 0, 0, 0

    def _store(self, cache: int, msr: int, value: int) -> None:
        if msr in L3_MASK:
            name, bank, index = "L3_MASK", self._l3[cache], msr - L3_MASK.start
            legal = _is_run(value) and not value >> self._rdt.l3_ways
        else:
            name, bank, index = "MBA_THRTL", self._mba[cache], msr - MBA_THRTL.start
            legal = value <= self._rdt.mba_max_delay
        if not legal or index >= len(bank):
            self._refused.append((f"{name}_{index}", hex(value)))
            return
        self._settle(cache, self._clock())
        bank[index] = value

    def _cdp_on(self, cache: int) -> bool:
        return bool(self._plain.get((self._cache_of.index(cache), L3_QOS_CFG), 0) & 1)

    # While a processor runs under an RMID, the RMID moves bytes at a steady rate, lowered by the MBA delay of
    # the CLOSID, and what it holds nears the size of the ways allowed. What runs nowhere fades from the
    # cache.

    def _count(self, cpu: int, cache: int) -> int:
        select = self._plain.get((cpu, QM_EVTSEL), 0)
        event, rmid = select & 0xFF, select >> 32
        if self._rdt.counters == "error" or event not in (OCCUPANCY, TOTAL, LOCAL) or rmid >= self._rdt.rmids:
            return QM_ERROR
        if self._rdt.counters == "unavailable":
            return QM_UNAVAILABLE
        if self._rdt.counters == "zero":
            return 0
        self._settle(cache, self._clock())
        counter = self._counters[cache][rmid]
        held = {OCCUPANCY: counter.occupancy, TOTAL: counter.total, LOCAL: counter.local}[event]
        return int(held / self.UPSCALE) & ((1 << self.COUNTER_BITS) - 1)

    def _settle(self, cache: int, now: float) -> None:
        for cpu, home in enumerate(self._cache_of):
            if home == cache:
                self._charge(cpu, now)
        for counter in self._counters[cache]:
            _fade(counter, now)

    def _charge(self, cpu: int, now: float) -> None:
        cache = self._cache_of[cpu]
        closid, rmid = self._association[cpu]
        seconds, self._charged[cpu] = now - self._charged[cpu], now
        if rmid >= len(self._counters[cache]):
            return
        counter, delays, masks = self._counters[cache][rmid], self._mba[cache], self._l3[cache]
        delay = delays[closid] if closid < len(delays) else 0
        moved = seconds * self.BYTES_PER_SECOND * (1 - delay / 100)
        counter.total += moved
        counter.local += moved * 3 / 4
        _fade(counter, now - seconds)
        index = closid * 2 if self._cdp_on(cache) else closid
        ways = masks[index].bit_count() if index < len(masks) else 0
        target = ways * self._rdt.l3_way_kib * 1024
        counter.occupancy = target + (counter.occupancy - target) * math.exp(-seconds / 0.02)
        counter.settled = now


def _fade(counter: _Counter, now: float) -> None:
    if now > counter.settled:
        counter.occupancy *= math.exp((counter.settled - now) / 0.2)
        counter.settled = now


def _is_run(mask: int) -> bool:
    lowest = mask & -mask
    return mask > 0 and mask & (mask + lowest) == 0
