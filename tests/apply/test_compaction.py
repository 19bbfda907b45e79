"""Groups of other guests move to make room: every moment is legal, whatever fails, and a forged plan gets nowhere."""

import errno
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.change_log import Change, ChangedGuest
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Amounts, Cbm, is_contiguous
from cachetune.errors import ApplyRefusedError, PlanRefusedError
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, plan_removal
from cachetune.plan.compact import CompactRequest, plan_compaction
from cachetune.plan.model import MovedGroup, PlanGuest
from cachetune.plan.policy import LeastWays, Policy, Reserved
from cachetune.plan.steps import Step, WriteSchemata
from cachetune.service.change_log import Wanted, log_files, opened, read_changes
from cachetune.service.plans import plan_requests
from cachetune.sim import Operation, SimulatedResctrl, load_profile
from cachetune.units import Size
from tests.apply.dying import until_death
from tests.apply.random_runs import Counts, episode
from tests.effort import examples
from tests.samples import cache_request, domain, group

NAMES = ("web", "db", "mail", "build")
GROUP = "cachetune-{}-vcpus_0"
COMPACT = Options(compact=True)


def guest(name: str) -> Guest:
    tid = 1000 * (1 + NAMES.index(name))
    return Guest(tid, (Thread(tid, 0, "CPU 0/KVM", 0),))


def plan(name: str, ways: tuple[int, int], connection: Connection, options: Options = COMPACT) -> Plan:
    """The plan that gives a guest that many ways of cache 0 and of cache 1."""
    (control,) = read_host(connection.resctrl).caches
    caches = tuple(cache_request(control, i, number) for i, number in enumerate(ways) if number)
    ledger = load_ledger(connection.run)
    wanted = domain(group({0}, caches, (), []), name=name)
    return plan_requests([GuestRequest(wanted, guest(name))], connection.look(ledger), ledger, options)


def fragmented(run: Path) -> tuple[SimulatedResctrl, Connection]:
    """Eleven ways: db and mail in two caches, with holes around them, and two ways for all others."""
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    connection = Connection(sim, run)
    for name in NAMES:
        sim.add_task(guest(name).threads[0].tid)
    sim.write("schemata", "L3:0=600;1=600\n")
    for name in ("web", "db", "mail"):
        assert apply(plan(name, (2, 2), connection), connection).outcome == "done"
    sim.write(f"{GROUP.format('mail')}/schemata", "L3:0=0c0;1=180\n")
    assert apply(removal("web", connection), connection).outcome == "done"
    return sim, connection


def removal(name: str, connection: Connection) -> Plan:
    ledger, machine = load_ledger(connection.run), f"cachetune-{name}"
    owned = ledger.groups_of(machine)
    return plan_removal(connection.look(ledger), [PlanGuest(name, machine)], owned, ledger.shrunk)


class Witness:
    """Looks at the host before every operation: no group has fewer ways than at first, or another group's ways."""

    def __init__(self, sim: SimulatedResctrl) -> None:
        self._sim = sim
        self._ways = {(path, place): mask.bit_count() for path, place, mask in _entries(read_host(sim))}
        self._shared = self._common(read_host(sim))
        self.moments = 0
        sim.before_operation = self.look

    def allow_fewer(self, path: str) -> None:
        """Do not count the ways of this group."""
        self._ways = {(of, place): 1 if of == path else ways for (of, place), ways in self._ways.items()}

    def look(self, _: Operation | None = None) -> None:
        self.moments += 1
        host = read_host(self._sim)
        for path, place, mask in _entries(host):
            assert is_contiguous(mask)
            assert mask.bit_count() >= self._ways.get((path, place), 1)
        assert self._common(host) <= self._shared

    def _common(self, host: Host) -> set[tuple[str, str, tuple[str, int]]]:
        """The pairs of groups with ways in common; a group without threads is still being made."""
        idle = {g.path for g in host.control_groups() if not g.tids and g.path not in {path for path, _ in self._ways}}
        entries = [entry for entry in _entries(host) if entry[0] not in idle]
        default = {at: mask for path, at, mask in entries if path == DEFAULT_GROUP}
        return {
            (a, b, at)
            for (a, at, x), (b, there, y) in combinations(entries, 2)
            if at == there and x & y and not x == y == default[at]  # a group without a request follows the default
        }


