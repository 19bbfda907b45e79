"""The 2018 proposal on a real kernel: planned, applied to a process with vCPU threads, read back and removed.

As it was written, with code and data apart (CDP), and with unified caches on a plain mount.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cachetune.cbm import Cbm, Masks
from cachetune.host.resctrl.schemata import parse
from tests.kernel.conftest import ROOT, Scenario
from tests.kernel.hosts import host
from tests.kernel.scenarios.pipeline import Outcome
from tests.kernel.vm import HwState, Machine, Result

pytestmark = pytest.mark.kernel
EXAMPLES = ROOT / "examples"
# Elsewhere nothing stops the machine: the registers of its processors are in test_registers.py, their
# counters in test_machines.py.
REGISTERS_KERNEL = "6.1"
WITH_REGISTERS = [("6.1", "cdp"), pytest.param(("6.1", "plain"), marks=pytest.mark.soak)]
LARGE = [("newest", "plain"), ("newest, AMD", "plain"), ("newest, SNC", "plain")]
HOSTS = [
    *WITH_REGISTERS,
    ("newest, AMD", "cdp"),
    *(pytest.param(each, marks=pytest.mark.soak) for each in LARGE),
]
# Requested ways, by mount: resource, cache id and count. The machine's ways have 3840 KiB.
ASKED = {
    "plain": {("L3", 0): 2, ("L3", 1): 1},
    "cdp": {("L3CODE", 0): 2, ("L3DATA", 1): 1},
}


@pytest.fixture(scope="module", params=HOSTS, ids=" ".join)
def machine_and_mount(request: pytest.FixtureRequest) -> tuple[Machine, str]:
    name, mount = request.param
    return host(name, registers=name == REGISTERS_KERNEL), mount


@pytest.fixture(scope="module")
def mount(machine_and_mount: tuple[Machine, str]) -> str:
    return machine_and_mount[1]


@pytest.fixture(scope="module")
def kept(machine_and_mount: tuple[Machine, str]) -> Cbm:
    """The ways that the machine shares with I/O."""
    return Cbm(machine_and_mount[0].rdt.l3_shareable)


@pytest.fixture(scope="module")
def ran(
    machine_and_mount: tuple[Machine, str], scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Result]:
    machine, mount = machine_and_mount
    domain = tmp_path_factory.mktemp("domain") / "proposal.xml"
    text = _both_requests()
    if mount == "plain":
        text = text.replace("type='code'", "type='both'").replace("type='data'", "type='both'")
    domain.write_text(text)
    return scenario("pipeline", Outcome, str(domain), machine=machine, cdp=mount == "cdp")


def _both_requests() -> str:
    """The proposal's two requests in one domain, as one guest would have them."""
    monitor = (EXAMPLES / "proposal-monitor.xml").read_text()
    second = monitor[monitor.index("<cachetune") : monitor.index("</cputune>")]
    return (EXAMPLES / "proposal.xml").read_text().replace("</cputune>", f"{second}</cputune>")


@pytest.fixture(scope="module")
def outcome(ran: tuple[Outcome, Result]) -> Outcome:
    return ran[0]


@pytest.fixture(scope="module")
def registers(ran: tuple[Outcome, Result]) -> HwState:
    """Those of the moment after apply."""
    return ran[1].marks["applied"]


@pytest.fixture(scope="module")
def groups(outcome: Outcome) -> dict[str, Any]:
    """The planned groups by path."""
    assert outcome.plan.code == 0, outcome.plan.err
    return {group["path"]: group for group in json.loads(outcome.plan.out)["groups"]}


def masks_of(outcome: Outcome, path: str) -> Masks:
    return parse(outcome.during[path]["schemata"]).masks


def test_every_command_of_the_pipeline_succeeds(outcome: Outcome) -> None:
    runs = (outcome.plan, outcome.apply, outcome.diff, *outcome.monitor, outcome.show, outcome.remove)
    assert [(run.code, run.err) for run in runs if run.code] == []


