"""Threads other than vCPUs are moved to separate groups: also those that start later, and kernel threads."""

import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain import load
from cachetune.errors import ApplyRefusedError
from cachetune.plan import GuestRequest, Options, Plan, plan_guests
from cachetune.plan.consistency import plan_problems
from cachetune.plan.removal import plan_removal
from cachetune.plan.steps import MoveTasks, Step
from cachetune.service.connection import Location
from cachetune.service.requests import guest_of_process
from cachetune.sim import Operation, SimulatedResctrl, load_profile
from tests.guests.lookalike import add_kernel_thread, add_process

TUNING = """<cputune>
  <memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>
  <memorytune threads='emulator'><node id='0' bandwidth='60'/><monitor/></memorytune>
  <memorytune threads='iothreads'><node id='0' bandwidth='70'/><monitor threads='iothreads:1'/></memorytune>
  <memorytune threads='vhost'><node id='0' bandwidth='80'/></memorytune>
</cputune>"""
THREADS = {40: "qemu-kvm", 41: "CPU 0/KVM", 42: "CPU 1/KVM", 43: "IO iothread1", 44: "IO iothread2", 45: "worker"}
WORKER, STRANGER = 7, 8


class Host:
    """A simulated resctrl, and a /proc with the guest 40 and a kernel thread that serves it."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        add_process(self.proc, 40, THREADS)
        self.resctrl = SimulatedResctrl(load_profile("skylake-2s"))
        for tid in THREADS:
            self.resctrl.add_task(tid)
        self.worker(WORKER)
        self.connection = Connection(self.resctrl, directory / "run", proc=self.proc)
        self.connection.run.mkdir()

    def thread(self, tid: int, name: str) -> None:
        add_process(self.proc, 40, {tid: name})
        add_process(self.proc, 40, {})
        self.resctrl.add_task(tid)

    def worker(self, tid: int, name: str = "vhost-40") -> None:
        add_kernel_thread(self.proc, tid, name, start=2000)
        self.resctrl.add_task(tid)

    def plan(self) -> Plan:
        loaded = load(TUNING.encode(), "web.xml", vcpus=2)
        assert loaded.domain is not None, loaded.findings
        domain = msgspec.structs.replace(loaded.domain, name="web")
        guest = guest_of_process(40, domain, Location(proc=self.proc))
        ledger = load_ledger(self.connection.run)
        return plan_guests([GuestRequest(domain, guest)], self.connection.look(ledger), Options())

    def tasks(self, group: str) -> list[int]:
        return sorted(map(int, self.resctrl.read(f"cachetune-web-{group}/tasks").split()))

    def placed(self) -> dict[str, list[int]]:
        groups = ("vcpus_0-1", "threads_emulator", "threads_iothreads", "threads_vhost")
        return {group: self.tasks(group) for group in groups}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def before_the_first_move(act: Callable[[], None]) -> Callable[[Step], None]:
    left = [act]

    def on_step(step: Step) -> None:
        if isinstance(step, MoveTasks) and left:
            left.pop()()

    return on_step


def test_each_kind_gets_its_group_and_planning_again_finds_nothing_to_do(host: Host) -> None:
    assert apply(host.plan(), host.connection).outcome == "done"
    assert host.placed() == {
        "vcpus_0-1": [41, 42],
        "threads_emulator": [40, 45],
        "threads_iothreads": [43, 44],
        "threads_vhost": [WORKER],
    }
    assert host.tasks("threads_iothreads/mon_groups/cachetune-web-threads_iothreads_1") == [43]
    assert host.plan().steps == ()


def test_threads_of_each_kind_that_start_during_the_run_are_moved_as_well(host: Host) -> None:
    def start() -> None:
        host.thread(46, "worker")
        host.thread(47, "IO iothread3")
        host.thread(48, "vhost-40")
        host.worker(9)

    report = apply(host.plan(), host.connection, before_the_first_move(start))
    assert sorted(report.late_tids) == [9, 46, 47, 48]
    assert host.placed() == {
        "vcpus_0-1": [41, 42],
        "threads_emulator": [40, 45, 46],
        "threads_iothreads": [43, 44, 47],
        "threads_vhost": [WORKER, 9, 48],
    }


def test_kernel_threads_and_processes_that_only_have_the_name_of_a_worker_are_never_moved(host: Host) -> None:
    def start() -> None:
        host.worker(STRANGER, "vhost-99")
        add_process(host.proc, 60, {60: "vhost-40"}, arguments=[], start=3000, user=1000)
        host.resctrl.add_task(60)

    apply(host.plan(), host.connection, before_the_first_move(start))
    assert host.tasks("threads_vhost") == [WORKER]


def test_a_kernel_thread_that_ends_before_the_write_is_not_moved_even_if_its_id_is_used_again(host: Host) -> None:
    def end() -> None:
        shutil.rmtree(host.proc / str(WORKER))
        add_process(host.proc, WORKER, {WORKER: "vhost-40"}, start=2000)

    report = apply(host.plan(), host.connection, before_the_first_move(end))
    assert report.vanished_tids == (WORKER,)
    assert host.tasks("threads_vhost") == []


def test_remove_puts_every_thread_back_into_the_default_group(host: Host) -> None:
    before = host.resctrl.tree()
    apply(host.plan(), host.connection)
    ledger = load_ledger(host.connection.run)
    removal = plan_removal(host.connection.look(ledger), host.plan().guests, ledger.owned)
    assert apply(removal, host.connection).outcome == "done"
    assert host.resctrl.tree() == before


def test_a_saved_plan_keeps_what_each_thread_is_for(host: Host) -> None:
    made = host.plan()
    again = documents.decode(documents.encode(made), Plan, "plan.json", plan_problems)
    assert again == made
    assert apply(again, host.connection).outcome == "done"
    assert host.tasks("threads_vhost") == [WORKER]


def edited(plan: Plan, *, listed: bool) -> Plan:
    """The plan with another thread in place of the worker, in its steps and, if it is ``listed``, in its guest."""
    steps = tuple(
        msgspec.structs.replace(step, tids=(STRANGER,))
        if isinstance(step, MoveTasks) and step.tids == (WORKER,)
        else step
        for step in plan.steps
    )
    assert steps != plan.steps
    threads = (
        msgspec.structs.replace(t, tid=STRANGER) if listed and t.tid == WORKER else t for t in plan.guests[0].threads
    )
    guest = msgspec.structs.replace(plan.guests[0], threads=tuple(threads))
    return msgspec.structs.replace(plan, guests=(guest,), steps=steps)


def test_a_saved_plan_cannot_move_any_kernel_thread(host: Host) -> None:
    """A plan is input: one that calls kswapd a worker of the guest does not move it."""
    add_kernel_thread(host.proc, STRANGER, "kswapd0", start=2000)
    host.resctrl.add_task(STRANGER)
    report = apply(edited(host.plan(), listed=True), host.connection)
    assert STRANGER in report.vanished_tids
    assert STRANGER not in host.tasks("threads_vhost")


def test_a_saved_plan_cannot_move_a_thread_that_it_does_not_list(host: Host) -> None:
    host.resctrl.add_task(STRANGER)
    with pytest.raises(ApplyRefusedError, match="which is not this guest's"):
        apply(edited(host.plan(), listed=False), host.connection)


class Killed(BaseException):
    """As close to SIGKILL as a test gets: no code of ours catches it."""


def start_more(host: Host) -> Callable[[Step], None]:
    """More threads of each kind start while the plan is carried out."""

    def start() -> None:
        host.thread(46, "worker")
        host.thread(47, "IO iothread3")
        host.worker(9)

    return before_the_first_move(start)


def operations_of_a_run(directory: Path) -> int:
    host = Host(directory)
    plan = host.plan()
    begin = len(host.resctrl.operations)
    assert sorted(apply(plan, host.connection, start_more(host)).late_tids) == [9, 46, 47]
    return len(host.resctrl.operations) - begin


def undone(tree: dict[str, str]) -> dict[str, str]:
    """The tree without the default group's list of threads, which the threads that started have joined."""
    return {path: text for path, text in tree.items() if path != "tasks"}


