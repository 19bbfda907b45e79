"""Interference: threads that end while they are moved, other programs, symbolic links, strange names."""

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain import load
from cachetune.errors import ApplyRefusedError, MachineNameError, StateFileError
from cachetune.guests.model import Guest, Thread
from cachetune.plan import Options
from cachetune.plan.build import plan
from cachetune.sim import Operation, SimulatedResctrl, load_profile
from tests.samples import cache_request, domain, group, plan_for, web

MANY = tuple(range(20000, 20500))
CONTROL = "cachetune-web-vcpus_0-1"


def before_write_to(sim: SimulatedResctrl, path: str, act: Callable[[], None]) -> None:
    """Let another program act once, just before the first write to this file."""

    def hook(operation: Operation) -> None:
        if operation.kind == "write" and operation.path == path:
            sim.before_operation = None
            act()

    sim.before_operation = hook


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_of_500_threads_those_that_end_are_reported_and_the_others_moved(kernel: str, tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile("skylake-2s"), kernel=kernel)
    for tid in MANY:
        sim.add_task(tid)
    connection = Connection(sim, tmp_path)
    guest = Guest(MANY[0], tuple(Thread(tid, 0, "", n) for n, tid in enumerate(MANY)))
    cache = connection.look(Ledger()).caches[0]
    asked = group(set(range(500)), (cache_request(cache, 0, 2),), (), [])
    wanted = msgspec.structs.replace(domain(asked), vcpus=500)
    ended = MANY[7::10]

    def end() -> None:
        for tid in ended:
            sim.end_task(tid)

    made = plan(wanted, connection.look(Ledger()), guest, Options(shrink_default=True))
    (path,) = (g.path for g in made.groups)
    before_write_to(sim, f"{path}/tasks", end)
    report = apply(made, connection)
    assert report.outcome == "done"
    assert report.vanished_tids == ended
    assert set(map(int, sim.read(f"{path}/tasks").split())) == set(MANY) - set(ended)


def test_a_group_removed_while_its_threads_are_moved_causes_a_rollback(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    made = plan_for(web("skylake-2s"), connection)
    before_write_to(sim, f"{CONTROL}/tasks", lambda: sim.rmdir(CONTROL))
    report = apply(made, connection)
    assert report.outcome == "rolled back"
    assert "ENOENT" in report.error
    assert sim.tree() == before
    assert not journal.exists(connection.run)


def test_a_foreign_group_that_appears_during_a_run_is_left_alone(sim: SimulatedResctrl, connection: Connection) -> None:
    made = plan_for(web("skylake-2s"), connection)
    before_write_to(sim, f"{CONTROL}/tasks", lambda: sim.mkdir("COS1"))
    assert apply(made, connection).outcome == "done"
    assert sim.exists("COS1")
    assert "COS1" not in load_ledger(connection.run).owned


def test_masks_changed_between_plan_and_apply_make_the_plan_outdated(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    made = plan_for(web("skylake-2s"), connection)
    sim.write("schemata", "L3:0=3ff\n")
    done = len(sim.operations)
    with pytest.raises(ApplyRefusedError, match="CT501"):
        apply(made, connection)
    assert len(sim.operations) == done


def test_a_read_only_mount_fails_at_the_first_change_and_leaves_nothing(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    sim.fail(errno.EROFS, times=99)
    report = apply(plan_for(web("skylake-2s"), connection), connection)
    assert "EROFS" in report.error
    assert report.outcome == "rolled back"
    assert sim.tree() == before
    assert not journal.exists(connection.run)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_journal_cut_off_in_any_line_undoes_the_steps_before_it(
    cut: int, sim: SimulatedResctrl, connection: Connection
) -> None:
    """The step of an incomplete line was never taken."""
    before = sim.tree()
    made = plan_for(web("skylake-2s"), connection)

    class Killed(BaseException):
        """The end of the process: no code of ours catches it."""

    def die(_: Operation) -> None:
        if (connection.run / "journal.jsonl").read_bytes().count(b"\n") > cut:
            raise Killed

    sim.before_operation = die
    with pytest.raises(Killed):
        apply(made, connection)
    sim.before_operation = None
    path = connection.run / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert recover(connection).exit_code == 0
    assert sim.tree() == before
    assert recover(connection).outcome == "nothing to do"


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [line.replace(CONTROL.encode(), b"COS1") for line in lines],
        lambda lines: [*lines[:-1], lines[-1].replace(b'"tids":[', b'"tids":[9000,')],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines, b'{"record":"done"} 00000000\n'],
    ],
    ids=["another group", "another thread", "a line less", "another order", "a line twice", "all done"],
)
def test_an_edited_journal_is_refused_and_nothing_is_changed(
    edit: Callable[[list[bytes]], list[bytes]], sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=400;1=400\n")
    sim.add_task(9000)
    made = plan_for(web("skylake-2s"), connection)
    log = journal.Journal.begin(connection.run, made, sim.source)
    for step in made.steps:
        log.taking(step)
    log.keep()
    path = connection.run / "journal.jsonl"
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))
    before = len(sim.operations)
    for run in (lambda: recover(connection), lambda: apply(made, connection)):
        with pytest.raises(ApplyRefusedError, match=r"checksum differs.*CT506"):
            run()
    assert len(sim.operations) == before
    assert path.exists()


