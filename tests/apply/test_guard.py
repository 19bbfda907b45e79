"""What apply refuses before it writes: a changed host, an interrupted run, and plans that touch what is not ours."""

from pathlib import Path

import msgspec
import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import GuestEntry, Ledger, load_ledger, save_ledger
from cachetune.domain.model import GroupRequest, MonitorRequest
from cachetune.errors import ApplyRefusedError
from cachetune.plan import GuestRequest, Options, Plan, plan_guests
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata
from cachetune.sim import SimulatedResctrl
from tests.samples import GUEST, HERE, TIDS, cache_request, domain, group, host_with_guest, plan_for, web


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    return Connection(sim, tmp_path)


def refused(plan: Plan, connection: Connection) -> str:
    """Apply the plan, which must be refused before anything is written, and return the message."""
    assert isinstance(connection.resctrl, SimulatedResctrl)
    before = len(connection.resctrl.operations)
    with pytest.raises(ApplyRefusedError) as caught:
        apply(plan, connection)
    assert len(connection.resctrl.operations) == before
    return str(caught.value)


def with_steps(connection: Connection, *steps: Step) -> Plan:
    return msgspec.structs.replace(plan_for(web("skylake-2s"), connection), steps=steps)


def test_a_plan_for_a_changed_host_is_refused_with_the_changes(sim: SimulatedResctrl, connection: Connection) -> None:
    _make_foreign(sim)
    plan = plan_for(web("skylake-2s"), connection)
    sim.rmdir("COS1")
    sim.mkdir("other")
    sim.write("schemata", "L3:0=7fe\n")
    message = refused(plan, connection)
    assert "CT501" in message
    assert "group other is new" in message
    assert "group COS1 was removed" in message
    assert "group . was 'L3:0=7ff;1=7ff MB:0=100;1=100 shareable" in message


def test_a_plan_made_on_another_host_is_refused(connection: Connection, tmp_path: Path) -> None:
    other = Connection(host_with_guest("icelake"), tmp_path / "other")
    assert "CT501" in refused(plan_for(web("icelake"), other), connection)


def test_an_interrupted_run_must_be_recovered_first(connection: Connection) -> None:
    plan = plan_for(web("skylake-2s"), connection)
    Journal.begin(connection.run, plan, "sim").keep()
    message = refused(plan, connection)
    assert "CT503" in message
    assert "cachetune-web" in message


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (CreateGroup("cachetune-other-vcpus_0"), "whose name does not begin with"),
        (CreateGroup("../etc"), "leaves the resctrl root"),
        (CreateGroup("/etc"), "leaves the resctrl root"),
        (CreateGroup("info/cachetune-web"), "is not that of a group"),
        (CreateGroup("cachetune-web/x/cachetune-web"), "is not that of a group"),
        (CreateGroup("COS1/mon_groups/cachetune-web-vcpus_0"), "create a monitor group in COS1"),
        (WriteSchemata("COS1", "", "L3:0=1\n"), "write to group COS1"),
        (WriteSchemata(".", "MB:0=100\n", "MB:0=10\n"), "change more than the masks of group ."),
        (WriteSchemata(".", "L3:0=7ff\n", "L3:0=0\n"), "give group . the mask 0"),
        (RemoveGroup(".", ""), "remove group ."),
        (RemoveGroup("COS1", "L3:0=7ff\n"), "remove group COS1"),
        (WriteSchemata(".", "MB:0=10\n", "L3:0=7fe\n"), "change . from values that it does not have"),
        (WriteSchemata(".", "", "L3:0=7fe\n"), "change . from values that it does not have"),
        (WriteSchemata(".", "L3:0=7ff\n", "nonsense\n"), "something other than masks and bandwidth"),
        (MoveTasks(".", "COS1", (9000,)), "move thread 9000, which is not this guest's"),
        (MoveTasks("COS1", ".", TIDS), "move threads to group COS1"),
    ],
)
def test_an_edited_plan_cannot_touch_foreign_groups_or_threads(
    step: Step, what: str, sim: SimulatedResctrl, connection: Connection
) -> None:
    _make_foreign(sim)
    message = refused(with_steps(connection, step), connection)
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
    step: Step, sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.mkdir("cachetune-db-vcpus_0")
    sim.write("cachetune-db-vcpus_0/schemata", "L3:0=400;1=400\n")
    assert "db-vcpus_0" in refused(with_steps(connection, step), connection)