def _entries(host: Host) -> list[tuple[str, tuple[str, int], int]]:
    groups = sorted(host.control_groups(), key=lambda g: g.path)
    return [(g.path, (name, i), mask) for g in groups for name, i, mask in g.masks.entries()]


def masks(sim: SimulatedResctrl, name: str) -> str:
    return next(line.strip() for line in sim.read(f"{GROUP.format(name)}/schemata").splitlines() if "L3:" in line)


def test_a_guest_moves_so_that_another_gets_four_ways_and_every_moment_is_legal(tmp_path: Path) -> None:
    sim, connection = fragmented(tmp_path)
    with pytest.raises(PlanRefusedError):
        plan("build", (4, 4), connection, Options())
    wanted = plan("build", (4, 4), connection)
    assert [(m.path, m.guest, m.cold_ways) for m in wanted.moved] == [
        (GROUP.format("db"), "db", Amounts({"L3": {0: 2, 1: 1}})),
    ]
    witness = Witness(sim)
    assert apply(wanted, connection).outcome == "done"
    witness.look()
    assert witness.moments > 4
    assert (masks(sim, "db"), masks(sim, "build")) == ("L3:0=003;1=006", "L3:0=03c;1=078")
    again = plan("build", (4, 4), connection)
    assert (again.steps, again.moved) == ((), ())


def test_a_group_that_must_grow_moves_or_its_neighbor_does(tmp_path: Path) -> None:
    sim, connection = fragmented(tmp_path)
    witness = Witness(sim)
    assert apply(plan("mail", (5, 4), connection), connection).outcome == "done"
    witness.look()
    host = read_host(sim)
    mail = host.group(GROUP.format("mail"))
    assert mail is not None
    assert [mask.bit_count() for mask in mail.masks["L3"].values()] == [5, 4]


def operations_of(run: Path) -> int:
    sim, connection = fragmented(run)
    wanted = plan("build", (4, 4), connection)
    begin = len(sim.operations)
    assert apply(wanted, connection).outcome == "done"
    return len(sim.operations) - begin


def test_a_failure_at_any_operation_of_a_compaction_is_undone_through_legal_moments(tmp_path: Path) -> None:
    total = operations_of(tmp_path / "dry")
    assert total >= 4
    for number in range(1, total + 1):
        for after in (False, True):
            sim, connection = fragmented(tmp_path / f"{number}{after}")
            wanted, before, ledger = plan("build", (4, 4), connection), sim.tree(), load_ledger(connection.run)
            sim.fail(errno.EIO, at=number, operation="write" if after else None, after=after)
            witness = Witness(sim)
            report = apply(wanted, connection)
            witness.look()
            if not after or report.outcome != "done":
                assert report.outcome == "rolled back", (number, report)
                assert sim.tree() == before
                assert load_ledger(connection.run) == ledger


def test_a_run_killed_anywhere_in_a_compaction_is_recovered_through_legal_moments(tmp_path: Path) -> None:
    deaths = 0
    for number in range(1, 100):
        sim, connection = fragmented(tmp_path / str(number))
        wanted, before = plan("build", (4, 4), connection), sim.tree()
        died = until_death(sim, connection.run, lambda w=wanted, c=connection: apply(w, c), number)
        if not died:
            break
        deaths += 1
        witness = Witness(sim)
        assert recover(connection).exit_code == 0
        witness.look()
        assert sim.tree() == before or GROUP.format("build") in {g.path for g in read_host(sim).groups}
        assert not journal.exists(connection.run)
    assert deaths > 10


