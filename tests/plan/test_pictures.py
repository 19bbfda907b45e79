"""The pictures of a plan: the letters that ``show`` has afterwards, and what the other groups have before and after."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune.apply.run import Connection, apply
from cachetune.domain import load
from cachetune.host.read import read_host
from cachetune.picture import letter_of
from cachetune.plan import Options, Plan, plan
from cachetune.plan.render import render
from cachetune.sim import SimulatedResctrl, load_profile
from tests.samples import GUEST, TIDS


def planned(sim: SimulatedResctrl, ways: int, size_kib: int = 2304) -> Plan:
    size = f"<cache id='0' level='3' type='both' size='{ways * size_kib}' unit='KiB'/>"
    loaded = load(f"<cputune><cachetune vcpus='0-1'>{size}</cachetune></cputune>".encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return plan(replace(loaded.domain, name="m"), read_host(sim), GUEST, Options(shrink_default=True))


def text(made: Plan) -> list[str]:
    return [line.text for line in render(made)]


@pytest.fixture
def sim() -> SimulatedResctrl:
    """The groups a and z have a way each, the default group has the rest of cache 0."""
    made = SimulatedResctrl(load_profile("skylake-2s"))
    for tid in TIDS:
        made.add_task(tid)
    for name, mask in ((".", "1fe"), ("a", "400"), ("z", "200")):
        if name != ".":
            made.mkdir(name)
        made.write("schemata" if name == "." else f"{name}/schemata", f"L3:0={mask}\n")
    return made


def test_a_plan_shows_each_way_before_and_after_beside_those_of_other_groups(sim: SimulatedResctrl) -> None:
    assert text(planned(sim, 3))[:6] == [
        "~ the default group",
        "    L3 0  --dddddddd. 1fe -> --dddddd--- 1f8",
        "+ cachetune-m-vcpus_0-1  (vCPUs 0-1)",
        "    L3 0  --------BBB 007  6.75 MiB",
        "    L3 1  ########### 7ff  shared with the default group",
        "          ^^",
    ]


def test_the_letters_are_those_of_the_host_afterwards(sim: SimulatedResctrl, tmp_path: Path) -> None:
    made = planned(sim, 3)
    assert apply(made, Connection(sim, tmp_path)).exit_code == 0
    letters = {group.path: letter_of(i) for i, group in enumerate(read_host(sim).control_groups())}
    assert letters == {".": "d", "a": "A", "cachetune-m-vcpus_0-1": "B", "z": "C"}


def test_more_ways_than_fit_beside_each_other_are_below_each_other() -> None:
    sim = SimulatedResctrl(load_profile("kunpeng-920-mpam"))
    for tid in TIDS:
        sim.add_task(tid)
    size = "<cache id='1' level='3' type='both' size='4' unit='MiB'/>"
    domain = load(f"<cputune><cachetune vcpus='0'>{size}</cachetune></cputune>".encode(), "web.xml").domain
    assert domain is not None
    made = plan(replace(domain, name="m"), read_host(sim), GUEST, Options(shrink_default=True))
    assert text(made)[1:3] == [
        "    L3 1    dddddddddddddddddddddddddddd fffffff ->",
        "            dddddddddddddddddddddddddd-- ffffffc",
    ]


def test_the_legend_is_above_the_summary(sim: SimulatedResctrl) -> None:
    legend = "Ways: letter = this group, # = several groups, - = other groups, . = free, ^ = shared with I/O"
    assert text(planned(sim, 3))[-2] == legend
