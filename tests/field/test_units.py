"""Numbers that mean something else than the user thinks: other units, shared ways, unknown maxima."""

import time

import msgspec
import pytest

from cachetune.host.read import read_host
from cachetune.plan import PlanRefusedError, plan
from cachetune.plan.render import render
from cachetune.plan.steps import WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.profile import Profile
from tests.field.hosts import L3_WAY, SHRINK, guest, l3, node, planned, rules, text, warning
from tests.rules.scenes import NODE_0, amd, with_snc
from tests.samples import GUEST


def test_a_percentage_on_a_host_remounted_with_mba_mbps_is_warned_of() -> None:
    before, after = (read_host(SimulatedResctrl(load_profile(f"sapphire-rapids{mount}"))) for mount in ("", "-mbps"))
    assert rules(planned(guest(node(0)), before)) == []
    made = planned(guest(node(0)), after)
    found = warning(made, "CT225")
    assert found.message == "bandwidth 50 is 50 MiB/s on this host"
    assert found.hint == "request MiB/s, or mount resctrl without mba_MBps if the number is meant as percent"
    assert "MB 0  50 MiB/s" in text(made)


@pytest.mark.parametrize("profile", ["milan", "genoa"])
def test_a_percentage_on_amd_is_warned_of_and_shown_as_what_it_is(profile: str) -> None:
    made = planned(guest(node(0)), read_host(SimulatedResctrl(load_profile(profile))))
    assert warning(made, "CT225").message == "bandwidth 50 is 6.25 GB/s on this host"
    assert "MB 0  50 (6.25 GB/s)" in text(made)
    assert rules(planned(guest(node(0, 101)), read_host(SimulatedResctrl(load_profile(profile))))) == []


def test_a_limit_that_cannot_be_lifted_is_named() -> None:
    made = plan(guest(NODE_OF_0_AND_1), amd(default=1000), GUEST)
    assert warning(made, "CT227").message == (
        "cachetune-web-vcpus_0-1 keeps its limit on MB nodes 2-11: the maximum of this host is not known"
    )
    assert not any(isinstance(step, WriteSchemata) for step in made.steps)
    lifted = plan(NODE_0, amd(default=4096), GUEST)
    assert "MB:1=4096;2=4096" in next(step.after for step in lifted.steps if isinstance(step, WriteSchemata))


NODE_OF_0_AND_1 = "<memorytune vcpus='0-1'><node id='0' bandwidth='400'/><node id='1' bandwidth='400'/></memorytune>"


def test_with_sub_numa_clustering_each_node_has_a_part_of_the_size() -> None:
    two = f"{l3(2 * L3_WAY)}{l3(3 * L3_WAY, 1).replace('0-1', '2')}"
    made = planned(guest(two), with_snc(2))
    found = warning(made, "CT226")
    assert found.message == (
        "2 Sub-NUMA nodes share each L3 cache and divide every way: 4.5 MiB is 2.25 MiB in each of them"
    )
    assert found.line == 4, "once, at the first size"
    assert "060  4.5 MiB (2.25 MiB in each of 2 Sub-NUMA nodes)" in text(made)
    assert made.groups[0].schemata.masks["L3"][0] == 0x060, "the mask is libvirt's"
    assert rules(planned(guest(node(0)), with_snc(2))) == []


def granite() -> Profile:
    """Two sockets of 128 cores, with an L2 for each core and both levels controlled."""
    cores = range(256)
    return msgspec.json.decode(
        msgspec.json.encode(
            {
                "kind": "profile",
                "name": "granite-2s",
                "caches": [
                    {
                        "level": 3,
                        "ids": [0, 1],
                        "cpu_lists": ["0-127,256-383", "128-255,384-511"],
                        "size_bytes": 528482304,
                        "ways": 16,
                        "closids": 15,
                        "shareable": "c000",
                    },
                    {
                        "level": 2,
                        "ids": list(cores),
                        "cpu_lists": [f"{core},{core + 256}" for core in cores],
                        "size_bytes": 2097152,
                        "ways": 16,
                        "closids": 8,
                    },
                ],
                "bandwidths": [
                    {"name": "MB", "closids": 15, "min_bandwidth": 10, "bandwidth_gran": 10, "max_bandwidth": 100}
                ],
            }
        ),
        type=Profile,
    )


def test_caches_that_are_treated_alike_share_a_line() -> None:
    on = read_host(SimulatedResctrl(granite()))
    made = planned(guest(node(0)), on)
    assert [line.text for line in render(made)][:-1] == [
        "+ cachetune-web-vcpus_0-3  (vCPUs 0-3)",
        "    L2 0-255  ################ ffff  shared with the default group",
        "    L3 0-1    ################ ffff  shared with the default group",
        "              ^^",
        "    MB 0      50 percent",
        "Ways: # = several groups, ^ = shared with I/O",
    ]


def test_a_cache_that_differs_has_its_own_line() -> None:
    on = read_host(SimulatedResctrl(granite()))
    asked = guest("<cachetune vcpus='0'><cache id='7' level='2' type='both' size='256' unit='KiB'/></cachetune>")
    lines = text(planned(asked, on, options=SHRINK)).splitlines()
    assert lines[1].startswith("    L2 7  dddddddddddddddd ffff -> ")
    assert [line.split()[:2] for line in lines[3:6]] == [["L2", "0-6,8-255"], ["L2", "7"], ["L3", "0-1"]]


def test_two_requests_that_fill_every_cache_are_refused_in_seconds() -> None:
    caches = "".join(f"<cache id='{i}' level='2' type='both' size='1920' unit='KiB'/>" for i in range(256))
    asked = guest(f"<cachetune vcpus='0'>{caches}</cachetune><cachetune vcpus='1'>{caches}</cachetune>")
    before = time.process_time()
    with pytest.raises(PlanRefusedError) as caught:
        plan(asked, read_host(SimulatedResctrl(granite())), None, SHRINK)
    assert time.process_time() - before < 10
    hints = {f.hint for f in caught.value.findings if f.rule == "CT207"}
    assert hints == {"nothing is left beside the other requests for this cache; request less in each"}