def test_a_group_whose_old_ways_were_taken_stays_and_so_does_the_one_whose_ways_it_has(tmp_path: Path) -> None:
    """Killed after both groups have moved; then another program takes ways that the second one had."""
    for number in range(1, 100):
        sim, connection = fragmented(tmp_path / str(number))
        sim.write(f"{GROUP.format('db')}/schemata", "L3:0=006\n")
        sim.write(f"{GROUP.format('mail')}/schemata", "L3:0=018\n")
        wanted = plan("build", (5, 0), connection)
        assert [m.guest for m in wanted.moved] == ["db", "mail"]
        until_death(sim, connection.run, lambda w=wanted, c=connection: apply(w, c), number)
        if "0=00c" in masks(sim, "mail"):
            break
    assert "0=003" in masks(sim, "db")
    assert not sim.exists(GROUP.format("build"))
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=010\n")
    report = recover(connection)
    assert report.outcome == "done"
    assert len(report.notes) == 2
    assert ("0=003" in masks(sim, "db"), "0=00c" in masks(sim, "mail")) == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("episodes", [3, pytest.param(10, marks=pytest.mark.soak)])
def test_random_runs_with_compaction_restore_the_host(episodes: int, tmp_path: Path) -> None:
    total = Counts()
    for number in range(examples(episodes)):
        for profile in ("skylake-2s", "sapphire-rapids-cdp"):
            sim = SimulatedResctrl(load_profile(profile))
            total.add(episode(f"compact {number}", tmp_path / f"{number}{profile}", sim, compact=True))
    assert min(total.runs, total.failures, total.deaths, total.deaths_of_recover) > 2 * episodes
    assert total.moved > 1.5 * episodes


# -- the change log ---------------------------------------------------------------------------------------------------


def logged(name: str, connection: Connection) -> list[Change]:
    files = opened(log_files(connection.change_log))
    return list(read_changes(files, Wanted(guest=name)).changes)


def test_the_change_log_has_a_move_under_the_name_of_the_guest_that_moved_and_of_no_other(tmp_path: Path) -> None:
    _, connection = fragmented(tmp_path)
    before = {name: logged(name, connection) for name in NAMES}
    assert apply(plan("build", (4, 4), connection), connection).outcome == "done"
    (change,) = logged("build", connection)
    assert change.guests == (ChangedGuest("build", "cachetune-build"), ChangedGuest("db", "cachetune-db"))
    assert logged("db", connection) == [*before["db"], change]
    assert logged("mail", connection) == before["mail"]


def test_a_compaction_for_no_guest_and_its_recovery_have_the_guests_that_moved(tmp_path: Path) -> None:
    sim, connection = fragmented(tmp_path)
    compaction = plan_compaction(connection.look(load_ledger(tmp_path)), CompactRequest(), {})
    sim.fail(errno.EIO, operation="write", at=2, times=3)
    assert apply(compaction, connection).outcome == "rollback incomplete"
    assert recover(connection).exit_code == 0
    assert [change.outcome for change in logged("db", connection)] == ["done", "rollback incomplete", "undone"]


# -- groups that libvirt made, and the default group ------------------------------------------------------------------


def test_groups_of_libvirt_move_only_with_adopt_and_only_if_a_guest_runs_in_them(tmp_path: Path) -> None:
    sim, connection = fragmented(tmp_path)
    for name in ("db", "mail"):
        assert apply(removal(name, connection), connection).outcome == "done"
    sim.mkdir("qemu-7-theirs")
    sim.write("qemu-7-theirs/schemata", "L3:0=030;1=008\n")
    with_adopt = Options(compact=True, adopt=True)
    with pytest.raises(PlanRefusedError):
        plan("build", (6, 5), connection, with_adopt)  # no thread is in it: libvirt may be about to start the guest
    sim.add_task(7000)
    sim.write("qemu-7-theirs/tasks", "7000\n")
    with pytest.raises(PlanRefusedError):
        plan("build", (6, 5), connection)
    wanted = plan("build", (6, 5), connection, with_adopt)
    assert [(m.path, m.guest) for m in wanted.moved] == [("qemu-7-theirs", "theirs")]
    with pytest.raises(ApplyRefusedError, match="CT508"):
        apply(wanted, connection)
    assert apply(wanted, connection, adopt=True).outcome == "done"
    assert [change.guests for change in logged("theirs", connection)] == [
        (ChangedGuest("build", "cachetune-build"), ChangedGuest("", "qemu-7-theirs"))
    ]


