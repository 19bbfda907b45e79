"""A run that changes something leaves a line in the change log, whatever becomes of it; none fails because of it."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune import documents
from cachetune.apply import record
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.settle import settle
from cachetune.apply.state import change_log, systemd_journal
from cachetune.apply.state.change_log import Change, ChangedGuest, GroupChange, LoggedGroup, User, line_of, log_of
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan import Plan, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.sim import SimulatedResctrl
from tests.apply.dying import until_death
from tests.apply.test_bound_threads import Host
from tests.effort import examples
from tests.guests.lookalike import add_process
from tests.samples import host_with_guest, plan_for, web

GROUP = "cachetune-web-vcpus_0-1"
CHANGE = documents.decode(
    b'{"time": "2026-11-30T10:00:00Z", "boot_id": "b", "run_id": "r", "program": "apply", "user": {"uid": 0},'
    b' "resctrl": "/sys/fs/resctrl", "outcome": "done", "guests": [], "plan": "1 task to move."}',
    Change,
    "a change",
)


@pytest.fixture
def sim() -> SimulatedResctrl:
    return host_with_guest("skylake-2s")


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    return Connection(sim, tmp_path / "run", program="apply")


def changes(connection: Connection) -> list[Change]:
    if not connection.change_log.exists():
        return []
    lines = connection.change_log.read_bytes().splitlines()
    return [documents.decode(line, Change, "a line") for line in lines]


def web_plan(connection: Connection) -> Plan:
    return plan_for(web("skylake-2s"), connection)


def removal(connection: Connection) -> Plan:
    ledger = load_ledger(connection.run)
    return plan_removal(connection.look(ledger), [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk)


def test_a_run_adds_who_changed_which_guest_and_each_group_before_and_after(connection: Connection) -> None:
    assert apply(web_plan(connection), connection).notes == ()
    (change,) = changes(connection)
    assert (change.program, change.outcome, change.user.uid) == ("apply", "done", os.getuid())
    assert [guest.name for guest in change.guests] == ["web"]
    assert change.plan.startswith("1 control group and 2 monitor groups to create")
    assert change.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    groups = {group.path: group for group in change.groups}
    default, made = groups["."], groups[GROUP]
    assert default.before
    assert default.after
    assert default.before.state.startswith("L3:0=7ff;1=7ff")
    assert default.after.state != default.before.state
    assert made.before is None
    assert made.after == LoggedGroup("L3:0=3;1=7ff MB:0=60;1=100 shareable", 2)


def test_a_removal_adds_what_the_groups_had(connection: Connection) -> None:
    apply(web_plan(connection), connection)
    apply(removal(connection), connection)
    made, removed = changes(connection)
    groups = {group.path: group for group in removed.groups}
    (had,) = (group.after for group in made.groups if group.path == GROUP)
    assert (groups[GROUP].before, groups[GROUP].after) == (had, None)
    assert made.run_id != removed.run_id


def test_a_run_that_changes_nothing_adds_nothing(connection: Connection, sim: SimulatedResctrl) -> None:
    plan = web_plan(connection)
    sim.fail(errno.EROFS, at=1)
    assert apply(plan, connection).outcome == "rolled back"
    assert changes(connection) == []
    apply(plan, connection)
    assert apply(web_plan(connection), connection).outcome == "nothing to do"
    assert len(changes(connection)) == 1


def test_a_run_that_fails_adds_what_stopped_it_and_that_the_groups_are_as_before(
    connection: Connection, sim: SimulatedResctrl
) -> None:
    sim.fail(errno.ENOSPC, operation="mkdir", at=2)
    assert apply(web_plan(connection), connection).outcome == "rolled back"
    (change,) = changes(connection)
    assert change.outcome == "rolled back"
    assert "ENOSPC" in change.error
    assert all(group.before == group.after for group in change.groups)


def test_a_rollback_that_is_incomplete_and_its_recovery_have_one_run_id(
    connection: Connection, sim: SimulatedResctrl
) -> None:
    sim.fail(errno.EIO, at=5)
    sim.fail(errno.EIO, operation="rmdir", times=4)
    assert apply(web_plan(connection), connection).outcome == "rollback incomplete"
    by_recover = msgspec.structs.replace(connection, program="recover")
    assert recover(by_recover).exit_code == 0
    failed, undone = changes(connection)
    assert (failed.outcome, undone.outcome, undone.program) == ("rollback incomplete", "undone", "recover")
    assert failed.run_id == undone.run_id
    (left,) = (group.after for group in failed.groups if group.path == GROUP)
    (found,) = (group for group in undone.groups if group.path == GROUP)
    assert left is not None
    assert (found.before, found.after) == (left, None)


def test_new_threads_alone_are_a_change(tmp_path: Path) -> None:
    """The plan has nothing to do; a thread started since, and has to be moved."""
    host = Host(tmp_path)
    apply(host.plan(), host.connection)
    plan = host.plan()
    add_process(host.proc, 40, {43: "CPU 2/KVM"})
    host.resctrl.add_task(43)
    apply(plan, host.connection)
    change = changes(host.connection)[-1]
    assert change.plan == "1 new task to move."
    assert {group.path: (group.before.tasks, group.after.tasks) for group in change.groups if group.before} == {
        ".": (3, 2),
        "cachetune-web-vcpus_0-2": (2, 3),
    }


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_no_death_of_a_run_loses_the_line_of_a_change(verb: str, tmp_path: Path) -> None:
    """Killed before and after each change of the tree and of each record; a line that repeats has the same run id."""
    seen = set()
    for number in range(1, 1000):
        sim = host_with_guest("skylake-2s")
        connection = Connection(sim, tmp_path / str(number))
        plan = web_plan(connection)
        if verb == "remove":
            apply(plan, connection)
            plan = removal(connection)
        earlier, before = len(changes(connection)), sim.tree()
        died = until_death(sim, connection.run, lambda p=plan, c=connection: apply(p, c), number)
        changed = sim.tree() != before
        recover(connection)
        added = changes(connection)[earlier:]
        assert len({change.run_id for change in added}) == len(added[:1]), number
        outcomes = tuple(change.outcome for change in added)
        assert outcomes or not changed, number
        seen.add(outcomes)
        if not died:
            break
    assert seen == {(), ("undone",), ("finished",), ("done", "finished"), ("done",)}


def test_settling_names_no_guest_where_only_ways_go_back(connection: Connection, sim: SimulatedResctrl) -> None:
    apply(web_plan(connection), connection)
    for path in (f"{GROUP}/mon_groups/{name}" for name in sim.listdir(f"{GROUP}/mon_groups")):
        sim.rmdir(path)
    sim.rmdir(GROUP)
    settle(connection)
    assert changes(connection)[-1].guests == ()
    assert [group.path for group in changes(connection)[-1].groups] == ["."]


# what a log cannot do to a run


def unwritable(kind: str, path: Path) -> str:
    """Make a log of this kind; return what the note says."""
    if kind == "a symbolic link":
        path.symlink_to(path.with_name("elsewhere"))
        return "it is a symbolic link"
    if kind == "a pipe":
        os.mkfifo(path)
        return "it is not a regular file"
    if kind == "a directory":
        path.mkdir()
        return "Is a directory"
    return "No such file or directory"


@pytest.mark.parametrize("kind", ["a symbolic link", "a pipe", "a directory", "below a directory that is missing"])
def test_a_log_that_cannot_be_written_is_a_note_and_the_change_stays(
    kind: str, connection: Connection, tmp_path: Path, sim: SimulatedResctrl
) -> None:
    log = tmp_path / ("log" if kind.startswith("a ") else "missing/too/log")
    why = unwritable(kind, log)
    at = msgspec.structs.replace(connection, log=log)
    report = apply(web_plan(connection), at)
    assert report.outcome == "done"
    assert report.notes == (f"this change is not in the log {log}: {why}",)
    assert sim.exists(GROUP)
    assert not (tmp_path / "elsewhere").exists()


def test_a_disk_that_is_full_in_the_middle_of_a_line_is_a_note_and_the_next_line_is_whole(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def partly(fd: int, data: bytes) -> int:
        return write(fd, data[:100] if b'"run_id"' in data and b'"outcome"' in data else data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", partly)
        report = apply(web_plan(connection), connection)
    assert report.outcome == "done"
    assert report.notes == (
        f"this change is not in the log {connection.change_log}: the line is incomplete, because the disk is full",
    )
    apply(removal(connection), connection)
    torn, whole = connection.change_log.read_bytes().splitlines()
    assert len(torn) == 100
    assert documents.decode(whole, Change, "").outcome == "done"


def test_a_bug_while_recording_is_a_note(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> bytes:
        raise KeyError("x")

    monkeypatch.setattr(change_log, "line_of", broken)
    report = apply(web_plan(connection), connection)
    assert report.outcome == "done"
    assert report.notes == ("this change could not be recorded: KeyError: 'x' (this is a bug)",)


def test_the_directory_is_made_and_others_cannot_read_the_log(connection: Connection, tmp_path: Path) -> None:
    log = tmp_path / "cachetune" / "changes.jsonl"
    before = os.umask(0o022)
    try:
        apply(web_plan(connection), msgspec.structs.replace(connection, log=log))
    finally:
        os.umask(before)
    assert (log.parent.stat().st_mode & 0o777, log.stat().st_mode & 0o777) == (0o755, 0o640)


def test_only_the_systems_resctrl_with_the_systems_run_directory_has_the_systems_log(tmp_path: Path) -> None:
    system = Path("/var/log/cachetune/changes.jsonl")
    assert log_of(Path("/run/cachetune"), is_system=True) == system
    assert log_of(Path("/run/cachetune"), is_system=False) == Path("/run/cachetune/changes.jsonl")
    assert log_of(tmp_path, is_system=True) == tmp_path / "changes.jsonl"
    simulated = Connection(host_with_guest("skylake-2s"), Path("/run/cachetune"))
    assert simulated.change_log == Path("/run/cachetune/changes.jsonl")


# users


def test_the_user_is_the_one_who_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    login = int(Path("/proc/self/loginuid").read_text())
    assert change_log.this_user() == User(uid=os.getuid(), login_uid=login if login < 0xFFFFFFFF else None)


@pytest.mark.parametrize(("text", "number"), [("1000", 1000), ("4294967295", None), ("", None), ("-1", None)])
def test_a_service_has_no_login(text: str, number: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert change_log._login_uid() == number


def test_a_hostile_sudo_user_is_short_and_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "\x1b[2J\nroot\udcff" + "x" * 100_000)
    name = change_log.this_user().sudo_user
    assert len(name) == 300
    assert name.startswith(r"\x1b[2J\nroot\udcff")


# lines

hostile = st.text(st.characters(), max_size=40).map(lambda text: text * 200)
numbers_of = st.integers(0, 1 << 30)
logged = st.none() | st.builds(LoggedGroup, hostile, st.none() | numbers_of)


@settings(max_examples=examples(20), deadline=None)
@given(
    guests=st.lists(st.builds(ChangedGuest, hostile, hostile, st.none() | hostile), max_size=3),
    groups=st.lists(st.builds(GroupChange, hostile, logged, logged), max_size=3),
    notes=st.lists(hostile, max_size=9),
    text=hostile,
    times=st.sampled_from([1, 1000]),
)
def test_a_line_is_short_and_readable_whatever_is_in_it(
    guests: list[ChangedGuest], groups: list[GroupChange], notes: list[str], text: str, times: int
) -> None:
    many = msgspec.structs.replace(
        CHANGE,
        guests=tuple(guests * times),
        groups=tuple(groups * times),
        notes=tuple(notes),
        plan=text,
        error=text,
        program=text,
        resctrl=text,
    )
    line = line_of(many)
    assert len(line) <= change_log.LONGEST_LINE
    assert line.index(b"\n") == len(line) - 1
    read = documents.decode(line, Change, "a line")
    assert len(read.guests) + read.guests_left_out == len(guests) * times
    assert len(read.groups) + read.groups_left_out == len(groups) * times
    assert bool(read.guests) == bool(guests)
    assert bool(read.groups) == bool(groups)


# systemd's journal


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket in place of journald's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.setblocking(False)
        monkeypatch.setattr(systemd_journal, "SOCKET", tmp_path / "socket")
        yield listening


def test_the_kernels_resctrl_sends_an_entry_to_the_journal(
    connection: Connection, journald: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "is_kernels", lambda _: True)
    apply(web_plan(connection), connection)
    fields = dict(line.split("=", 1) for line in journald.recv(1 << 16).decode().splitlines())
    (change,) = changes(connection)
    assert fields.pop("MESSAGE") == f"apply: web: done: {change.plan}"
    assert fields == {
        "MESSAGE_ID": record.MESSAGE_ID,
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "cachetune",
        "CACHETUNE_RUN_ID": change.run_id,
        "CACHETUNE_PROGRAM": "apply",
        "CACHETUNE_OUTCOME": "done",
        "CACHETUNE_GUESTS": "web",
    }


def test_a_simulated_resctrl_sends_nothing(connection: Connection, journald: socket.socket) -> None:
    apply(web_plan(connection), connection)
    with pytest.raises(BlockingIOError):
        journald.recv(1)


def test_a_journald_that_is_busy_or_missing_is_not_waited_for(journald: socket.socket, tmp_path: Path) -> None:
    for _ in range(1000):
        systemd_journal.send(MESSAGE="x")
    assert journald.recv(10) == b"MESSAGE=x\n"
    (tmp_path / "socket").unlink()
    systemd_journal.send(MESSAGE="x")


def test_a_field_is_one_line(journald: socket.socket) -> None:
    systemd_journal.send(MESSAGE="a\nPRIORITY=0\udcff")
    assert journald.recv(100) == b"MESSAGE=a\\nPRIORITY=0\\udcff\n"
