"""What apply refuses before it touches anything: another host, leftovers, and plans that go beyond what is ours."""

from pathlib import Path

import msgspec
import pytest

from cachetune.apply import ledger
from cachetune.apply.applier import Place, apply
from cachetune.apply.guard import ApplyRefusedError
from cachetune.apply.journal import Journal
from cachetune.plan import Plan
from cachetune.plan.model import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.samples import TIDS, domain, group, host_with_guest, plan_for, web


@pytest.fixture
def sim() -> SimulatedResctrl:
    return host_with_guest("skylake-2s")


@pytest.fixture
def place(sim: SimulatedResctrl, tmp_path: Path) -> Place:
    return Place(sim, tmp_path)


def refused(plan: Plan, place: Place) -> str:
    """The message; and nothing was written."""
    assert isinstance(place.resctrl, SimulatedResctrl)
    before = len(place.resctrl.operations)
    with pytest.raises(ApplyRefusedError) as caught:
        apply(plan, place)
    assert len(place.resctrl.operations) == before
    return str(caught.value)


def with_steps(place: Place, *steps: Step) -> Plan:
    return msgspec.structs.replace(plan_for(web("skylake-2s"), place), steps=steps)


def test_a_plan_for_a_host_that_has_changed_since_says_what_has_changed(sim: SimulatedResctrl, place: Place) -> None:
    _make_foreign(sim)
    plan = plan_for(web("skylake-2s"), place)
    sim.rmdir("COS1")
    sim.mkdir("other")
    sim.write("schemata", "L3:0=7fe\n")
    message = refused(plan, place)
    assert "CT501" in message
    assert "group other is new" in message
    assert "group COS1 is gone" in message
    assert "group . was 'L3:0=7ff;1=7ff MB:0=100;1=100 shareable" in message


def test_a_plan_made_on_another_host_is_refused(place: Place, tmp_path: Path) -> None:
    other = Place(host_with_guest("icelake"), tmp_path / "other")
    assert "CT501" in refused(plan_for(web("icelake"), other), place)


def test_an_interrupted_run_comes_first(place: Place) -> None:
    plan = plan_for(web("skylake-2s"), place)
    Journal.begin(place.run, plan, "sim").keep()
    message = refused(plan, place)
    assert "CT503" in message
    assert "cachetune-web" in message


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (CreateGroup("cachetune-other-vcpus_0"), "does not carry the machine name"),
        (CreateGroup("../etc"), "leaves the resctrl root"),
        (CreateGroup("/etc"), "leaves the resctrl root"),
        (CreateGroup("info/cachetune-web"), "is no group's"),
        (CreateGroup("cachetune-web/x/cachetune-web"), "is no group's"),
        (CreateGroup("COS1/mon_groups/cachetune-web-vcpus_0"), "make a monitor in COS1"),
        (WriteSchemata("COS1", "", "L3:0=1\n"), "write to the group COS1"),
        (WriteSchemata(".", "MB:0=100\n", "MB:0=10\n"), "change more of group . than masks"),
        (WriteSchemata(".", "L3:0=7ff\n", "L3:0=0\n"), "give group . the mask 0"),
        (RemoveGroup(".", ""), "remove the group ."),
        (RemoveGroup("COS1", "L3:0=7ff\n"), "remove the group COS1"),
        (WriteSchemata(".", "MB:0=10\n", "L3:0=7fe\n"), "start from other values of ."),
        (WriteSchemata(".", "", "L3:0=7fe\n"), "start from other values of ."),
        (WriteSchemata(".", "L3:0=7ff\n", "nonsense\n"), "is no schemata of ours"),
        (MoveTasks(".", "COS1", (9000,)), "move thread 9000, which is not this guest's"),
        (MoveTasks("COS1", ".", TIDS), "move threads to the group COS1"),
    ],
)
def test_an_edited_plan_cannot_touch_what_is_not_ours(
    step: Step, what: str, sim: SimulatedResctrl, place: Place
) -> None:
    _make_foreign(sim)
    message = refused(with_steps(place, step), place)
    assert "CT504" in message
    assert what in message


@pytest.mark.parametrize(
    "step",
    [
        RemoveGroup("cachetune-db-vcpus_0", "L3:0=1;1=1\n"),
        MoveTasks("cachetune-db-vcpus_0", ".", TIDS),
        WriteSchemata("cachetune-db-vcpus_0", "L3:0=400\n", "L3:0=600\n"),
    ],
)
def test_an_edited_plan_cannot_touch_the_groups_of_another_guest(
    step: Step, sim: SimulatedResctrl, place: Place
) -> None:
    sim.mkdir("cachetune-db-vcpus_0")
    sim.write("cachetune-db-vcpus_0/schemata", "L3:0=400;1=400\n")
    assert "db-vcpus_0" in refused(with_steps(place, step), place)