def small_host(run: Path, default: str) -> tuple[SimulatedResctrl, Connection]:
    """Eight ways, none of which devices use: there the default group can move."""
    sim = SimulatedResctrl(load_profile("atom-l2"))
    for name in NAMES:
        sim.add_task(guest(name).threads[0].tid)
    sim.write("schemata", f"L2:0={default}\n")
    return sim, Connection(sim, run)


def default_mask(sim: SimulatedResctrl) -> int:
    return int(read_host(sim).default_group.masks["L2"][0])


def test_the_default_group_moves_only_with_shrink_default_and_keeps_its_number_of_ways(tmp_path: Path) -> None:
    sim, connection = small_host(tmp_path, "18")
    with pytest.raises(PlanRefusedError):
        plan("build", (5, 0), connection)
    with pytest.raises(PlanRefusedError):
        plan("build", (5, 0), connection, Options(shrink_default=True))
    wanted = plan("build", (5, 0), connection, Options(shrink_default=True, compact=True))
    assert [(m.path, m.cold_ways) for m in wanted.moved] == [(DEFAULT_GROUP, Amounts({"L2": {0: 2}}))]
    assert apply(wanted, connection).outcome == "done"
    assert default_mask(sim) == 0x03
    assert apply(removal("build", connection), connection).outcome == "done"
    assert default_mask(sim) == 0x03


def test_a_default_group_that_shrinks_while_others_move_gets_its_ways_back(tmp_path: Path) -> None:
    sim, connection = small_host(tmp_path, "ff")
    how = Options(shrink_default=True, compact=True)
    for name, ways in (("db", 3), ("web", 2)):
        assert apply(plan(name, (ways, 0), connection, how), connection).outcome == "done"
    assert apply(removal("db", connection), connection).outcome == "done"
    assert default_mask(sim) == 0xE0  # the ways of db are not next to it
    wanted = plan("build", (5, 0), connection, how)
    assert [m.guest for m in wanted.moved] == ["web"]
    witness = Witness(sim)
    witness.allow_fewer(DEFAULT_GROUP)
    assert apply(wanted, connection).outcome == "done"
    witness.look()
    assert default_mask(sim) == 0x80
    for name in ("build", "web"):
        assert apply(removal(name, connection), connection).outcome == "done"
    assert default_mask(sim) == 0xFF


# -- the host's policy ------------------------------------------------------------------------------------------------


def under(policy: Policy, **more: bool) -> Options:
    return msgspec.structs.replace(COMPACT, policy=policy, **more)


def test_no_group_moves_into_reserved_ways(tmp_path: Path) -> None:
    sim, connection = fragmented(tmp_path)
    reserved = Policy("host.toml", reserved=(Reserved("L3", 0, Cbm(0x010)),))
    assert plan("build", (5, 0), connection).steps
    with pytest.raises(PlanRefusedError):
        plan("build", (5, 0), connection, under(reserved))
    sim.before_operation = lambda _: None if not _holders(sim, 0x010) else pytest.fail("a group has way 4")
    wanted = plan("build", (4, 0), connection, under(reserved))
    assert {m.guest for m in wanted.moved} == {"mail"}
    assert apply(wanted, connection).outcome == "done"
    sim.before_operation = None
    assert _holders(sim, 0x010) == []


