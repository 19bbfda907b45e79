"""Faults on demand, the log of operations, the hook before them, and the lock."""

import errno
import threading

import pytest

from cachetune.errors import LockTimeoutError, ResctrlError
from cachetune.host.resctrl.port import LockWait
from cachetune.sim import Operation, SimulatedResctrl
from tests.sim.kernel.asking import attempt, machine


def _three_steps(sim: SimulatedResctrl) -> list[str]:
    return [
        attempt(sim.mkdir, "g1"),
        attempt(sim.write, "g1/schemata", "L3:0=f\n"),
        attempt(sim.write, "g1/tasks", "1\n"),
    ]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_nth_changing_operation_fails(at: int) -> None:
    sim = machine()
    sim.fail(errno.EIO, at=at)
    sim.read("schemata")
    results = _three_steps(sim)
    assert results.index("EIO") == at - 1
    assert results[at:] == (["ENOENT", "ENOENT"] if at == 1 else ["ok"] * (3 - at))


def test_a_failed_operation_has_no_effect_unless_the_fault_comes_after() -> None:
    sim = machine()
    before = sim.tree()
    sim.fail(errno.EIO)
    assert attempt(sim.mkdir, "g1") == "EIO"
    assert sim.tree() == before
    sim.fail(errno.EIO, after=True)
    assert attempt(sim.mkdir, "g1") == "EIO"
    assert sim.exists("g1")


@pytest.mark.parametrize("kind", ["mkdir", "rmdir", "write", "rename", "read", "listdir", "exists", "lock"])
def test_every_kind_of_operation_can_be_made_to_fail(kind: str) -> None:
    sim = machine()
    sim.mkdir("g1")
    sim.mkdir("mon_groups/m")
    calls = {
        "mkdir": lambda: sim.mkdir("g2"),
        "rmdir": lambda: sim.rmdir("g1"),
        "write": lambda: sim.write("tasks", "1"),
        "rename": lambda: sim.rename("mon_groups/m", "mon_groups/n"),
        "read": lambda: sim.read("tasks"),
        "listdir": lambda: sim.listdir(""),
        "exists": lambda: sim.exists("g1"),
        "lock": lambda: sim.lock(exclusive=True, timeout=0).__enter__(),
    }
    sim.fail(errno.EROFS, operation=kind)  # type: ignore[arg-type]
    for other, call in calls.items():
        if other not in {kind, "rmdir", "rename", "mkdir", "lock"}:
            assert attempt(call) == "ok"
    assert attempt(calls[kind]) == "EROFS"
    assert attempt(calls[kind]) == "ok"


def test_a_fault_can_match_a_path_repeat_and_set_the_status() -> None:
    sim = machine()
    sim.mkdir("g1")
    sim.fail(errno.EBUSY, operation="mkdir", path="./g2", times=2, kernel_says="Out of RMIDs")
    assert [attempt(sim.mkdir, path) for path in ("g3", "g2", "g2", "g2")] == ["ok", "EBUSY", "EBUSY", "ok"]
    sim.fail(errno.EBUSY, kernel_says="Out of RMIDs")
    with pytest.raises(ResctrlError) as caught:
        sim.mkdir("g4")
    assert caught.value.kernel_says == "Out of RMIDs"
    assert sim.read("info/last_cmd_status") == "Out of RMIDs\n"


def test_the_log_has_every_attempt_to_change_something() -> None:
    sim = machine()
    sim.listdir("")
    sim.mkdir("./g1")
    attempt(sim.write, "g1/schemata", "bad")
    sim.mkdir("mon_groups/m")
    sim.rename("mon_groups/m", "g1/mon_groups/n")
    sim.rmdir("g1/")
    assert sim.operations == [
        Operation("mkdir", "g1"),
        Operation("write", "g1/schemata", "bad"),
        Operation("mkdir", "mon_groups/m"),
        Operation("rename", "mon_groups/m", target="g1/mon_groups/n"),
        Operation("rmdir", "g1"),
    ]


def test_operations_in_the_hook_are_neither_logged_nor_failed() -> None:
    sim = machine()
    sim.mkdir("g1")

    def foreign(operation: Operation) -> None:
        if operation.path == "g1/tasks":
            sim.add_task(7, parent=1)
            sim.rmdir("g1")

    sim.before_operation = foreign
    sim.fail(errno.EIO, operation="rmdir")
    assert attempt(sim.write, "g1/tasks", "1\n") == "ENOENT"
    assert sim.read("tasks") == "1\n7\n"
    assert [operation.kind for operation in sim.operations] == ["mkdir", "write"]


def _wait_in_vain(sim: SimulatedResctrl, *, exclusive: bool) -> int | None:
    with pytest.raises(LockTimeoutError) as caught, sim.lock(exclusive=exclusive, timeout=0.01):
        pass
    return caught.value.holder


def test_a_lock_is_either_shared_or_exclusive() -> None:
    sim = machine()
    with sim.lock(exclusive=False, timeout=0), sim.lock(exclusive=False, timeout=0):
        _wait_in_vain(sim, exclusive=True)
    with sim.lock(exclusive=True, timeout=0, holder=4711):
        for exclusive in (False, True):
            assert _wait_in_vain(sim, exclusive=exclusive) == 4711
        sim.mkdir("g1")
    with sim.lock(exclusive=True, timeout=0):
        pass


def test_a_waiter_gets_a_released_lock() -> None:
    sim = machine()
    got = threading.Event()

    def wait() -> None:
        with sim.lock(exclusive=True, timeout=600):
            got.set()

    with sim.lock(exclusive=True, timeout=0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.05)
    thread.join()
    assert got.is_set()


def test_operations_of_several_threads_do_not_interfere() -> None:
    sim = machine()
    for tid in range(100, 300):
        sim.add_task(tid)
    for group in ("g1", "g2"):
        sim.mkdir(group)

    def move(group: str) -> None:
        for tid in range(100, 300):
            sim.write(f"{group}/tasks", f"{tid}\n")

    threads = [threading.Thread(target=move, args=(group,)) for group in ("g1", "g2", "g1", "g2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = [line for group in (".", "g1", "g2") for line in sim.read(f"{group}/tasks").split()]
    assert sorted(map(int, listed)) == [1, *range(100, 300)]


def test_a_lock_that_is_not_free_within_a_second_is_reported_once_with_its_holder() -> None:
    sim = machine()
    waits: list[LockWait] = []
    with sim.lock(exclusive=True, timeout=0, holder=4711):
        with pytest.raises(LockTimeoutError), sim.lock(exclusive=True, timeout=0.5, on_wait=waits.append):
            pytest.fail("the lock is held")
        assert waits == []
        with pytest.raises(LockTimeoutError), sim.lock(exclusive=True, timeout=1.1, on_wait=waits.append):
            pytest.fail("the lock is held")
    assert waits == [LockWait(sim.source, 4711)]