def test_the_default_group_is_not_given_ways_of_foreign_groups(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write("schemata", "L3:0=7f0\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=f;1=1\n")
    assert "CT504" in refused(with_steps(connection, WriteSchemata(".", "L3:0=7f0\n", "L3:0=7ff\n")), connection)


def test_an_invalid_machine_name_is_refused(connection: Connection) -> None:
    plan = plan_for(web("skylake-2s"), connection)
    for name in ("..", "info", "a/b", "", "x" * 65):
        edited = msgspec.structs.replace(plan, guests=(msgspec.structs.replace(plan.guests[0], machine_name=name),))
        assert "CT504" in refused(edited, connection)


def test_libvirts_groups_are_changed_only_with_adopt(sim: SimulatedResctrl, connection: Connection) -> None:
    group_of = "qemu-7-web-vcpus_0-1"
    sim.mkdir(group_of)
    sim.write("schemata", "L3:0=00f;1=7ff\n")
    sim.write(f"{group_of}/schemata", "L3:0=7f0;1=7ff\n")
    live = msgspec.structs.replace(web("skylake-2s"), id=7)
    plan = plan_for(live, connection)
    message = refused(plan, connection)
    assert "CT508" in message
    assert group_of in message
    assert apply(plan, connection, adopt=True).outcome == "done"
    assert sim.read(f"{group_of}/tasks").split() == [str(tid) for tid in TIDS[:2]]
    assert group_of not in load_ledger(connection.run).owned


def called(plan: Plan, name: str, uuid: str | None) -> Plan:
    return msgspec.structs.replace(plan, guests=(msgspec.structs.replace(plan.guests[0], name=name, uuid=uuid),))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("web", "a1"), ("web", "b2")),
        (("cachetune-web", "a1"), ("cachetune-web", "b2")),
        (("web", None), ("other", None)),
        (("web", None), ("", None)),  # a tuning file with the machine name
        (("", None), ("web", None)),
    ],
)
def test_two_guests_cannot_share_a_machine_name(
    first: tuple[str, str | None], second: tuple[str, str | None], connection: Connection
) -> None:
    assert apply(called(plan_for(web("skylake-2s"), connection), *first), connection).outcome == "done"
    message = refused(called(plan_for(domain(group({0}, (), (), [{0}])), connection), *second), connection)
    assert "CT505" in message
    assert (first[0] or "a guest without a name") in message


def test_a_guest_whose_uuid_becomes_known_is_still_the_same_guest(connection: Connection) -> None:
    wanted = web("skylake-2s")
    for uuid, outcome in ((None, "done"), ("a1", "nothing to do")):
        assert apply(called(plan_for(wanted, connection), "web", uuid), connection).outcome == outcome
    less = domain(wanted.groups[0])
    assert apply(called(plan_for(less, connection), "web", "a1"), connection).outcome == "done"
    assert apply(called(plan_for(wanted, connection), "web", None), connection).outcome == "done"
    assert load_ledger(connection.run).guests["cachetune-web"].uuid == "a1"