def test_the_default_group_is_not_given_ways_that_somebody_else_has(sim: SimulatedResctrl, place: Place) -> None:
    sim.write("schemata", "L3:0=7f0\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=f;1=1\n")
    assert "CT504" in refused(with_steps(place, WriteSchemata(".", "L3:0=7f0\n", "L3:0=7ff\n")), place)


def test_a_machine_name_that_is_none_is_refused(place: Place) -> None:
    plan = plan_for(web("skylake-2s"), place)
    for name in ("..", "info", "a/b", "", "x" * 65):
        edited = msgspec.structs.replace(plan, guests=(msgspec.structs.replace(plan.guests[0], machine_name=name),))
        assert "CT504" in refused(edited, place)


def test_what_libvirt_made_is_changed_only_on_request(sim: SimulatedResctrl, place: Place) -> None:
    group_of = "qemu-7-web-vcpus_0-1"
    sim.mkdir(group_of)
    sim.write("schemata", "L3:0=00f;1=7ff\n")
    sim.write(f"{group_of}/schemata", "L3:0=7f0;1=7ff\n")
    live = msgspec.structs.replace(web("skylake-2s"), id=7)
    plan = plan_for(live, place)
    message = refused(plan, place)
    assert "CT508" in message
    assert group_of in message
    assert apply(plan, place, adopt=True).outcome == "done"
    assert sim.read(f"{group_of}/tasks").split() == [str(tid) for tid in TIDS[:2]]
    assert group_of not in ledger.load(place.run).owned


def test_two_guests_cannot_share_a_machine_name(place: Place) -> None:
    assert apply(plan_for(web("skylake-2s"), place), place).outcome == "done"
    other = domain(group({0}, (), (), [{0}]), name="web")
    twin = msgspec.structs.replace(other, uuid="b2a3")
    message = refused(plan_for(twin, place), place)
    assert "CT505" in message
    assert "'web'" in message


def test_a_twin_is_told_apart_although_its_name_is_the_machine_name(place: Place) -> None:
    first = plan_for(web("skylake-2s"), place)
    first = msgspec.structs.replace(first, guests=(msgspec.structs.replace(first.guests[0], name="cachetune-web"),))
    assert apply(first, place).outcome == "done"
    second = msgspec.structs.replace(first, guests=(msgspec.structs.replace(first.guests[0], uuid="b2a3"),))
    assert "CT505" in refused(second, place)


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ((WriteSchemata("cachetune-web-vcpus_0", "", "L3:0=7e0;1=7ff\n"),), "the mask 7e0 on L3 cache 0"),
        ((WriteSchemata("cachetune-web-vcpus_0", "", "L3:0=1;1=7ff\n"),), "the mask 1 on L3 cache 0"),
        ((MoveTasks("cachetune-web-vcpus_0", ".", (9000,)),), "move thread 9000"),
    ],
)
def test_an_edited_plan_gives_the_guest_neither_ways_nor_threads_of_others(
    steps: tuple[Step, ...], what: str, sim: SimulatedResctrl, place: Place
) -> None:
    sim.mkdir("cachetune-db-vcpus_0")
    sim.write("cachetune-db-vcpus_0/schemata", "L3:0=1;1=1\n")
    sim.write("schemata", "L3:0=7f0\n")
    sim.add_task(9000)
    assert what in refused(with_steps(place, CreateGroup("cachetune-web-vcpus_0"), *steps), place)


def test_a_thread_that_was_put_elsewhere_since_makes_the_plan_an_old_one(sim: SimulatedResctrl, place: Place) -> None:
    sim.write("schemata", "L3:0=3ff;1=3ff\n")
    _make_foreign(sim)
    plan = plan_for(web("skylake-2s"), place)
    sim.write("COS1/tasks", str(TIDS[0]))
    assert f"thread {TIDS[0]} was in group . and is in COS1" in refused(plan, place)


def test_the_ledger_forgets_a_guest_whose_groups_are_gone(sim: SimulatedResctrl, place: Place) -> None:
    assert apply(plan_for(web("skylake-2s"), place), place).outcome == "done"
    for path in sorted(ledger.load(place.run).owned, key=len, reverse=True):
        sim.rmdir(path)
    twin = msgspec.structs.replace(domain(group({0}, (), (), [{0}])), uuid="b2a3")
    assert apply(plan_for(twin, place), place).outcome == "done"


def _make_foreign(sim: SimulatedResctrl) -> None:
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=400;1=400\n")
    sim.add_task(9000)
    sim.write("COS1/tasks", "9000")
