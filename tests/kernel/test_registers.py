"""The processor's registers: after each apply, masks and bandwidth are what the plan promised.

The examples that fit and random domains, on random hosts: processors of several makes, with foreign groups in the
way. A failure names the seed; CACHETUNE_REGISTERS_SEED draws others, CACHETUNE_CASES more of them for each setting.
"""

import dataclasses
import os
import pickle
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec
import pytest

from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.host.model import DEFAULT_GROUP, is_monitor
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.model import Plan
from cachetune.plan.steps import CreateGroup, RemoveGroup, WriteSchemata
from tests.kernel import vm
from tests.kernel.conftest import ROOT, Count, Scenario
from tests.kernel.hosts import NO_MBM, host
from tests.kernel.scenarios.registers import Case, Outcome

pytestmark = pytest.mark.kernel
SEED = os.environ.get("CACHETUNE_REGISTERS_SEED", "1")
FEW, MANY = 2, int(os.environ.get("CACHETUNE_CASES", "5"))  # random cases; one takes one to two seconds
MOST_PERCENT, MOST_EIGHTHS = 100, 2048

T = TypeVar("T")
Registers = dict[tuple[str, int], int]  # resource name and cache id to mask, or to percent of bandwidth


@dataclasses.dataclass(frozen=True)
class Setting:
    """A machine to test on, and how resctrl is mounted."""

    machine: vm.Machine
    options: str = ""


def _setting(name: str, options: str = "", sockets: int = 2, **rdt: int) -> Setting:
    return Setting(host(name, sockets=sockets, append=NO_MBM, rdt={"mba_closids": 16, **rdt}), options)


SETTINGS = {
    "6.1, 2 caches of 11 ways": _setting("6.1"),
    "6.1, 1 cache of 20 ways, cdp": _setting("6.1", "cdp", 1, l3_ways=20),
    "6.12, 4 caches of 20 ways": _setting("6.12", "debug", 4, l3_ways=20),
    "newest, AMD": _setting("newest, AMD", "debug"),
    "newest, AMD, cdp": _setting("newest, AMD", "cdp"),
    "newest, SNC": _setting("newest, SNC", "debug"),
    "newest, holes and L2, cdp": _setting("newest, L2", "cdp,cdpl2", l2_closids=16),
}


SMALL = [(name, FEW) for name in ("newest, AMD", "newest, holes and L2, cdp")]
LARGE = [(name, MANY) for name in SETTINGS]


@pytest.fixture(
    scope="module",
    params=[*SMALL, *(pytest.param(large, marks=pytest.mark.soak) for large in LARGE)],
    ids=lambda of: f"{of[0]}, {of[1]} random",
)
def setting_and_cases(request: pytest.FixtureRequest) -> tuple[Setting, int]:
    name, cases = request.param
    return SETTINGS[name], cases


@pytest.fixture(scope="module")
def setting(setting_and_cases: tuple[Setting, int]) -> Setting:
    return setting_and_cases[0]


@pytest.fixture(scope="module")
def ran(
    setting_and_cases: tuple[Setting, int], scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, vm.Result]:
    setting, cases = setting_and_cases
    given = tmp_path_factory.mktemp("domains") / "examples.pickle"
    given.write_bytes(pickle.dumps(_examples()))
    words = (SEED, str(cases), str(given))
    cpu_limit = 900 + 30 * cases
    outcome, result = scenario(
        "registers", Outcome, *words, machine=setting.machine, options=setting.options, cpu_limit=cpu_limit
    )
    return outcome, result


def _examples() -> dict[str, Domain]:
    """The examples that are domains, read here: in the machine that takes long. Their guest has another name there."""
    read = {path.stem: load(path.read_bytes(), path.name).domain for path in sorted((ROOT / "examples").rglob("*.xml"))}
    return {name: msgspec.structs.replace(d, name="guest", uuid=None) for name, d in read.items() if d}


def test_the_registers_match_the_plan(ran: tuple[Outcome, vm.Result], record_property: Count) -> None:
    outcome, result = ran
    compared = [
        (f"{case.name}: {path} (CLOSID {closid})", _promised(path, plan, before, after), _registers(after, closid))
        for case in outcome.cases
        for before, plan, after, closids in _applies(case, result)
        for path, closid in closids.items()
    ]
    record_property("domains", len(outcome.cases))
    record_property("registers compared", sum(len(wanted) for _, wanted, _ in compared))
    wrong = [f"{where} {wanted}, but has {found}" for where, wanted, found in compared if wanted != found]
    assert wrong == [], f"with CACHETUNE_REGISTERS_SEED={SEED}"
    assert result.hw_state.refused == []


