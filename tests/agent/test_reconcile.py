"""The agent's rounds on a simulated host: changes, log lines, and that each line is logged once."""

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune.agent.decide import AgentOptions
from cachetune.agent.model import GuestStatus
from cachetune.agent.reconcile import Clock, Inputs, Reconciler
from cachetune.apply.run import Connection
from cachetune.apply.state import journal
from cachetune.errors import InputError
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.guests.tuning_files import TuningFile, TuningFiles
from tests.agent.machine import BROKEN, FILE, OPTIONS, Machine, runs, runs_under_libvirt, wanted
from tests.samples import GUEST, TIDS

GROUP = "cachetune-web-vcpus_0-1"
LIBVIRTS_GROUP = "qemu-7-web-vcpus_0-1"


class World:
    """What an agent observes, which a test changes between rounds, and what it logs."""

    def __init__(self, run: Path) -> None:
        self.machine = Machine(run)
        self.sim = self.machine.sim
        self.files: TuningFiles | None = dict(FILE)
        self.running: tuple[RunningGuest, ...] = (runs(),)
        self.connection = self.machine.connection
        self.lines: list[str] = []
        self.seconds = 1000.0
        self.cannot_look: Exception | None = None

    def reconciler(self, options: AgentOptions = OPTIONS, previous: tuple[GuestStatus, ...] = ()) -> Reconciler:
        inputs = Inputs(connection=lambda: self.connection, files=lambda _: self.files, guests=self._look)
        clock = Clock(time=lambda: self.seconds, monotonic=lambda: self.seconds)
        return Reconciler(inputs, options, clock, self._log, previous)

    def _look(self) -> tuple[RunningGuest, ...]:
        if self.cannot_look:
            raise self.cannot_look
        return self.running

    def _log(self, level: str, text: str) -> None:
        self.lines.append(f"{level}: {text}")

    def logged(self) -> list[str]:
        """The lines logged since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def threads(self, group: str) -> set[int]:
        return {int(line) for line in self.sim.read(f"{group}/tasks").split()}

    def restart(self) -> None:
        """End the guest and start it again: a new process with new threads."""
        self.machine.ended()
        new = Guest(5001, (Thread(5001, 9, "qemu"), Thread(5002, 9, "CPU 0/KVM", 0), Thread(5003, 9, "CPU 1/KVM", 1)))
        for thread in new.threads:
            self.sim.add_task(thread.tid)
        self.running = (runs(new),)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def state(reconciler: Reconciler, name: str = "web") -> str:
    return reconciler.statuses[name].state


def test_a_guest_is_placed_in_one_round_and_logged_in_one_line(world: World) -> None:
    reconciler = world.reconciler()
    assert reconciler.round()
    assert world.threads(GROUP) == set(TIDS[:2])
    assert world.logged() == ["notice: web: 1 group created, 2 groups written, 2 threads moved"]
    assert reconciler.statuses["web"] == GuestStatus(
        name="web",
        machine_name="cachetune-web",
        requested_by="file",
        state="placed",
        since=1000.0,
        pid=TIDS[0],
        changed=1000.0,
        change="1 group created, 2 groups written, 2 threads moved",
    )


def test_a_round_with_nothing_to_do_changes_and_logs_nothing(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    before = (world.logged(), world.sim.tree(), reconciler.statuses)[1:]
    world.seconds += 5
    assert not reconciler.round()
    assert (world.logged(), world.sim.tree(), reconciler.statuses) == ([], *before)


def test_the_thread_of_a_hotplugged_vcpu_is_moved(world: World) -> None:
    world.running = (runs(msgspec.structs.replace(GUEST, threads=GUEST.threads[:1])),)
    reconciler = world.reconciler()
    reconciler.round()
    assert world.threads(GROUP) == {TIDS[0]}
    world.running = (runs(),)
    world.logged()
    reconciler.round()
    assert world.threads(GROUP) == set(TIDS[:2])
    assert world.logged() == ["notice: web: 1 thread moved"]


def test_an_invalid_file_is_logged_once_and_its_last_valid_content_stays_in_force(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    world.files = dict(BROKEN)
    for _ in range(3):
        reconciler.round()
    assert world.logged() == [f"warning: web: failed: {BROKEN['web'].problem}"]
    world.sim.write("tasks", str(TIDS[0]))
    reconciler.round()
    assert world.threads(GROUP) == set(TIDS[:2])
    assert state(reconciler) == "failed"
    world.logged()
    world.files = dict(FILE)
    reconciler.round()
    assert world.logged() == ["info: web: placed"]


def test_an_edited_file_changes_the_groups(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.files = {"web": TuningFile(wanted(2))}
    reconciler.round()
    assert "L3:0=003" in world.sim.read(f"{GROUP}/schemata")
    assert state(reconciler) == "placed"


def test_removing_a_file_restores_the_host(world: World) -> None:
    before = world.sim.tree()
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    world.files = {}
    assert reconciler.round(), "to confirm the removal, the next round starts soon"
    assert world.logged() == []
    reconciler.round()
    assert world.logged() == ["notice: web: 1 group written, 1 group removed, 2 threads moved: tuning file removed"]
    assert world.sim.tree() == before
    assert reconciler.statuses == {}


def test_a_file_that_an_editor_replaces_does_not_count_as_removed(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    tree = world.sim.tree()
    for files in ({}, FILE, {}, FILE):
        world.files = dict(files)
        reconciler.round()
    assert world.sim.tree() == tree


def test_the_end_of_a_guest_restores_the_host(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    world.machine.ended()
    world.running = ()
    reconciler.round()
    assert world.logged() == ["notice: web: 1 group written, 1 group removed: not running"]
    assert world.sim.read("schemata").split() == ["MB:0=100;1=100", "L3:0=7ff;1=7ff"]
    reconciler.round()
    assert (state(reconciler), world.logged()) == ("waiting", [])


def test_a_guest_restarted_between_two_rounds_keeps_its_groups(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    world.restart()
    reconciler.round()
    assert world.threads(GROUP) == {5002, 5003}
    assert world.logged() == ["notice: web: 2 threads moved"]
    assert reconciler.statuses["web"].pid == 5001


def test_a_restarted_agent_finds_nothing_to_do(world: World) -> None:
    first = world.reconciler()
    first.round()
    world.logged()
    tree, before = world.sim.tree(), tuple(first.statuses.values())
    world.seconds += 100
    second = world.reconciler(previous=before)
    assert not second.round()
    assert (world.logged(), world.sim.tree(), tuple(second.statuses.values())) == ([], tree, before)


def test_a_file_removed_while_no_agent_was_running_is_noticed(world: World) -> None:
    before = world.sim.tree()
    first = world.reconciler()
    first.round()
    world.files = {}
    second = world.reconciler(previous=tuple(first.statuses.values()))
    second.round()
    second.round()
    assert world.sim.tree() == before


def test_groups_that_were_applied_by_hand_are_left_alone(world: World) -> None:
    world.machine.placed()
    tree = world.sim.tree()
    world.files = {}
    reconciler = world.reconciler()
    for _ in range(3):
        reconciler.round()
    assert (world.sim.tree(), reconciler.statuses, world.logged()) == (tree, {}, [])


def test_a_thread_that_ended_before_it_was_moved_is_not_a_change(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    ended = Thread(9999, 1, "CPU 1/KVM", 1)
    world.running = (runs(msgspec.structs.replace(GUEST, threads=(GUEST.threads[0], ended))),)
    assert not reconciler.round()
    assert (world.logged(), state(reconciler)) == ([], "placed")


def test_a_failure_is_rolled_back_logged_once_and_retried_later(world: World) -> None:
    tree = world.sim.tree()
    world.sim.fail(errno.EIO, operation="write", path=f"{GROUP}/schemata", times=2)
    reconciler = world.reconciler()
    reconciler.round()
    (line,) = world.logged()
    assert line.startswith(f"warning: web: failed: cannot write 'L3:0=007;1=7ff\\n' to {GROUP}/schemata: EIO")
    assert (state(reconciler), world.sim.tree()) == ("failed", tree)
    world.seconds += 9.9
    reconciler.round()
    world.seconds += 0.2
    reconciler.round()
    assert (world.logged(), state(reconciler)) == ([], "failed"), "the second try failed for the same reason"
    world.seconds += 19.9
    reconciler.round()
    assert state(reconciler) == "failed"
    world.seconds += 0.2
    reconciler.round()
    assert (len(world.logged()), state(reconciler)) == (1, "placed")


def test_forgetting_failures_retries_at_once(world: World) -> None:
    world.sim.fail(errno.EIO, operation="mkdir", path=GROUP)
    reconciler = world.reconciler()
    reconciler.round()
    reconciler.forget_failures()
    reconciler.round()
    assert state(reconciler) == "placed"


def test_one_guest_that_fails_does_not_affect_the_others(world: World) -> None:
    other = Guest(6000, (Thread(6000, 1, "CPU 0/KVM", 0), Thread(6001, 1, "CPU 1/KVM", 1)))
    for thread in other.threads:
        world.sim.add_task(thread.tid)
    world.files = {
        **FILE,
        "big": TuningFile(wanted(11, name="big", uuid=None)),
        "one": TuningFile(wanted(1, name="one")),
    }
    world.running = (runs(), runs(other, name="one"), runs(name="big"))
    reconciler = world.reconciler()
    reconciler.round()
    assert {name: status.state for name, status in reconciler.statuses.items()} == {
        "big": "failed",
        "one": "placed",
        "web": "placed",
    }
    assert world.threads("cachetune-one-vcpus_0-1") == {6000, 6001}


def test_a_guest_that_does_not_fit_is_placed_once_there_is_room(world: World) -> None:
    world.sim.mkdir("COS1")
    reconciler = world.reconciler()
    for _ in range(3):
        reconciler.round()
    (line,) = world.logged()
    assert "no room for 3 ways" in line
    world.sim.rmdir("COS1")
    reconciler.round()
    assert state(reconciler) == "placed"


OBSERVATION_FAILURES: dict[str, Callable[[World], None]] = {
    "guests cannot be found": lambda world: setattr(world, "cannot_look", InputError("/proc cannot be read")),
    "a file cannot be read": lambda world: setattr(world, "cannot_look", OSError(errno.EIO, "I/O error", "/x")),
    "resctrl fails": lambda world: world.sim.fail(errno.EIO, operation="read", path="schemata", times=2),
}


@pytest.mark.parametrize("how", OBSERVATION_FAILURES)
def test_a_round_that_cannot_observe_changes_nothing_and_is_logged_once(world: World, how: str) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    world.logged()
    tree, statuses = world.sim.tree(), dict(reconciler.statuses)
    OBSERVATION_FAILURES[how](world)
    reconciler.round()
    reconciler.round()
    (line,) = world.logged()
    assert line.startswith("error: cannot check guests: ")
    assert (world.sim.tree(), reconciler.statuses, bool(reconciler.problem)) == (tree, statuses, True)
    world.cannot_look = None
    reconciler.round()
    assert (world.logged(), reconciler.problem) == (["notice: checking guests again"], "")


def test_a_lock_held_by_another_program_is_logged_once(world: World, tmp_path: Path) -> None:
    world.connection = Connection(world.sim, tmp_path, lock_timeout=0.0)
    reconciler = world.reconciler()
    with world.sim.lock(exclusive=True, timeout=0, holder=4711):
        reconciler.round()
        reconciler.round()
        (line,) = world.logged()
        assert "still locked by process 4711" in line
    reconciler.round()
    assert state(reconciler) == "placed"


def test_a_killed_run_is_recovered_first(world: World) -> None:
    before = world.sim.tree()
    world.machine.killed_midway()
    assert journal.exists(world.connection.run)
    assert world.sim.tree() != before
    world.files = {}
    world.reconciler().round()
    assert world.sim.tree() == before
    assert not journal.exists(world.connection.run)
    (line,) = world.logged()
    assert line.startswith("warning: recovered from an interrupted run for cachetune-web: ")


def test_a_damaged_journal_stops_all_changes_and_is_logged_once(world: World) -> None:
    (world.connection.run / "journal.jsonl").write_text("rubbish\n")
    tree = world.sim.tree()
    reconciler = world.reconciler()
    reconciler.round()
    reconciler.round()
    (line,) = world.logged()
    assert "[CT506]" in line
    assert world.sim.tree() == tree


def test_drift_of_libvirts_groups_is_logged_once_and_not_repaired(world: World) -> None:
    world.files = {}
    world.running = (runs_under_libvirt(),)
    world.machine.placed_by_libvirt(TIDS[0])
    tree = world.sim.tree()
    reconciler = world.reconciler()
    assert reconciler.round()
    assert world.logged() == []
    for _ in range(3):
        reconciler.round()
    (line,) = world.logged()
    assert line.startswith("warning: web: drifted: ")
    assert (state(reconciler), world.sim.tree()) == ("drifted", tree)
    world.sim.write(f"{LIBVIRTS_GROUP}/tasks", str(TIDS[1]))
    reconciler.round()
    assert (state(reconciler), world.logged()) == ("placed", ["info: web: placed"])


def test_drift_of_libvirts_groups_is_repaired_when_the_operator_adopts_them(world: World) -> None:
    world.files = {}
    world.running = (runs_under_libvirt(),)
    world.machine.placed_by_libvirt(TIDS[0])
    reconciler = world.reconciler(AgentOptions(adopt=True))
    reconciler.round()
    assert world.threads(LIBVIRTS_GROUP) == set(TIDS[:2])
    assert (state(reconciler), world.logged()) == (
        "placed",
        [f"warning: web: libvirt created {LIBVIRTS_GROUP} [CT222]", "notice: web: 1 thread moved"],
    )


DOUBTS = {
    "sources disagree": (
        {"disagreements": ("libvirt says 2 vCPUs, QMP says 4",)},
        "warning: web: libvirt says 2 vCPUs, QMP says 4",
    ),
    "no source confirms the name": (
        {"user": 1000},
        "warning: web: unverified: only process 4711 (user 1000) claims to be this guest",
    ),
}


@pytest.mark.parametrize("how", DOUBTS)
def test_doubts_about_a_guest_are_logged_once(world: World, how: str) -> None:
    fields, line = DOUBTS[how]
    world.running = (runs(**fields), runs(name="without a file", user=1000))
    reconciler = world.reconciler()
    reconciler.round()
    reconciler.round()
    assert world.logged() == [line, "notice: web: 1 group created, 2 groups written, 2 threads moved"]


def test_the_last_valid_content_survives_a_round_without_the_file(world: World) -> None:
    reconciler = world.reconciler()
    reconciler.round()
    for files in ({}, BROKEN):
        world.files = dict(files)
        reconciler.round()
    world.sim.write("tasks", str(TIDS[0]))
    reconciler.round()
    assert world.threads(GROUP) == set(TIDS[:2])


def test_a_round_ends_between_two_guests_once_a_stop_is_pending(world: World) -> None:
    world.files = {**FILE, "zoo": TuningFile(wanted(1, name="zoo", uuid=None))}
    world.running = (runs(), runs(name="zoo"))
    answers = iter([False, True])
    reconciler = world.reconciler()
    reconciler.round(lambda: next(answers))
    assert list(reconciler.statuses) == ["web"]


def test_an_error_of_the_run_directory_fails_the_guest(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world.connection = Connection(world.sim, tmp_path / "file")
    reconciler = world.reconciler()
    reconciler.round()
    assert state(reconciler) == "failed"
    assert "journal.jsonl: File exists" in world.logged()[0]