def _holders(sim: SimulatedResctrl, ways: int) -> list[str]:
    """The groups with threads that have some of these ways of L3 cache 0; a group begins with those of the kernel."""
    return [g.path for g in read_host(sim).control_groups() if g.tids and (g.masks.at("L3", 0) or 0) & ways]


def test_the_default_group_does_not_move_into_reserved_ways(tmp_path: Path) -> None:
    _, connection = small_host(tmp_path, "18")
    host = read_host(connection.resctrl)
    request = CompactRequest(default_group=True, policy=Policy("host.toml", reserved=(Reserved("L2", 0, Cbm(0x03)),)))
    for each, mask in ((request._replace(policy=None), "03"), (request, "0c")):
        (step,) = plan_compaction(host, each, {}).steps
        assert isinstance(step, WriteSchemata)
        assert step.after.strip().endswith(f"={mask}"), step


@pytest.mark.parametrize(("least", "is_possible"), [(1, True), (2, False)])
def test_a_compaction_that_shrinks_the_default_group_leaves_it_the_least(
    least: int, tmp_path: Path, *, is_possible: bool
) -> None:
    _, connection = small_host(tmp_path, "ff")
    how = under(Policy("host.toml", least=(LeastWays("L2", None, Size(least, "ways")),)), shrink_default=True)
    for name, ways in (("db", 3), ("web", 2)):
        assert apply(plan(name, (ways, 0), connection, how), connection).outcome == "done"
    assert apply(removal("db", connection), connection).outcome == "done"
    if is_possible:
        assert plan("build", (5, 0), connection, how).moved
        return
    with pytest.raises(PlanRefusedError) as refused:
        plan("build", (5, 0), connection, how)
    assert [f.rule for f in refused.value.findings if f.severity == "error"] == ["CT237"]


# -- forged plans -----------------------------------------------------------------------------------------------------


def forge(connection: Connection, *steps: Step, moved: tuple[str, ...]) -> Plan:
    """A plan for build that claims that these groups move."""
    honest = plan("build", (1, 1), connection)
    claims = tuple(MovedGroup(path, "db", Amounts({"L3": {0: 1}}), None) for path in moved)
    return msgspec.structs.replace(honest, moved=claims, steps=steps)


@pytest.mark.parametrize(
    ("path", "before", "after", "why"),
    [
        (GROUP.format("db"), "L3:0=00c", "L3:0=004", "give group"),
        (GROUP.format("db"), "L3:0=00c", "L3:0=018", ""),
        (GROUP.format("db"), "L3:0=00c", "L3:0=060", "give group"),
        (GROUP.format("db"), "L3:0=00c", "L3:0=600", "give group"),
        (GROUP.format("db"), "L3:0=00c\nMB:0=100", "L3:0=003\nMB:0=10", "change more than the masks"),
        ("COS1", "L3:0=100", "L3:0=010", "write to group COS1"),
        ("qemu-3-idle", "L3:0=200", "L3:0=010", "write to group qemu-3-idle"),
    ],
)
def test_a_forged_plan_moves_only_groups_of_guests_to_free_ways_and_takes_nothing(
    path: str, before: str, after: str, why: str, tmp_path: Path
) -> None:
    sim, connection = fragmented(tmp_path)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=100;1=200\n")
    sim.mkdir("qemu-3-idle")
    sim.write("qemu-3-idle/schemata", "L3:0=200;1=400\n")
    forged = forge(connection, WriteSchemata(path, f"{before}\n", f"{after}\n"), moved=(path,))
    if not why:
        assert apply(forged, connection).outcome == "done"
        return
    with pytest.raises(ApplyRefusedError, match=why):
        apply(forged, connection)


def test_a_plan_that_does_not_name_a_group_as_moved_cannot_move_it(tmp_path: Path) -> None:
    _, connection = fragmented(tmp_path)
    write = WriteSchemata(GROUP.format("db"), "L3:0=00c\n", "L3:0=018\n")
    with pytest.raises(ApplyRefusedError, match="give group"):
        apply(forge(connection, write, moved=()), connection)