@pytest.mark.parametrize("name", ["../../etc", "x" * 300, "a/../../b", "info/" * 60])
def test_no_domain_name_leads_out_of_the_tree(name: str, connection: Connection) -> None:
    xml = f"""<domain type='kvm'><name>{name}</name><vcpu>4</vcpu><cputune><cachetune vcpus='0'>
      <monitor level='3' vcpus='0'/></cachetune></cputune></domain>"""
    loaded = load(xml.encode(), "domain.xml")
    if loaded.domain is None:
        assert loaded.findings, "a refusal has a reason"
        return
    made = plan_for(loaded.domain, connection)
    assert apply(made, connection).outcome == "done"
    assert [g.path for g in made.groups]
    for made_group in made.groups:
        last = made_group.path.removeprefix("mon_groups/")
        assert "/" not in last
        assert ".." not in last
        assert len(last) <= 64 + len("-vcpus_0")


def test_a_name_without_a_usable_character_is_refused(connection: Connection) -> None:
    with pytest.raises(MachineNameError, match="has no characters for a group name"):
        plan_for(domain(group({0}, (), (), [{0}]), name=".."), connection)


@pytest.mark.parametrize("way", ["run directory", "journal", "ledger", "the ledger's next version"])
def test_a_symbolic_link_never_redirects_a_write(
    way: str, sim: SimulatedResctrl, connection: Connection, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = connection.run
    if way == "run directory":
        run.symlink_to(victim)
    else:
        run.mkdir()
        names = {
            "journal": "journal.jsonl",
            "ledger": "ledger.json",
            "the ledger's next version": "ledger.json.new",
        }
        (run / names[way]).symlink_to(victim)
    before = sim.tree()
    made = plan(web("skylake-2s"), connection.look(Ledger()), Guest(4711, ()), Options(shrink_default=True))
    try:
        report = apply(made, connection)
    except (ApplyRefusedError, StateFileError):
        assert sim.tree() == before
    else:
        assert report.notes, "the run is done, and says that its ledger could not be written"
        assert journal.exists(run)
    assert victim.read_text() == "precious"


def test_an_unwritable_run_directory_is_refused_before_anything_changes(
    sim: SimulatedResctrl, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan_for(web("skylake-2s"), connection)

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("cachetune.apply.state.journal.os.open", refused)
        with pytest.raises(StateFileError, match="Permission denied") as caught:
            apply(made, connection)
    assert "root" in caught.value.hint
    assert not sim.operations
