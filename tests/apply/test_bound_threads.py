"""A thread is moved only while it is the thread that was found: same process, same start time, alive."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import load
from cachetune.errors import StateFileError
from cachetune.guests import find_guest
from cachetune.plan import GuestRequest, Options, Plan, plan_guests
from cachetune.plan.steps import MoveTasks, Step, WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from tests.guests.lookalike import add_process

GROUP = "cachetune-web-vcpus_0-2"
XML = b"""<domain><name>web</name><vcpu>3</vcpu><cputune>
<memorytune vcpus='0-2'><node id='0' bandwidth='50'/></memorytune></cputune></domain>"""
MONITORED = XML.replace(b"</memorytune>", b"<monitor vcpus='0'/></memorytune>")
STRANGER = 50


class Host:
    """A simulated resctrl, and a /proc with the guest 40: vCPUs 0 and 1 are the threads 41 and 42."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        add_process(self.proc, 40, {40: "main", 41: "CPU 0/KVM", 42: "CPU 1/KVM"})
        self.resctrl = SimulatedResctrl(load_profile("skylake-2s"))
        for tid in (40, 41, 42):
            self.resctrl.add_task(tid)
        self.connection = Connection(self.resctrl, directory / "run", proc=self.proc)
        self.connection.run.mkdir()

    def plan(self, xml: bytes = XML) -> Plan:
        domain = load(xml, "web.xml").domain
        assert domain
        request = GuestRequest(domain, find_guest(40, self.proc))
        return plan_guests([request], self.connection.look(Ledger()), Options())

    def moved(self) -> list[str]:
        return self.resctrl.read(f"{GROUP}/tasks").split()

    def give_away(self, tid: int) -> None:
        """The thread ends, and a thread of another process has its id and even its start time."""
        shutil.rmtree(self.proc / "40" / "task" / str(tid))
        add_process(self.proc, STRANGER, {STRANGER: "main", tid: "CPU 0/KVM"})
        shutil.copytree(self.proc / str(STRANGER) / "task" / str(tid), self.proc / str(tid))

    def start_anew(self, tid: int) -> None:
        """The thread ends, and a later thread of the same process has its id."""
        add_process(self.proc, 40, {tid: "worker"}, start=2000)
        add_process(self.proc, 40, {}, start=1000)

    def die(self, tid: int) -> None:
        """The thread ends and becomes a zombie."""
        add_process(self.proc, 40, {tid: "CPU 0/KVM"}, state="Z")
        add_process(self.proc, 40, {})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def at_the_move(act: Callable[[], None]) -> Callable[[Step], None]:
    """Do something right before the first threads are moved, after the guest was last read as a whole."""
    left = [act]

    def on_step(step: Step) -> None:
        if isinstance(step, MoveTasks) and left:
            left.pop()()

    return on_step


def test_the_threads_that_were_found_are_moved(host: Host) -> None:
    report = apply(host.plan(), host.connection)
    assert (report.outcome, report.vanished_tids, host.moved()) == ("done", (), ["41", "42"])


@pytest.mark.parametrize("what", [Host.give_away, Host.start_anew, Host.die])
def test_a_thread_that_stops_being_a_vcpu_before_the_write_is_not_moved(
    what: Callable[[Host, int], None], host: Host
) -> None:
    report = apply(host.plan(), host.connection, at_the_move(lambda: what(host, 41)))
    assert (report.outcome, report.vanished_tids, host.moved()) == ("done", (41,), ["42"])


def test_a_thread_started_during_the_run_is_bound(host: Host) -> None:
    moves = []

    def on_step(step: Step) -> None:
        if isinstance(step, WriteSchemata):
            add_process(host.proc, 40, {43: "CPU 2/KVM"})
            host.resctrl.add_task(43)
        if isinstance(step, MoveTasks):
            moves.append(step.tids)
            if step.tids == (43,):
                host.give_away(43)

    report = apply(host.plan(), host.connection, on_step)
    assert moves == [(41, 42), (43,)], "it was seen and was about to be moved"
    assert (report.outcome, report.vanished_tids, host.moved()) == ("done", (43,), ["41", "42"])


def test_a_thread_id_reused_by_another_process_is_not_moved_back(host: Host) -> None:
    def on_step(step: Step) -> None:
        if isinstance(step, MoveTasks) and step.path != GROUP:
            host.give_away(41)
            raise StateFileError("journal.jsonl", "the disk is full", operation="write")

    before = len(host.resctrl.operations)
    report = apply(host.plan(MONITORED), host.connection, on_step)
    written = [o.text for o in host.resctrl.operations[before:] if o.kind == "write" and o.path.endswith("tasks")]
    assert report.outcome == "rolled back"
    assert written == ["41,42\n", "42\n"], "both there, one back"
    assert report.vanished_tids == (41,)
