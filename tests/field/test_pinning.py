"""Guests that are pinned to CPUs without the caches that they request."""

from pathlib import Path

import msgspec
import pytest

from cachetune.guests.model import Guest
from cachetune.host.model import Host, Topology
from cachetune.host.read import read_host
from cachetune.plan import PlanRefusedError, plan
from cachetune.sim import SimulatedResctrl, load_profile
from tests.field.hosts import KUNPENG, L3_WAY, SHRINK, guest, host, l3, node, planned, rules, warning
from tests.samples import GUEST

PINS = "<vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3'/>"
FIRST_SOCKET = "<vcpu placement='static' cpuset='0-17'>4</vcpu>"


def skylake() -> Host:
    return read_host(SimulatedResctrl(load_profile("skylake-2s")))


def running(*cpus: str) -> Guest:
    """The guest, each vCPU's thread with these CPUs."""
    threads = (msgspec.structs.replace(t, cpus=c) for t, c in zip(GUEST.threads, cpus, strict=True))
    return Guest(GUEST.pid, tuple(threads))


def test_for_a_guest_pinned_to_another_socket_the_cache_of_its_cpus_is_named() -> None:
    made = planned(guest(PINS + l3(2 * L3_WAY, 1), FIRST_SOCKET), skylake(), options=SHRINK)
    found = warning(made, "CT223")
    assert found.message == "vCPUs 0-1 can only run on CPUs 2-3, which have L3 cache 0, not L3 cache 1"
    assert found.hint == "request L3 cache 0, or pin to CPUs of L3 cache 1: 18-35,54-71"
    assert found.path.endswith("cachetune[1]/cache[1]/@size")


def test_bandwidth_of_another_socket_is_the_same() -> None:
    found = warning(planned(guest(node(1), FIRST_SOCKET), skylake()), "CT223")
    assert found.message == (
        "vCPUs 0-3 can only run on CPUs 0-17, which have memory bandwidth node 0, not memory bandwidth node 1"
    )


def test_the_threads_of_a_running_guest_count_more_than_its_xml() -> None:
    asked = guest(PINS + l3(2 * L3_WAY, 1), FIRST_SOCKET)
    made = planned(asked, skylake(), running("18-35", "18-35", "", ""), SHRINK)
    assert rules(made) == []
    asked = guest(l3(2 * L3_WAY, 1))
    found = warning(planned(asked, skylake(), running("0", "36", "0-71", "0-71"), SHRINK), "CT223")
    assert "can only run on CPUs 0,36, which have L3 cache 0" in found.message


@pytest.mark.parametrize("cpus", [("0", "18"), ("0-71", "0"), ("", "0"), ("99", "18")])
def test_one_vcpu_that_can_use_the_cache_or_may_run_anywhere_is_enough(cpus: tuple[str, str]) -> None:
    made = planned(guest(l3(2 * L3_WAY, 1)), skylake(), running(*cpus, "", ""), SHRINK)
    assert rules(made) == []


def test_without_topology_nothing_is_said() -> None:
    blind = msgspec.structs.replace(skylake(), topology=Topology())
    assert rules(planned(guest(PINS + l3(2 * L3_WAY, 1)), blind, options=SHRINK)) == []


def test_on_mpam_the_cpus_of_a_bandwidth_node_are_those_of_the_numa_node(tmp_path: Path) -> None:
    topology = Topology({3: {1: "0-63", 122: "64-127"}}, {0: "0-31", 1: "32-127"})
    on = msgspec.structs.replace(host(KUNPENG, tmp_path), topology=topology)
    asked = guest("<vcpupin vcpu='0' cpuset='40'/><memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune>")
    assert (
        "which have memory bandwidth node 1, not memory bandwidth node 0"
        in warning(planned(asked, on), "CT223").message
    )


def test_cpus_without_any_such_cache_are_said_to_have_none() -> None:
    on = msgspec.structs.replace(skylake(), topology=Topology({3: {1: "18-35,54-71"}}))
    found = warning(planned(guest(PINS + l3(2 * L3_WAY, 1)), on, options=SHRINK), "CT223")
    assert "which have no L3 cache, not" in found.message
    assert found.hint == "pin to CPUs of L3 cache 1: 18-35,54-71"


def test_the_warning_comes_with_a_refusal_too() -> None:
    with pytest.raises(PlanRefusedError) as caught:
        plan(guest(PINS + l3(2 * L3_WAY, 1)), skylake())
    assert {"CT207", "CT223"} <= {f.rule for f in caught.value.findings}