def test_the_report_lists_all_steps_as_done(outcome: Outcome) -> None:
    report = json.loads(outcome.apply.out)
    assert report["outcome"] == "done"
    assert report["done"] == json.loads(outcome.plan.out)["steps"]


def test_each_thread_is_only_in_the_groups_of_its_vcpu(outcome: Outcome, groups: dict[str, Any]) -> None:
    guest = outcome.guest
    found = {path: {int(tid) for tid in files["tasks"].split()} & guest.tids for path, files in outcome.during.items()}
    control, inside, lone = sorted(groups, key=lambda path: (groups[path]["kind"], path.startswith("mon_groups")))
    assert found[control] == {guest.vcpus[0], guest.vcpus[1]}
    assert found[inside] == {guest.vcpus[0]}
    assert found[lone] == {guest.vcpus[3]}
    assert found["."] == guest.tids - found[control]
    assert set(found) == {".", control, inside, lone}


def test_the_kernel_shows_the_planned_schemata(outcome: Outcome, groups: dict[str, Any]) -> None:
    for path, group in groups.items():
        for resource, masks in group["schemata"].items():
            assert {str(i): f"{m:x}" for i, m in masks_of(outcome, path)[resource].items()} == masks


def test_only_the_group_has_the_requested_ways(mount: str, kept: Cbm, outcome: Outcome, groups: dict[str, Any]) -> None:
    (control,) = (path for path, group in groups.items() if group["kind"] == "control")
    ours, default = masks_of(outcome, control), masks_of(outcome, ".")
    for (resource, cache), ways in ASKED[mount].items():
        assert ours[resource][cache].bit_count() == ways
        assert ours[resource][cache] & default[resource][cache] == 0
        assert default[resource][cache] & kept == kept


@pytest.mark.parametrize("machine_and_mount", WITH_REGISTERS, ids=" ".join, indirect=True)
def test_the_masks_reach_the_processors_registers(
    mount: str, outcome: Outcome, groups: dict[str, Any], registers: HwState
) -> None:
    (control,) = (path for path, group in groups.items() if group["kind"] == "control")
    # the default group has CLOSID 0 and the first group made has 1; with CDP, data and code of one CLOSID alternate
    for closid, path in enumerate([".", control]):
        masks = masks_of(outcome, path)
        for cache in (0, 1):
            names = ["L3DATA", "L3CODE"] if mount == "cdp" else ["L3"]
            expected = [masks[name][cache] for name in names]
            first = closid * len(names)
            assert registers.l3_mask[cache][first : first + len(names)] == expected
    assert registers.cdp == {0: mount == "cdp", 1: mount == "cdp"}
    assert registers.refused == []


def test_a_dry_run_after_apply_finds_no_difference(outcome: Outcome, machine_and_mount: tuple[Machine, str]) -> None:
    """Sub-NUMA nodes are warned of in every plan: they divide the requested sizes."""
    warned = {"CT226"} if machine_and_mount[0].rdt.snc_nodes > 1 else set()
    assert (outcome.diff.code, set(re.findall(r"\[(CT\d+)\]", outcome.diff.err))) == (0, warned)


@pytest.mark.parametrize("machine_and_mount", WITH_REGISTERS, ids=" ".join, indirect=True)
def test_the_monitors_count(outcome: Outcome, groups: dict[str, Any]) -> None:
    first, second = (_bytes_moved(json.loads(run.out)) for run in outcome.monitor)
    assert set(first) == set(groups)
    for path, before in first.items():
        assert sum(second[path]) > sum(before), path
        assert all(later >= earlier for earlier, later in itertools.zip_longest(before, second[path]))


def test_remove_leaves_the_tree_as_found(outcome: Outcome) -> None:
    assert outcome.after == outcome.before


def test_nothing_is_left_to_recover(outcome: Outcome) -> None:
    assert not [name for name in outcome.left_in_run if Path(name).stem == "journal"]


def _bytes_moved(readings: Any) -> dict[str, list[int]]:
    return {
        reading["path"]: [c["value"] for c in reading["counters"] if c["event"] == "mbm_total_bytes"]
        for reading in readings["monitors"]
    }
