"""The registers that Intel RDT and AMD PQoS share, and what both parts are made of.

Layouts follow the Intel SDM, volume 3, chapter "Intel Resource Director Technology Features", and volume 2 for CPUID
leaves 4, 7, 0xF and 0x10.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.kernel.vm.rdt.counters import LOCAL_SHARE, Counter, Counters, Pace
from tests.kernel.vm.rdt.offer import Rdt
from tests.kernel.vm.rdt.state import HwState

QM_EVTSEL: Final = 0xC8D
QM_CTR: Final = 0xC8E
PQR_ASSOC: Final = 0xC8F

LOW32: Final = (1 << 32) - 1
QM_ERROR: Final = 1 << 63
QM_UNAVAILABLE: Final = 1 << 62
OCCUPANCY, TOTAL, LOCAL = 1, 2, 3
LINE_BYTES: Final = 64

Cpuid = tuple[int, int, int, int]


@dataclasses.dataclass
class Bank:
    """Registers with numbers in a row, of which the processor has the first ``size``; one set for each ``home``.

    ``home_of[cpu]`` is the cache whose registers a processor sees. A write of what is not ``legal``, or to a register
    that is not there, is a fault.
    """

    name: str
    numbers: range
    size: int
    home_of: Sequence[int]
    legal: Callable[[int], bool]
    reset: Sequence[int] = (0,)  # the last one is that of all further registers

    def __post_init__(self) -> None:
        first = [self.reset[min(index, len(self.reset) - 1)] for index in range(self.size)]
        self.values = {home: list(first) for home in sorted(set(self.home_of))}

    def write(self, cpu: int, msr: int, value: int) -> bool:
        """Store the value; False if a real processor refuses it."""
        index = msr - self.numbers.start
        if index >= self.size or not self.legal(value):
            return False
        self.values[self.home_of[cpu]][index] = value
        return True

    def read(self, cpu: int, msr: int) -> int:
        """The value; 0 for a register that is not there."""
        index = msr - self.numbers.start
        return self.values[self.home_of[cpu]][index] if index < self.size else 0

    def bit(self, number: int) -> dict[int, bool]:
        """A bit of the only register, by home; empty if the register does not exist."""
        return {home: bool(values[0] >> number & 1) for home, values in self.values.items() if values}


def one(name: str, number: int, home_of: Sequence[int], bits: int, reset: int = 0) -> Bank:
    """A single register in which only ``bits`` may be set; without any, the register does not exist."""
    return Bank(name, range(number, number + 1), bool(bits), home_of, lambda value: not value & ~bits, (reset,))


class Registers(abc.ABC):
    """The registers of every processor; ``cache_of[cpu]`` is the number of the processor's L3 cache."""

    def __init__(self, rdt: Rdt, cache_of: Sequence[int], clock: Callable[[], float]) -> None:
        self._rdt, self._cache_of = rdt, list(cache_of)
        self._association = [(0, 0)] * len(self._cache_of)
        self._select = [0] * len(self._cache_of)
        self._refused: list[tuple[str, str]] = []
        self._counters = Counters(self._cache_of, rdt.rmids, self._pace, clock)
        self._counters.fades = rdt.counters != "kept"
        full, closids = (1 << rdt.l3_ways) - 1, rdt.l3_closids if rdt.l3_ways else 0
        self._l3_mask = Bank("L3_MASK", range(0xC90, 0xD10), closids, self._cache_of, self._legal_l3_mask, (full,))
        self._l3_config = one("L3_QOS_CFG", 0xC81, self._cache_of, int(rdt.cdp and bool(rdt.l3_ways)))

    @property
    @abc.abstractmethod
    def banks(self) -> tuple[Bank, ...]:
        """All registers that hold what was written; of two with the same number the first counts."""

    def cpuid(self, leaf: int, subleaf: int, cpu: int) -> Cpuid | None:  # noqa: ARG002 - AMD's depend on the processor
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
            allocates = bool(rdt.l3_ways or rdt.l2_ways or rdt.mba_closids)
            return eax, ebx | bool(rdt.rmids) << 12 | allocates << 15, ecx, edx
        level = eax >> 5 & 7
        if level != 3 or not rdt.l3_ways:
            return answer
        return eax, (rdt.l3_ways - 1) << 22 | (LINE_BYTES - 1), rdt.l3_way_kib * 1024 // LINE_BYTES - 1, edx

    def owns(self, msr: int) -> bool:
        """Whether the register is one of RDT's."""
        return msr in (QM_EVTSEL, QM_CTR, PQR_ASSOC) or any(msr in bank.numbers for bank in self.banks)

    def write(self, cpu: int, msr: int, value: int) -> None:
        """WRMSR on a processor."""
        if msr == PQR_ASSOC:
            self._associate(cpu, value)
        elif msr == QM_EVTSEL:
            self._select[cpu] = value
        elif msr == QM_CTR:
            self._refuse("QM_CTR", value)
        else:
            self._counters.settle(self._cache_of[cpu])
            bank = self._bank(msr)
            if not bank.write(cpu, msr, value):
                index = f"_{msr - bank.numbers.start}" if len(bank.numbers) > 1 else ""
                self._refuse(f"{bank.name}{index}", value)

    def read(self, cpu: int, msr: int) -> int:
        """RDMSR on a processor."""
        if msr == QM_CTR:
            return self._count(cpu)
        if msr == QM_EVTSEL:
            return self._select[cpu]
        if msr == PQR_ASSOC:
            closid, rmid = self._association[cpu]
            return closid << 32 | rmid
        return self._bank(msr).read(cpu, msr)

    def marked(self) -> HwState:
        """The state at a mark; ends what ``counters`` "kept" says."""
        if not self._counters.fades:
            self._counters.fades = True
            self._counters.flush()
        return self.state()

    def state(self) -> HwState:
        """What the hardware holds now."""
        return HwState(
            l3_mask=copied(self._l3_mask),
            mba_delay={},
            cdp=self._l3_config.bit(0) or dict.fromkeys(self._l3_mask.values, False),
            association=list(self._association),
            refused=list(self._refused),
        )

    def _associate(self, cpu: int, value: int) -> None:
        closid, rmid = value >> 32, value & LOW32
        if closid < max(self._closids(), default=1) and rmid < max(self._rdt.rmids, 1):
            self._counters.settle(self._cache_of[cpu])
            self._association[cpu] = closid, rmid
        else:
            self._refuse("PQR_ASSOC", value)

    def _closids(self) -> Iterator[int]:
        """The number of CLOSIDs of each resource."""
        if self._rdt.l3_ways:
            yield self._rdt.l3_closids
        if self._rdt.mba_closids:
            yield self._rdt.mba_closids

    def _bank(self, msr: int) -> Bank:
        return next(bank for bank in self.banks if msr in bank.numbers)

    def _refuse(self, register: str, value: int) -> None:
        self._refused.append((register, hex(value)))

    def _legal_l3_mask(self, mask: int) -> bool:
        return bool(mask) and not mask >> self._rdt.l3_ways and (self._rdt.sparse_masks or is_run(mask))

    @abc.abstractmethod
    def _monitoring_leaf(self, subleaf: int) -> Cpuid: ...

    def _allocation_leaf(self, subleaf: int) -> Cpuid:
        rdt = self._rdt
        if subleaf == 0:
            return 0, sum(1 << number for number in self._allocated()), 0, 0
        if subleaf == 1 and rdt.l3_ways:
            return rdt.l3_ways - 1, rdt.l3_shareable, rdt.cdp << 2 | rdt.sparse_masks << 3, rdt.l3_closids - 1
        return 0, 0, 0, 0

    def _allocated(self) -> Iterator[int]:
        """The sub-leaves of leaf 0x10 that there are."""
        if self._rdt.l3_ways:
            yield 1

    def _count(self, cpu: int) -> int:
        match self._rdt.counters:
            case "error":
                return QM_ERROR
            case "unavailable":
                return QM_UNAVAILABLE
            case "zero":
                return 0
            case "model" | "kept":
                return self._selected(cpu, self._select[cpu])

    def _selected(self, cpu: int, select: int) -> int:
        """What QM_CTR holds for a value of QM_EVTSEL."""
        event, rmid = select & 0xFF, select >> 32
        if event not in (OCCUPANCY, TOTAL, LOCAL) or rmid >= self._rdt.rmids:
            return QM_ERROR
        return self._event(self._cache_of[cpu], event, self._counters.read(self._cache_of[cpu], rmid))

    @abc.abstractmethod
    def _event(self, cache: int, event: int, counter: Counter) -> int:
        """An event in units of the counter."""

    @abc.abstractmethod
    def _pace(self, cpu: int) -> Pace:
        """What a processor does under its CLOSID and RMID."""

    def _held_bytes(self, cache: int, closid: int) -> int:
        """The size of the ways that a CLOSID may fill."""
        masks = self._l3_mask.values[cache]
        index = (
            closid * 2 if self._l3_config.read(self._cache_of.index(cache), self._l3_config.numbers.start) else closid
        )
        return (masks[index].bit_count() if index < len(masks) else 0) * self._rdt.l3_way_kib * 1024


def copied(bank: Bank) -> dict[int, list[int]]:
    """The values by home; empty where the processor has no such registers."""
    return {home: list(values) for home, values in bank.values.items()} if bank.size else {}


def event_bytes(event: int, counter: Counter) -> float:
    """Intel's events, and AMD's unless they are configured."""
    return {
        OCCUPANCY: counter.held_bytes,
        TOTAL: counter.moved_bytes,
        LOCAL: counter.moved_bytes * LOCAL_SHARE,
    }[event]


def is_run(mask: int) -> bool:
    """Whether the bits that are set are one after the other."""
    lowest = mask & -mask
    return mask > 0 and mask & (mask + lowest) == 0
