"""The run directory's files are input: each contradiction is named before anything is done, and the host stays."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal, reservations
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.errors import ApplyRefusedError, JournalDamagedError, StateFileError
from cachetune.host.model import Group
from cachetune.plan import Plan
from cachetune.plan.steps import MoveTasks, Step, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.samples import plan_for, web

Json = dict[str, Any]
GROUP = "cachetune-web-vcpus_0-1"


@pytest.fixture
def plan(connection: Connection) -> Plan:
    return plan_for(web("skylake-2s"), connection)


# ---- the ledger

LEDGERS: dict[str, tuple[Callable[[Json], object], str]] = {
    "a resource only in before": (
        lambda d: d["shrunk"]["before"].update(L2={"0": "f"}),
        "before, after and shared differ in whether they have L2 cache 0",
    ),
    "a cache only in after": (
        lambda d: d["shrunk"]["after"]["L3"].update({"1": "f"}),
        "before, after and shared differ in whether they have L3 cache 1",
    ),
    "a cache only in shared": (
        lambda d: d["shrunk"]["shared"]["L3"].update({"1": "f"}),
        "before, after and shared differ in whether they have L3 cache 1",
    ),
    "nothing given up": (
        lambda d: d["shrunk"]["after"]["L3"].update({"0": "7ff"}),
        "L3 cache 0 was 7ff and is 7ff, which gives nothing up",
    ),
    "everything given up": (lambda d: d["shrunk"]["after"]["L3"].update({"0": "0"}), "was 7ff and is 0"),
    "shared what it had not": (
        lambda d: d["shrunk"]["shared"]["L3"].update({"0": "800"}),
        "L3 cache 0 shared 800, which is not within 7ff",
    ),
    "not a cache": (
        lambda d: [d["shrunk"][of].update(MB={"0": "f" if of == "before" else "1"}) for of in ("before", "after")],
        "MB cache 0 is not a cache",
    ),
    "a group twice": (
        lambda d: d["guests"].update({"cachetune-web-vcpus": d["guests"]["cachetune-web"]}),
        f"group '{GROUP}' occurs 2 times",
    ),
    "the default group": (
        lambda d: d["guests"]["cachetune-web"].update(groups=["."]),
        "'.' is not the path of a group of 'cachetune-web'",
    ),
    "a foreign group": (
        lambda d: d["guests"]["cachetune-web"].update(groups=["COS1"]),
        "'COS1' is not the path of a group of 'cachetune-web'",
    ),
    "outside the root": (
        lambda d: d["guests"]["cachetune-web"].update(groups=["../cachetune-web"]),
        "'../cachetune-web' is not the path of a group",
    ),
}


@pytest.mark.parametrize("case", LEDGERS)
def test_a_ledger_that_contradicts_itself_is_named_before_anything_is_done(
    case: str, connection: Connection, plan: Plan, sim: SimulatedResctrl
) -> None:
    edit, message = LEDGERS[case]
    assert apply(plan, connection).outcome == "done"
    file = connection.run / "ledger.json"
    saved = json.loads(file.read_bytes())
    edit(saved)
    file.write_text(json.dumps(saved))
    before = sim.tree()
    for verb in (lambda: apply(plan, connection), lambda: recover(connection), lambda: load_ledger(connection.run)):
        with pytest.raises(StateFileError) as caught:
            verb()
        assert message in str(caught.value)
        assert caught.value.path == str(file)
        assert "move it away" in caught.value.hint
    assert sim.tree() == before


# ---- the journal


def written(connection: Connection, plan: Plan, steps: list[Step], *ends: str) -> None:
    """A journal with these steps, and then these records."""
    journal.delete(connection.run)
    log = journal.Journal.begin(connection.run, plan, connection.resctrl.source)
    for step in steps:
        log.taking(step)
    for end in ends:
        getattr(log, end)()
    log.keep()


OTHER = WriteSchemata("COS1", "L3:0=7ff\n", "L3:0=7fe\n")
JOURNALS: dict[str, tuple[Callable[[Plan], tuple[list[Step], tuple[str, ...]]], str]] = {
    "a step of another plan": (lambda _: ([OTHER], ()), "step 1 is not that of the plan"),
    "steps in another order": (lambda p: ([p.steps[1], p.steps[0]], ()), "step 1 is not that of the plan"),
    "a step left out": (lambda p: ([p.steps[0], p.steps[2]], ()), "step 2 is not that of the plan"),
    "a step more": (
        lambda p: ([*p.steps, OTHER], ()),
        "is not in the plan",
    ),
    "a move to a foreign group": (lambda p: ([*p.steps, MoveTasks("COS1", ".", (1,))], ()), "is not in the plan"),
    "done too early": (lambda p: ([p.steps[0]], ("done",)), "all steps are done, but only 1 of"),
    "done and not taken": (lambda p: (list(p.steps), ("done", "not_taken")), "not in the order of a run"),
    "done twice": (lambda p: (list(p.steps), ("done", "done")), "not in the order of a run"),
    "undone and then done": (lambda p: (list(p.steps), ("undoing", "done")), "not in the order of a run"),
    "nothing started": (lambda _: ([], ("not_taken",)), "a step was not taken, but none was recorded"),
    "nothing started, and undone": (lambda _: ([], ("not_taken", "undoing")), "but none was recorded"),
}


@pytest.mark.parametrize("case", JOURNALS)
def test_a_journal_that_no_run_writes_is_refused_and_kept(
    case: str, connection: Connection, plan: Plan, sim: SimulatedResctrl
) -> None:
    records, message = JOURNALS[case]
    steps, ends = records(plan)
    written(connection, plan, steps, *ends)
    before = sim.tree()
    with pytest.raises(ApplyRefusedError) as caught:
        recover(connection)
    assert caught.value.finding.rule == "CT506"
    assert message in str(caught.value)
    assert sim.tree() == before
    assert journal.exists(connection.run)


RIGHT: dict[str, Callable[[Plan], tuple[list[Step], tuple[str, ...]]]] = {
    "nothing taken": lambda _: ([], ()),
    "undone before the first step": lambda _: ([], ("undoing",)),
    "some taken": lambda p: (list(p.steps[:2]), ()),
    "the last not taken": lambda p: (list(p.steps[:2]), ("not_taken", "undoing")),
    "all done": lambda p: (list(p.steps), ("done",)),
    "done, but not on disk": lambda p: (list(p.steps), ("done", "undoing")),
    "threads that started since": lambda p: ([*p.steps, MoveTasks(GROUP, ".", (4712,))], ("done",)),
    "out of a monitor group": lambda p: ([*p.steps, MoveTasks(".", GROUP, (4712,))], ()),
}


@pytest.mark.parametrize("case", RIGHT)
def test_every_journal_that_a_run_writes_is_read(case: str, connection: Connection, plan: Plan) -> None:
    steps, ends = RIGHT[case](plan)
    written(connection, plan, steps, *ends)
    found = journal.read(connection.run)
    assert found is not None
    assert found.started == tuple(steps[: len(steps) - ("not_taken" in ends)])
    assert found.complete == (ends == ("done",))


def test_a_journal_whose_plan_contradicts_itself_is_refused(connection: Connection, plan: Plan) -> None:
    written(connection, msgspec.structs.replace(plan, groups=(*plan.groups, plan.groups[0])), [])
    with pytest.raises(JournalDamagedError, match="occurs 2 times"):
        journal.read(connection.run)


# ---- reservations

COMING = Group(path="qemu-3-web-vcpus_0", kind="control", owner="libvirt", masks=Masks({"L3": {0: Cbm(3)}}))
RESERVATIONS: dict[str, Callable[[Json], object]] = {
    "for longer than a minute": lambda d: d.update(until=d["until"] + 3600),
    "a group twice": lambda d: d["groups"].append(d["groups"][0]),
    "the default group": lambda d: d["groups"][0].update(path="."),
    "outside the root": lambda d: d["groups"][0].update(path="../x"),
    "the wrong kind": lambda d: d["groups"][0].update(kind="monitor"),
    "a monitor group alone": lambda d: d["groups"][0].update(path="COS1/mon_groups/x", kind="monitor"),
    "not a cache": lambda d: d["groups"][0].update(masks={"MB": {"0": "3"}}),
    "a cache below": lambda d: d["groups"][0].update(masks={"L3": {"-1": "3"}}),
    "an empty mask": lambda d: d["groups"][0].update(masks={"L3": {"0": "0"}}),
}


@pytest.mark.parametrize("case", RESERVATIONS)
def test_a_reservation_that_the_hook_does_not_make_reserves_nothing(case: str, tmp_path: Path) -> None:
    monitor = Group(path=f"{COMING.path}/mon_groups/x", kind="monitor", owner="libvirt")
    reservations.reserve(tmp_path, "web", (COMING, monitor))
    assert reservations.seconds_left(tmp_path).keys() == {COMING.path, monitor.path}
    (file,) = (tmp_path / "expected").iterdir()
    saved = json.loads(file.read_bytes())
    edited = copy.deepcopy(saved)
    RESERVATIONS[case](edited)
    file.write_text(json.dumps(edited))
    assert reservations.seconds_left(tmp_path) == {}
    reservations.forget_expired(tmp_path)
    assert list((tmp_path / "expected").iterdir()) == []