def test_remove_does_not_change_the_registers_of_the_remaining_groups(
    ran: tuple[Outcome, vm.Result],
) -> None:
    outcome, result = ran
    for case in outcome.cases:
        for closid in _closids_of_others(case).values():
            before, after = (result.marks[f"{case.name} {moment}"] for moment in ("before", "removed"))
            assert _registers(after, closid) == _registers(before, closid), case.name


def test_every_plan_was_applied_and_enough_domains_fit(
    ran: tuple[Outcome, vm.Result], setting_and_cases: tuple[Setting, int]
) -> None:
    (outcome, _), (_, cases) = ran, setting_and_cases
    assert {said for case in outcome.cases for said in case.outcomes} <= {"done", "nothing to do"}
    drawn = [case for case in outcome.cases if case.name.isdecimal()]
    assert len(drawn) == cases
    assert sum(bool(case.plans) for case in drawn) >= 0.8 * cases


def test_the_kernel_hands_out_the_closids_that_this_test_expects(
    ran: tuple[Outcome, vm.Result], setting: Setting
) -> None:
    outcome, result = ran
    told = 0
    for case in outcome.cases:
        for (_, _, _, closids), hw_ids in zip(_applies(case, result), case.hw_ids, strict=True):
            assert hw_ids in ({}, closids), case.name
            told += bool(hw_ids)
    assert bool(told) == (setting.options == "debug")


Moment = tuple[dict[str, Registers], Plan, vm.HwState, dict[str, int]]


def _applies(case: Case, result: vm.Result) -> Iterator[Moment]:
    """Each apply of a case: the registers by group before it, the plan, the hardware after it, the CLOSIDs then."""
    closids = _closids_of_others(case)
    hardware = result.marks[f"{case.name} before"]
    for number, plan in enumerate(case.plans):
        before = {path: _registers(hardware, closid) for path, closid in closids.items()}
        closids = _follow(closids, plan)
        hardware = result.marks[f"{case.name} applied {number}"]
        yield before, plan, hardware, closids


def _closids_of_others(case: Case) -> dict[str, int]:
    numbered = {DEFAULT_GROUP: 0} | {path: number for number, path in enumerate(case.others, 1)}
    return {path: closid for path, closid in numbered.items() if path not in case.gone}


def _follow(closids: dict[str, int], plan: Plan) -> dict[str, int]:
    """The kernel gives a new control group the lowest CLOSID that is free."""
    now = dict(closids)
    for step in plan.steps:
        if isinstance(step, CreateGroup) and not is_monitor(step.path):
            now[step.path] = next(n for n in range(len(now) + 1) if n not in now.values())
        elif isinstance(step, RemoveGroup):
            now.pop(step.path, None)
    return now


def _promised(path: str, plan: Plan, before: dict[str, Registers], after: vm.HwState) -> Registers:
    """A group's values according to the plan: all of them for the guest's groups, only written ones for others."""
    planned = next((g for g in plan.groups if g.path == path), None)
    if planned:
        said = _flat(planned.schemata.masks) | _flat(planned.schemata.bandwidth)
        most = MOST_EIGHTHS if after.mb_limit else MOST_PERCENT
        free = {key: most for key in before[DEFAULT_GROUP] if key[0] in ("MB", "SMBA")}
        return free | said
    values = dict(before[path])
    for step in plan.steps:
        if isinstance(step, WriteSchemata) and step.path == path:
            written = parse(step.after)
            values |= _flat(written.masks) | _flat(written.bandwidth)
    return values


def _flat(values: Mapping[str, Mapping[int, T]]) -> dict[tuple[str, int], T]:
    return {(name, i): value for name, of in values.items() for i, value in of.items()}


def _registers(state: vm.HwState, closid: int) -> Registers:
    """All that the hardware holds for a CLOSID; code and data apart where CDP is on."""
    found: Registers = {}
    for level, of_level, cdp in (("L3", state.l3_mask, state.cdp), ("L2", state.l2_mask, state.l2_cdp)):
        for cache, masks in of_level.items():
            if cdp[cache]:
                found[f"{level}DATA", cache], found[f"{level}CODE", cache] = masks[2 * closid : 2 * closid + 2]
            else:
                found[level, cache] = masks[closid]
    found |= {("MB", cache): MOST_PERCENT - delays[closid] for cache, delays in state.mba_delay.items()}
    found |= {("MB", cache): limits[closid] for cache, limits in state.mb_limit.items()}
    found |= {("SMBA", cache): limits[closid] for cache, limits in state.smba_limit.items()}
    return found
