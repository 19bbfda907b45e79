"""The newest kernel on each processor that the runner models: what it finds, and that its counters count.

The programs are of a few lines for the shell, which the machine runs quickly although each counter that is read stops
it.
"""

import pytest

from tests.kernel import vm
from tests.kernel.conftest import require
from tests.kernel.hosts import WAY_KIB, host

pytestmark = pytest.mark.kernel
MBM_EVENTS = ("mbm_total_bytes", "mbm_local_bytes")
# What is in info/ on each, next to last_cmd_status.
FOUND = {
    "newest": {"L3", "L3_MON", "MB"},
    "newest, AMD": {"L3", "L3_MON", "MB", "SMBA"},
    "newest, SNC": {"L3", "L3_MON", "MB"},
    "newest, L2": {"L2", "L3", "L3_MON", "MB"},
}
# What there is; the counters of the default group before and after a second; a new group's RMID and assigned counters.
COUNTING = """
cd /sys/fs/resctrl && mkdir new || exit
echo info/*; echo ===; grep -r . mon_data; sleep 1; echo ===; grep -r . mon_data; echo ===
cat new/mon_hw_id; [ ! -e new/mbm_L3_assignments ] || cat new/mbm_L3_assignments
echo mark counted >/dev/kernelvm
"""

Counters = dict[str, int]


class Ran:
    """What the program printed, in its parts."""

    def __init__(self, result: vm.Result) -> None:
        assert result.status == 0, result.stderr
        info, before, after, new = result.stdout.split("===\n")
        self.info = {path.removeprefix("info/") for path in info.split()} - {"last_cmd_status"}
        self.before, self.after = _counters(before), _counters(after)
        rmid, _, self.assignments = new.partition("\n")
        self.rmid = int(rmid)
        self.registers = result.marks["counted"]


def _counters(text: str) -> Counters:
    lines = (line.removeprefix("mon_data/").partition(":") for line in text.splitlines())
    return {path: int(value) for path, _, value in lines}


@pytest.fixture(scope="module", params=FOUND)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ran(name: str) -> Ran:
    machine = host(name, sockets=1)
    require(machine.kernel)
    return Ran(vm.run(["sh", "-c", COUNTING], machine=machine, options="debug"))


def test_the_kernel_finds_the_processors_resources(name: str, ran: Ran) -> None:
    assert ran.info == FOUND[name]


def test_the_counters_of_the_default_group_grow_and_its_cache_is_full(ran: Ran) -> None:
    for event in MBM_EVENTS:
        grown = {path for path in ran.after if path.endswith(event) and ran.after[path] > ran.before[path]}
        assert grown, event
    ways = ran.registers.l3_mask[0][0].bit_count()
    assert ran.after["mon_L3_00/llc_occupancy"] == pytest.approx(ways * WAY_KIB * 1024, rel=0.01)


def test_no_register_was_written_that_a_real_processor_refuses(ran: Ran) -> None:
    assert ran.registers.refused == []


@pytest.mark.parametrize("name", ["newest, AMD"], indirect=True)
def test_on_amd_the_counters_that_the_kernel_says_are_assigned_are_those_of_the_processor(ran: Ran) -> None:
    assert ran.assignments == "mbm_total_bytes:0=e\nmbm_local_bytes:0=e\n"
    for assigned in ran.registers.assigned.values():
        assert sorted(kinds for rmid, kinds in assigned.values() if rmid == ran.rmid) == [0x15, 0x7F]


@pytest.mark.parametrize("name", ["newest, SNC"], indirect=True)
def test_with_sub_numa_clusters_each_node_counts_and_the_cache_has_their_sum(ran: Ran) -> None:
    assert ran.registers.rmids_shared == {0: False}
    for event in MBM_EVENTS:
        parts = [[of[f"mon_L3_00/mon_sub_L3_0{node}/{event}"] for node in (0, 1)] for of in (ran.before, ran.after)]
        assert sum(parts[0]) < ran.after[f"mon_L3_00/{event}"]
        assert ran.before[f"mon_L3_00/{event}"] < sum(parts[1])
