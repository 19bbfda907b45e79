"""The model of the registers, without a kernel: what a processor refuses, what it counts, what CPUID says."""

import dataclasses

import pytest

from tests.kernel.vm import MACHINES, Machine
from tests.kernel.vm.rdt import Registers, registers

L3_QOS_CFG, L2_QOS_CFG, QM_EVTSEL, QM_CTR, PQR_ASSOC, SNC_CONFIG = 0xC81, 0xC82, 0xC8D, 0xC8E, 0xC8F, 0xCA0
L3_MASK, L2_MASK, MBA_THRTL = 0xC90, 0xD10, 0xD50
MB, SMBA, ABMC_CFG, EXT_CFG, EVT_CFG = 0xC0000200, 0xC0000280, 0xC00003FD, 0xC00003FF, 0xC0000400
ASSIGN = 3 << 62  # CfgEn and CtrEn
GIB = 1 << 30

# Machine, register, a value that is stored, a value that is a fault.
WRITES = [
    ("intel", L3_MASK, 0b110, 0b101),
    ("intel", L3_MASK + 15, 0x7FF, 0),
    ("intel", L3_MASK, 1, 1 << 11),
    ("intel", L3_QOS_CFG, 1, 2),
    ("intel", MBA_THRTL + 7, 90, 91),
    ("sparse-l2", L3_MASK, 0b101, 0),
    ("sparse-l2", L2_MASK, 0b110, 0b101),
    ("sparse-l2", L2_MASK + 7, 0xFFFF, 1 << 16),
    ("sparse-l2", L2_QOS_CFG, 1, 2),
    ("snc", SNC_CONFIG, 0, 2),
    ("amd", L3_MASK, 0b101, 1 << 16),
    ("amd", L3_MASK + 15, 0, 1 << 16),
    ("amd", MB + 15, 2048, 2049),
    ("amd", SMBA, 0, 4096),
    ("amd", EXT_CFG, 0b11, 0b100),
    ("amd", EVT_CFG + 1, 0x7F, 0x80),
    ("amd-bmec", EVT_CFG, 0, 1 << 7),
    ("intel", PQR_ASSOC, 15 << 32 | 63, 64),
    ("intel", PQR_ASSOC, 0, 16 << 32),
    ("amd", PQR_ASSOC, 15 << 32 | 255, 16 << 32 | 256),
]
# Machine and register that it does not have.
ABSENT = [
    ("intel", L3_MASK + 16),
    ("intel", L2_MASK),
    ("intel", L2_QOS_CFG),
    ("intel", MBA_THRTL + 8),
    ("sparse-l2", L2_MASK + 8),
    ("amd", MB + 16),
    ("amd", SMBA + 16),
    ("amd", EVT_CFG + 2),
    ("amd-bmec", EXT_CFG),
    ("amd-bmec", ABMC_CFG),
]


def model(machine: Machine, now: list[float] | None = None) -> Registers:
    clock = now or [0.0]
    return registers(machine.rdt, machine.cache_of, lambda: clock[0])


@pytest.mark.parametrize(("name", "msr", "stored", "fault"), WRITES)
def test_a_legal_value_is_stored_and_any_other_is_refused(name: str, msr: int, stored: int, fault: int) -> None:
    of = model(MACHINES[name])
    of.write(0, msr, stored)
    assert of.state().refused == []
    of.write(0, msr, fault)
    assert [value for _, value in of.state().refused] == [hex(fault)]
    assert of.read(0, msr) == stored


@pytest.mark.parametrize(("name", "msr"), ABSENT)
def test_a_register_that_the_processor_does_not_have_refuses_every_value(name: str, msr: int) -> None:
    of = model(MACHINES[name])
    of.write(0, msr, 1)
    assert [value for _, value in of.state().refused] == ["0x1"]


@pytest.mark.parametrize("msr", [MB, SMBA, EXT_CFG, EVT_CFG, ABMC_CFG])
def test_an_intel_processor_has_none_of_amds_registers(msr: int) -> None:
    assert not any(model(machine).owns(msr) for name, machine in MACHINES.items() if "amd" not in name)


@pytest.mark.parametrize(
    ("value", "legal"),
    [
        (ASSIGN | 31 << 48 | 255 << 32 | 0x7F, True),
        (ASSIGN | 255 << 32 | 0x80, False),  # no such kind of transaction
        (ASSIGN | 256 << 32 | 0x7F, False),  # no such RMID
        (ASSIGN | 1 << 47 | 0x7F, False),  # a CLOSID instead of an RMID: not modeled, and Linux does not do it
        (ASSIGN | 1 << 53 | 0x7F, False),  # reserved
    ],
)
def test_a_counter_is_assigned_to_what_there_is(value: int, legal: bool) -> None:
    of = model(MACHINES["amd"])
    of.write(0, EXT_CFG, 1)
    of.write(0, ABMC_CFG, value)
    state = of.state()
    assert (state.assigned[0], state.refused) == (({31: (255, 0x7F)}, []) if legal else ({}, [*state.refused]))
    assert bool(state.refused) != legal


def test_counters_are_assigned_only_while_assignment_is_on() -> None:
    of = model(MACHINES["amd"])
    of.write(0, ABMC_CFG, ASSIGN | 0x7F)
    assert of.state().refused == [("L3_QOS_ABMC_CFG", hex(ASSIGN | 0x7F))]
    of.write(0, EXT_CFG, 1)
    of.write(0, ABMC_CFG, ASSIGN | 0x7F)
    assert of.state().assigned == {0: {0: (0, 0x7F)}, 1: {}}
    of.write(0, EXT_CFG, 0)
    assert of.state().assigned[0] == {}