@pytest.mark.slow
def test_a_failure_at_any_operation_puts_every_thread_back(tmp_path: Path) -> None:
    for number in range(1, operations_of_a_run(tmp_path / "dry") + 1):
        host = Host(tmp_path / f"run{number}")
        before, plan = host.resctrl.tree(), host.plan()
        host.resctrl.fail(errno.EIO, at=number)
        report = apply(plan, host.connection, start_more(host))
        assert report.outcome == "rolled back", (number, report)
        assert undone(host.resctrl.tree()) == undone(before), number
        assert {WORKER, *THREADS} <= set(map(int, host.resctrl.read("tasks").split()))


@pytest.mark.slow
def test_a_run_killed_before_any_operation_is_recovered_with_every_thread(tmp_path: Path) -> None:
    finished = set()
    for number in range(1, operations_of_a_run(tmp_path / "dry") + 2):
        host = Host(tmp_path / f"run{number}")
        before, plan = host.resctrl.tree(), host.plan()
        left = [number]

        def kill(_: Operation, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        host.resctrl.before_operation = kill
        with contextlib.suppress(Killed):
            apply(plan, host.connection, start_more(host))
        host.resctrl.before_operation = None
        recover(host.connection)
        finished.add(host.resctrl.exists("cachetune-web-threads_vhost"))
        if host.resctrl.exists("cachetune-web-threads_vhost"):
            assert host.placed()["threads_vhost"] == [WORKER, 9], number
        else:
            assert undone(host.resctrl.tree()) == undone(before), number
    assert finished == {True, False}