def test_a_machine_name_in_libvirts_form_gives_its_groups_only_to_that_guest(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.mkdir("qemu-2-db-vcpus_3")
    sim.write("qemu-2-db-vcpus_3/schemata", "L3:0=400;1=400\n")
    wanted = web("skylake-2s")
    own = plan_for(wanted, connection)
    theirs = msgspec.structs.replace(own, guests=(msgspec.structs.replace(own.guests[0], machine_name="qemu-2-db"),))
    steps = (RemoveGroup("qemu-2-db-vcpus_3", "L3:0=400;1=400\nMB:0=100;1=100\n"),)
    with pytest.raises(ApplyRefusedError, match="not this guest's"):
        apply(msgspec.structs.replace(theirs, steps=steps), connection, adopt=True)
    ledger = load_ledger(connection.run)
    made = plan_guests(
        [GuestRequest(wanted, GUEST, "qemu-2-db")], connection.look(ledger), Options(shrink_default=True)
    )
    assert not [step for step in made.steps if isinstance(step, RemoveGroup)]
    assert not made.warnings


def test_a_thread_leaves_our_monitor_in_libvirts_group_only_with_adopt(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    control, monitor = "qemu-7-web-vcpus_0-1", "qemu-7-web-vcpus_0-1/mon_groups/qemu-7-web-vcpus_0"
    for path in (control, monitor):
        sim.mkdir(path)
        sim.write(f"{path}/tasks", f"{TIDS[0]}\n")
    ours = {"qemu-7-web": GuestEntry("web", None, (monitor,))}
    save_ledger(Ledger(boot_id=journal.boot_id(), guests=ours), connection.run)
    live = msgspec.structs.replace(domain(group({3}, (), (), [{3}])), id=7)
    edited = msgspec.structs.replace(plan_for(live, connection), steps=(MoveTasks(".", monitor, TIDS[:1]),))
    assert "CT508" in refused(edited, connection)


def test_another_guests_group_is_not_taken_because_its_name_fits(connection: Connection) -> None:
    whole = GroupRequest(None, None, (), (), (MonitorRequest("cache", None, None, HERE),), HERE)
    cache = cache_request(connection.look(Ledger()).caches[0], 0, 2)
    odd = msgspec.structs.replace(group({0}, (cache,), (), []), id="db")  # ids in live XML are any text
    assert apply(plan_for(domain(odd), connection), connection).outcome == "done"
    assert "CT505" in refused(
        plan_for(domain(msgspec.structs.replace(whole, caches=(cache,)), name="web-db"), connection), connection
    )


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ((WriteSchemata("cachetune-web-vcpus_0", "", "L3:0=7e0;1=7ff\n"),), "the mask 7e0 on L3 cache 0"),
        ((WriteSchemata("cachetune-web-vcpus_0", "", "L3:0=1;1=7ff\n"),), "the mask 1 on L3 cache 0"),
        ((MoveTasks("cachetune-web-vcpus_0", ".", (9000,)),), "move thread 9000"),
    ],
)
def test_an_edited_plan_gives_the_guest_no_foreign_ways_or_threads(
    steps: tuple[Step, ...], what: str, sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.mkdir("cachetune-db-vcpus_0")
    sim.write("cachetune-db-vcpus_0/schemata", "L3:0=1;1=1\n")
    sim.write("schemata", "L3:0=7f0\n")
    sim.add_task(9000)
    assert what in refused(with_steps(connection, CreateGroup("cachetune-web-vcpus_0"), *steps), connection)


def test_ways_of_a_group_whose_masks_cannot_be_read_are_not_given_away(
    sim: SimulatedResctrl, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.write("schemata", "L3:0=7f0\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=3;1=7ff\n")
    made = "cachetune-web-vcpus_0"
    steps = (CreateGroup(made), WriteSchemata(made, "", "L3:0=3;1=7ff\n"))
    intact = sim.read
    monkeypatch.setattr(sim, "read", lambda path: "damaged\n" if path == "COS1/schemata" else intact(path))
    assert f"give group {made} the mask 3 on L3 cache 0" in refused(with_steps(connection, *steps), connection)


@pytest.mark.parametrize("masks", ["", "L3:0=10\n"])
def test_an_edited_plan_does_not_leave_a_new_group_with_the_kernels_masks(
    masks: str, sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.write("schemata", "L3:0=00f;1=00f\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=7e0;1=7e0\n")
    steps: list[Step] = [CreateGroup("cachetune-web-vcpus_0")]
    steps += [WriteSchemata("cachetune-web-vcpus_0", "", masks)] if masks else []
    edited = msgspec.structs.replace(plan_for(domain(group({3}, (), (), [{3}])), connection), steps=tuple(steps))
    assert "leave the new group cachetune-web-vcpus_0 with foreign ways" in refused(edited, connection)


def test_a_thread_that_has_moved_since_makes_the_plan_outdated(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.write("schemata", "L3:0=3ff;1=3ff\n")
    _make_foreign(sim)
    plan = plan_for(web("skylake-2s"), connection)
    sim.write("COS1/tasks", str(TIDS[0]))
    assert f"thread {TIDS[0]} was in group . and is in COS1" in refused(plan, connection)


def test_the_ledger_drops_a_guest_whose_groups_no_longer_exist(sim: SimulatedResctrl, connection: Connection) -> None:
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    for path in sorted(load_ledger(connection.run).owned, key=len, reverse=True):
        sim.rmdir(path)
    twin = msgspec.structs.replace(domain(group({0}, (), (), [{0}])), uuid="b2a3")
    assert apply(plan_for(twin, connection), connection).outcome == "done"


def _make_foreign(sim: SimulatedResctrl) -> None:
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=400;1=400\n")
    sim.add_task(9000)
    sim.write("COS1/tasks", "9000")