def test_an_assigned_counter_counts_its_kinds_of_transactions_since_it_was_assigned() -> None:
    now = [0.0]
    of = model(MACHINES["amd"], now)
    of.write(0, EXT_CFG, 1)
    now[0] = 5.0
    for number, kinds in enumerate((0b11, 0b01, 0b10, 0b100)):
        of.write(0, ABMC_CFG, ASSIGN | number << 48 | kinds)
    now[0] = 6.0
    read = []
    for number in range(5):
        of.write(0, QM_EVTSEL, number << 32 | 1 << 31 | 1)
        read.append(of.read(0, QM_CTR))
    assert read == [GIB // 64, GIB * 3 // 4 // 64, GIB // 4 // 64, 0, 1 << 63]


def test_events_are_counted_as_configured_and_begin_again_after_a_change() -> None:
    now = [0.0]
    of = model(MACHINES["amd-bmec"], now)
    now[0] = 1.0
    of.write(0, EVT_CFG, 0b10)
    now[0] = 2.0
    of.write(0, QM_EVTSEL, 2)
    assert of.read(0, QM_CTR) == GIB // 4 // 64


def test_an_amd_limit_slows_the_traffic_down() -> None:
    now = [0.0]
    of = model(MACHINES["amd-bmec"], now)
    of.write(0, MB, 2)
    now[0] = 1.0
    of.write(0, QM_EVTSEL, 2)
    assert of.read(0, QM_CTR) == GIB // 4 // 64


def test_what_is_kept_in_the_cache_stays_charged_until_a_mark() -> None:
    now = [0.0]
    machine = MACHINES["intel"]
    of = model(dataclasses.replace(machine, rdt=dataclasses.replace(machine.rdt, counters="kept")), now)
    of.write(0, PQR_ASSOC, 5)
    now[0] = 1.0
    of.write(0, PQR_ASSOC, 0)
    of.write(0, QM_EVTSEL, 5 << 32 | 1)
    now[0] = 100.0
    assert of.read(0, QM_CTR) == 11 * 3840 * 1024 // 65536
    of.marked()
    assert of.read(0, QM_CTR) == 0


def test_each_sub_numa_node_counts_with_its_own_rmids_unless_they_are_shared() -> None:
    for shared, busy in ((0, {3, 32 + 3}), (1, {3})):
        now = [0.0]
        of = model(MACHINES["snc"], now)
        of.write(0, SNC_CONFIG, shared)
        for cpu in (0, 1):
            of.write(cpu, PQR_ASSOC, 3)
        now[0] = 1.0
        counted = set()
        for rmid in range(64):
            of.write(0, QM_EVTSEL, rmid << 32 | 2)
            if of.read(0, QM_CTR):
                counted.add(rmid)
        assert counted == busy


def test_each_processor_has_its_own_l2_and_shares_the_l3_of_its_socket() -> None:
    of = model(dataclasses.replace(MACHINES["sparse-l2"], cores=2))
    of.write(1, L2_MASK + 3, 0xF)
    of.write(1, L3_MASK + 3, 0xF)
    state = of.state()
    assert {cpu: masks[3] for cpu, masks in state.l2_mask.items()} == {0: 0xFFFF, 1: 0xF, 2: 0xFFFF, 3: 0xFFFF}
    assert {cache: masks[3] for cache, masks in state.l3_mask.items()} == {0: 0xF, 1: 0x7FF}


@pytest.mark.parametrize(
    ("name", "leaf", "subleaf", "answer"),
    [
        ("intel", 0x10, 0, (0, 1 << 1 | 1 << 3, 0, 0)),
        ("sparse-l2", 0x10, 0, (0, 1 << 1 | 1 << 2 | 1 << 3, 0, 0)),
        ("sparse-l2", 0x10, 1, (10, 0, 1 << 2 | 1 << 3, 15)),
        ("sparse-l2", 0x10, 2, (15, 0, 1 << 2, 7)),
        ("amd", 0x10, 0, (0, 1 << 1, 0, 0)),
        ("amd", 0x80000020, 0, (0, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6, 0, 0)),
        ("amd-bmec", 0x80000020, 0, (0, 1 << 1 | 1 << 2 | 1 << 3, 0, 0)),
        ("amd", 0x80000020, 1, (11, 0, 0, 15)),
        ("amd", 0x80000020, 3, (0, 2, 0x7F, 0)),
        ("amd", 0x80000020, 5, (0, 31, 0, 0)),
        ("amd-bmec", 0x80000020, 5, (0, 0, 0, 0)),
        ("snc", 0xF, 1, (8, 65536, 63, 0b111)),
    ],
)
def test_cpuid_lists_what_the_processor_offers(
    name: str, leaf: int, subleaf: int, answer: tuple[int, int, int, int]
) -> None:
    assert model(MACHINES[name]).cpuid(leaf, subleaf, 0) == answer


def test_a_machine_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cores cannot be divided among 2 Sub-NUMA nodes"):
        dataclasses.replace(MACHINES["snc"], cores=3)
    with pytest.raises(ValueError, match="AMD has neither"):
        dataclasses.replace(MACHINES["amd"].rdt, snc_nodes=2)
