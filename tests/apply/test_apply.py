"""Applying plans: tasks on old and new kernels, threads that start and end, the ledger, signals, a full disk."""

import errno
import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune.apply import run as run_module
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply, apply_planned
from cachetune.apply.state import journal
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.errors import ApplyRefusedError, LockTimeoutError, StateFileError
from cachetune.guests.model import Guest, Thread
from cachetune.plan import plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import MoveTasks, WriteSchemata
from cachetune.service.connection import Location, connect
from cachetune.sim import Operation, SimulatedResctrl, load_profile
from tests.samples import TIDS, cache_request, domain, group, host_with_guest, plan_for, web

OTHERS = (5011, 5012)
OTHER_GUEST = Guest(OTHERS[0], tuple(Thread(tid, 0, "", n) for n, tid in enumerate(OTHERS)))
WEB = PlanGuest("web", "cachetune-web")


def place_on(sim: SimulatedResctrl, run: Path) -> Connection:
    return Connection(sim, run)


def task_writes(sim: SimulatedResctrl) -> list[str]:
    return [o.text or "" for o in sim.operations if o.kind == "write" and o.path.endswith("tasks")]


def test_a_kernel_that_accepts_lists_gets_one_write_per_group(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s", "6.12")
    apply(plan_for(web("skylake-2s"), connection := place_on(sim, tmp_path)), connection)
    assert task_writes(sim)[0] == f"{TIDS[0]},{TIDS[1]}\n"
    assert len(task_writes(sim)) == 3


def test_a_kernel_that_refuses_lists_gets_single_threads_after_one_attempt(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s", "6.1")
    wanted = domain(group({0, 1}, (), (), [{0, 1}]), group({2, 3}, (), (), [{2, 3}]))
    assert apply(plan_for(wanted, connection := place_on(sim, tmp_path)), connection).outcome == "done"
    lists = [text for text in task_writes(sim) if "," in text]
    assert len(lists) == 1
    assert sim.read("mon_groups/cachetune-web-vcpus_2-3/tasks").split() == [str(t) for t in TIDS[2:]]


def test_vanished_threads_are_reported_and_not_fatal(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    plan = plan_for(web("skylake-2s"), connection)
    sim.end_task(TIDS[0])
    report = apply(plan, connection)
    assert (report.outcome, report.vanished_tids) == ("done", (TIDS[0],))
    assert str(TIDS[1]) in sim.read("cachetune-web-vcpus_0-1/tasks").split()


def test_a_device_in_a_group_is_neither_moved_nor_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Arm's kernels list the devices of a group with its threads
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    before, read = sim.tree(), sim.read
    listed = "iommu_group:17\n"
    monkeypatch.setattr(sim, "read", lambda path: read(path) + listed * path.endswith("tasks"))
    plan = plan_for(web("skylake-2s"), connection)
    sim.fail(errno.EIO, at=len(plan.steps))  # the last of the moves
    assert apply(plan, connection).outcome == "rolled back"
    assert sim.tree() == before
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    assert not any("iommu" in text for text in task_writes(sim))


def test_limbo_is_waited_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    slept: list[float] = []
    monkeypatch.setattr("cachetune.apply.steps.time.sleep", slept.append)
    plan = plan_for(web("skylake-2s"), connection)
    sim.fail(errno.EBUSY, operation="mkdir")
    report = apply(plan, connection)
    assert report.outcome == "done"
    assert len(slept) == 1
    assert slept[0] >= 1


def test_removing_gives_the_default_group_its_free_ways_back(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    apply(plan_for(web("skylake-2s"), connection), connection)
    assert "0=7fc" in sim.read("schemata")
    assert apply_planned(_removal, connection).outcome == "done"
    assert sim.tree() == before
    assert (load_ledger(tmp_path).guests, load_ledger(tmp_path).shrunk) == ({}, None)


def test_ways_that_a_group_shared_with_the_default_group_come_back(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=003;1=003\n")
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    assert apply(plan_for(web("skylake-2s"), connection), connection).outcome == "done"
    assert "0=7f0" in sim.read("schemata")
    assert apply_planned(_removal, connection).outcome == "done"
    assert sim.tree() == before


def test_ways_that_another_program_has_taken_since_are_not_given_back(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    apply(plan_for(web("skylake-2s"), connection), connection)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=2;1=7ff\n")
    apply_planned(_removal, connection)
    assert "L3:0=7fc;1=7ff" in sim.read("schemata")
    sim.rmdir("COS1")


def test_a_default_group_that_another_program_has_changed_is_left_alone(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    apply(plan_for(web("skylake-2s"), connection), connection)
    sim.write("schemata", "L3:0=700\n")
    apply_planned(_removal, connection)
    assert "L3:0=700" in sim.read("schemata")


def test_two_guests_give_back_what_they_took_in_any_order(tmp_path: Path) -> None:
    first, second = web("skylake-2s"), msgspec.structs.replace(web("skylake-2s"), name="db")
    for order in (("web", "db"), ("db", "web")):
        sim = host_with_guest("skylake-2s")
        for tid in OTHERS:
            sim.add_task(tid)
        connection = place_on(sim, tmp_path / order[0])
        before = sim.tree()
        apply(plan_for(first, connection), connection)
        apply(plan_for(second, connection, OTHER_GUEST), connection)
        assert "0=7f0" in sim.read("schemata")
        for name in order:
            machine = f"cachetune-{name}"
            ledger = load_ledger(connection.run)
            guest = PlanGuest(name, machine)
            apply(plan_removal(connection.look(ledger), [guest], ledger.groups_of(machine), ledger.shrunk), connection)
        assert sim.tree() == before


def test_a_signal_stops_between_two_steps_and_everything_is_undone(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    plan = plan_for(web("skylake-2s"), connection)

    def interrupt(operation: Operation) -> None:
        if operation.kind == "mkdir" and "mon_groups" in operation.path:
            os.kill(os.getpid(), signal.SIGTERM)

    sim.before_operation = interrupt
    report = apply(plan, connection)
    assert report.outcome == "rolled back"
    assert "SIGTERM" in report.error
    assert sim.tree() == before


def test_a_signal_after_the_last_step_is_for_the_handler_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = place_on(host_with_guest("skylake-2s"), tmp_path)
    plan = plan_for(web("skylake-2s"), connection)
    heard: list[int] = []

    def done(journal: Journal, done: Callable[[Journal], None] = Journal.done) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        done(journal)

    monkeypatch.setattr(Journal, "done", done)
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        report = apply(plan, connection)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (report.outcome, heard) == ("done", [signal.SIGTERM])


def test_a_full_run_directory_is_reported_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    plan = plan_for(web("skylake-2s"), connection)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.state.journal.os.write", full)
        with pytest.raises(StateFileError, match="No space left"):
            apply(plan, connection)
    assert not sim.operations
    assert not journal.exists(tmp_path)


def test_a_run_directory_that_fills_up_during_the_run_causes_a_rollback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    plan = plan_for(web("skylake-2s"), connection)
    original, left = os.write, 4

    def nearly_full(fd: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.state.journal.os.write", nearly_full)
        report = apply(plan, connection)
    assert report.outcome == "rolled back"
    assert "No space left" in report.error
    assert sim.tree() == before


def test_a_journal_line_cut_off_by_a_full_disk_does_not_stop_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    plan = plan_for(web("skylake-2s"), connection)
    original, left = os.write, 4

    def full_for_a_moment(fd: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        return original(fd, data[:-9] if left == 0 else data)

    sim.fail(errno.EIO, operation="rmdir", times=99)
    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.state.journal.os.write", full_for_a_moment)
        assert apply(plan, connection).outcome == "rollback incomplete"
    sim._faults.clear()
    assert recover(connection).outcome == "done"
    assert sim.tree() == before


def test_a_ledger_that_cannot_be_written_leaves_the_journal_for_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    plan = plan_for(web("skylake-2s"), connection)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.run.save_ledger", full)
        report = apply(plan, connection)
    assert report.outcome == "done"
    assert "cachetune recover" in report.notes[0]
    after = sim.tree()
    recover(connection)
    assert sim.tree() == after
    assert load_ledger(tmp_path).owned == {g.path for g in plan.groups}


def test_a_held_lock_times_out_with_its_holder(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = msgspec.structs.replace(place_on(sim, tmp_path), lock_timeout=0.05)
    plan = plan_for(web("skylake-2s"), connection)
    with sim.lock(exclusive=True, timeout=1, holder=4242), pytest.raises(LockTimeoutError, match="4242"):
        apply(plan, connection)


def test_a_journal_cut_off_in_its_first_line_means_that_no_step_was_taken(tmp_path: Path) -> None:
    connection = place_on(host_with_guest("skylake-2s"), tmp_path)
    (tmp_path / "journal.jsonl").write_bytes(b'{"record":"begin","plan":{')
    assert recover(connection).outcome == "done"
    assert not journal.exists(tmp_path)


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("damage", [b"\0\0", b'{"record":"done"}', b"[]", b'{"record":"begin"}', b"\xff", b"", b" "])
def test_a_damaged_journal_is_refused_and_kept(damage: bytes, summed: bool, tmp_path: Path) -> None:
    connection = place_on(host_with_guest("skylake-2s"), tmp_path)
    line = b"%s %08x\n" % (damage, zlib.crc32(damage)) if summed else damage + b"\n"
    (tmp_path / "journal.jsonl").write_bytes(line)
    with pytest.raises(ApplyRefusedError, match="CT506"):
        recover(connection)
    assert journal.exists(tmp_path)


def test_a_copy_of_a_tree_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "info").mkdir()
    (tmp_path / "schemata").write_text("L3:0=7ff\n")
    with pytest.raises(ApplyRefusedError, match="CT502"):
        connect(Location(resctrl=tmp_path, run=tmp_path / "run"))


def test_after_a_reboot_there_is_nothing_to_undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    journal.Journal.begin(tmp_path, plan_for(web("skylake-2s"), connection), sim.source).keep()
    monkeypatch.setattr(journal, "boot_id", lambda: "another")
    report = recover(connection)
    assert "restarted" in report.notes[0]
    assert not sim.operations


def test_a_journal_of_another_resctrl_is_left_alone(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    journal.Journal.begin(tmp_path, plan_for(web("skylake-2s"), connection), "/sys/fs/other").keep()
    with pytest.raises(ApplyRefusedError, match="CT507"):
        recover(connection)
    assert journal.exists(tmp_path)


@pytest.mark.parametrize("kind", ["dangling link", "directory"])
def test_a_journal_that_is_not_a_file_is_damaged_for_apply_and_recover(kind: str, tmp_path: Path) -> None:
    connection = place_on(host_with_guest("skylake-2s"), tmp_path)
    plan = plan_for(web("skylake-2s"), connection)
    if kind == "directory":
        (tmp_path / "journal.jsonl").mkdir()
    else:
        (tmp_path / "journal.jsonl").symlink_to("nowhere")
    for run in (lambda: recover(connection), lambda: apply(plan, connection)):
        with pytest.raises(ApplyRefusedError, match="CT506"):
            run()


def test_recover_does_not_remove_a_group_that_another_program_made_first(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    plan = plan_for(web("skylake-2s"), connection)

    def foreign(operation: Operation) -> None:
        if operation.kind == "mkdir" and not sim.exists(operation.path):
            sim.mkdir(operation.path)
            sim.fail(errno.EIO, operation="write", times=2)

    sim.before_operation = foreign
    assert apply(plan, connection).outcome == "rollback incomplete"
    sim.before_operation = None
    assert recover(connection).exit_code == 0
    assert sim.exists("cachetune-web-vcpus_0-1")
    assert "0=7ff;1=7ff" in sim.read("schemata")


def test_recover_finishes_even_if_another_program_removed_a_group(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    apply(plan_for(web("skylake-2s"), connection), connection)
    host = connection.look(load_ledger(tmp_path))
    plan = plan_removal(host, [WEB], load_ledger(tmp_path).owned, load_ledger(tmp_path).shrunk)
    log = journal.Journal.begin(tmp_path, plan, sim.source)
    for step in plan.steps[:2]:
        log.taking(step)
    log.keep()
    sim.rmdir("cachetune-web-vcpus_0-1")
    report = recover(connection)
    assert (report.exit_code, journal.exists(tmp_path)) == (0, False)
    assert any("was removed by another program" in note for note in report.notes)


def test_ways_that_the_default_group_cannot_get_back_yet_are_remembered(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    made = plan_for(web("skylake-2s"), connection)
    both = WriteSchemata(".", "L3:0=7ff;1=7ff\n", "L3:0=7fc;1=7fc\n")
    made = msgspec.structs.replace(made, steps=(both, *made.steps))
    log = journal.Journal.begin(tmp_path, made, sim.source)
    log.taking(both)
    log.keep()
    sim.write("schemata", both.after)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=3;1=7fc\n")
    recover(connection)
    assert "L3:0=7fc;1=7ff" in sim.read("schemata")
    shrunk = load_ledger(tmp_path).shrunk
    assert shrunk is not None
    assert (shrunk.before, shrunk.after) == ({"L3": {0: 0x7FF}}, {"L3": {0: 0x7FC}})


def test_code_ways_of_an_exclusive_group_are_not_given_as_data_ways(tmp_path: Path) -> None:
    sim = host_with_guest("sapphire-rapids-cdp")
    sim.write("schemata", "L3CODE:0=7f00\nL3DATA:0=7f00\n")
    sim.mkdir("COS1")
    shared = {c.name: dict.fromkeys(c.size_bytes, 0) for c in place_on(sim, tmp_path).look(Ledger()).caches}
    l2 = ";".join(f"{i}=1" for i in shared["L2"])
    sim.write("schemata", "L2:" + ";".join(f"{i}=fffe" for i in shared["L2"]) + "\n")
    sim.write("COS1/schemata", f"L2:{l2}\nL3CODE:0=f\nL3DATA:0=f0\n")
    sim.write("COS1/mode", "exclusive\n")
    connection = place_on(sim, tmp_path)
    control = next(c for c in connection.look(Ledger()).caches if c.name == "L3CODE")
    report = apply(plan_for(domain(group({0}, (cache_request(control, 0, 4),), (), [])), connection), connection)
    assert report.outcome == "done", report.error
    assert "L3CODE:0=0f00" in sim.read("cachetune-web-vcpus_0/schemata")


def test_recover_leaves_ways_that_another_program_has_taken_since(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = place_on(sim, tmp_path)
    plan = plan_for(web("skylake-2s"), connection)
    log = journal.Journal.begin(tmp_path, plan, sim.source)
    log.taking(plan.steps[0])
    log.keep()
    sim.write("schemata", "L3:0=7fc\n")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=3;1=1\n")
    report = recover(connection)
    assert "because COS1 has the other ways now" in report.notes[0]
    assert "0=7fc" in sim.read("schemata")


def test_recover_gives_back_ways_that_a_group_shared_before_the_run(tmp_path: Path) -> None:
    """Our group with the default group's mask shares with foreign groups what the default group shares with them."""
    sim = host_with_guest("skylake-2s")
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=400;1=400\n")
    connection = place_on(sim, tmp_path)
    control = connection.look(Ledger()).caches[0]
    on_one, on_both = (cache_request(control, 1, 2),), tuple(cache_request(control, n, 2) for n in (0, 1))
    apply(plan_for(domain(group({0}, on_one, (), [])), connection), connection)
    before = sim.tree()
    plan = plan_for(domain(group({0}, on_both, (), []), group({1}, on_both, (), [])), connection)

    def die(operation: Operation) -> None:
        if operation.kind == "mkdir":
            raise KeyboardInterrupt

    sim.before_operation = die
    with pytest.raises(KeyboardInterrupt):
        apply(plan, connection)
    sim.before_operation = None
    report = recover(connection)
    assert (report.outcome, report.notes) == ("done", ())
    assert sim.tree() == before


def test_threads_started_during_the_run_are_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = host_with_guest("skylake-2s")
    connection = msgspec.structs.replace(place_on(sim, tmp_path), proc=tmp_path)
    wanted = domain(group({0, 1, 2}, (), (), [{0, 1, 2}]))
    made = plan_for(wanted, connection)
    known = made.threads[:2]
    moves = tuple(
        MoveTasks(s.path, s.source, tuple(t for t in s.tids if t != TIDS[2])) if isinstance(s, MoveTasks) else s
        for s in made.steps
    )
    made = msgspec.structs.replace(made, guests=(msgspec.structs.replace(made.guests[0], threads=known),), steps=moves)
    later = Guest(TIDS[0], (*known, Thread(TIDS[2], 0, "CPU 2/KVM", 2)))
    monkeypatch.setattr(run_module, "find_process", lambda *_: later)
    for module in ("run", "steps"):
        monkeypatch.setattr(f"cachetune.apply.{module}.is_same_thread", lambda *_: True)
    report = apply(made, connection)
    assert report.late_tids == (TIDS[2],)
    assert str(TIDS[2]) in sim.read("mon_groups/cachetune-web-vcpus_0-2/tasks").split()


def test_reused_thread_and_process_ids_are_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = host_with_guest("skylake-2s")
    connection = msgspec.structs.replace(place_on(sim, tmp_path), proc=tmp_path)
    stranger = Guest(TIDS[0], (Thread(31337, 0, "CPU 0/KVM", 0),))
    monkeypatch.setattr(run_module, "find_process", lambda *_: stranger)
    for module in ("run", "steps"):
        monkeypatch.setattr(f"cachetune.apply.{module}.is_same_thread", lambda thread, *_: thread.tid != TIDS[0])
    sim.add_task(31337)
    report = apply(plan_for(web("skylake-2s"), connection), connection)
    assert not report.late_tids, "the process that has the pid now is not the guest"
    assert TIDS[0] in report.vanished_tids
    assert str(TIDS[0]) not in sim.read("cachetune-web-vcpus_0-1/tasks").split()


def test_a_change_of_masks_by_another_program_during_the_run_is_detected(tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    for tid in TIDS:
        sim.add_task(tid)
    connection = place_on(sim, tmp_path)
    before = sim.tree()
    original = sim.read

    def meddled(path: str) -> str:
        return original(path).replace("003", "001") if path.endswith("vcpus_0-1/schemata") else original(path)

    plan = plan_for(web("skylake-2s"), connection)
    sim.read = meddled  # type: ignore[method-assign]
    report = apply(plan, connection)
    sim.read = original  # type: ignore[method-assign]
    assert report.outcome == "rolled back"
    assert "another program" in report.hint
    assert sim.tree() == before


def _removal(host: object, ledger: Ledger) -> object:
    return plan_removal(host, [WEB], ledger.groups_of("cachetune-web"), ledger.shrunk)  # type: ignore[arg-type]
