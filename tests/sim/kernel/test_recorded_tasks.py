"""Writes to tasks and cpus are answered as real kernels answered them."""

import pytest

from cachetune.sim import SimulatedResctrl
from tests.sim.kernel.asking import KERNELS, ask, machine, where
from tests.sim.kernel.recorded.cpus import WRITES
from tests.sim.kernel.recorded.tasks import ODD_TASKS, PROCESSES, THREADS

SELF = 900
Row = tuple[str, str, str, str, str, tuple[str, str, str] | None]


def _machine(kernel: str) -> SimulatedResctrl:
    sim = machine(kernel=kernel, writer=SELF)
    for tid in (8, 16):
        sim.add_task(tid)
    for group in ("g1", "g2", "g1/mon_groups/m1", "g2/mon_groups/m2", "mon_groups/m0"):
        sim.mkdir(group)
    return sim


def _named(text: str, tids: dict[str, int]) -> str:
    for name, tid in tids.items():
        text = text.replace(str(tid), name)
    return text


def _numbered(text: str, tids: dict[str, int]) -> str:
    for name, tid in tids.items():
        text = text.replace(name, str(tid))
    return text


def _follow(sim: SimulatedResctrl, row: Row, tids: dict[str, int]) -> None:
    group, text, result, status, places, newer = row
    expected = (result, status, places) if newer is None or sim.kernel == "6.1" else newer
    said, message = ask(sim, sim.write, f"{group}/tasks", _numbered(text, tids))
    assert (said, _named(message, tids), where(sim, tids)) == expected, row


@pytest.mark.parametrize("kernel", KERNELS)
def test_processes_move_as_recorded(kernel: str) -> None:
    sim, tids = _machine(kernel), {"A": 2001, "B": 2002, "C": 2003}
    for tid in tids.values():
        sim.add_task(tid)
    for row in PROCESSES:
        _follow(sim, row, tids)
        if row[1] == ",\n":
            assert sim.read("g1/tasks") == f"8\n16\n{SELF}\n"
    for tid in tids.values():
        sim.end_task(tid)
    assert (sim.read("g1/tasks"), sim.read("g2/tasks")) == (f"8\n16\n{SELF}\n", "")


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_threads_zombies_and_children_move_as_recorded(kernel: str) -> None:
    sim, tids = _machine(kernel), {"A": 2001, "B": 2002, "C": 2003}
    odd = {"K": 2004, "Z": 2005, "SELF": SELF}
    for tid in (*tids.values(), 2004, 2005):
        sim.add_task(tid)
    family = {"SELF": SELF}
    for row in ODD_TASKS:
        group, text, *_, places, _ = row
        if group == "":
            sim.add_task(2006, parent=SELF)
            family["CHILD"] = 2006
            assert where(sim, tids | family) == places
            continue
        name = text.strip().replace("0", "SELF")
        if "nowhere" in places:
            sim.end_task(odd[name])
        _follow(sim, row, tids | (family if name == "SELF" else {name: odd[name]}))


@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_move_one_by_one_and_inherit_as_recorded(kernel: str) -> None:
    sim, tids = _machine(kernel), {"SELF": SELF, "T": 2007}
    sim.add_task(2007, parent=SELF)
    for row in THREADS:
        if row[0] == "":
            sim.add_task(2008, parent=SELF)
            tids["N"] = 2008
            assert where(sim, tids) == row[4]
        else:
            _follow(sim, row, tids)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cpus_move_as_recorded(kernel: str) -> None:
    sim = machine(kernel=kernel)
    groups = ("", "g1/", "g2/", "g1/mon_groups/m1/", "g1/mon_groups/m2/")
    for group in groups[1:]:
        sim.mkdir(group)
    for path, text, result, status, lists in WRITES:
        assert ask(sim, sim.write, path, text) == (result, status), (path, text)
        assert " / ".join(sim.read(f"{g}cpus_list").strip() or "-" for g in groups) == lists, (path, text)
