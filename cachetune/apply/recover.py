"""Finish or undo what a killed run left, using its journal, and settle the host. A second recover changes nothing."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec.structs import replace

from cachetune.apply.guard import refused
from cachetune.apply.guard_files import FileGuard
from cachetune.apply.measure import restore_locked
from cachetune.apply.record import Before, Ended, found_on, planned_on, record
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, undo
from cachetune.apply.settle import settle_locked, settlement
from cachetune.apply.state import journal, measurement, reservations
from cachetune.apply.state.change_log import Outcome
from cachetune.apply.state.default_group import follow_shrink
from cachetune.apply.state.departures import departed
from cachetune.apply.state.journal import Unfinished
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger
from cachetune.apply.steps import StepRunner
from cachetune.cbm import Cbm, Masks
from cachetune.errors import JournalDamagedError
from cachetune.host.model import DEFAULT_GROUP, Host, parent_of
from cachetune.host.resctrl.schemata import format_schemata, parse
from cachetune.plan.model import DefaultShrink, Plan
from cachetune.plan.render import describe
from cachetune.plan.settings import ASSIGNMENTS, group_of_file, may_remain
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata, effect_of
from cachetune.text import listed

_AGAIN = "run 'cachetune recover' again to return the ways"
_UNCHANGED = "the run was interrupted before it changed anything"


def recover(connection: Connection) -> Report:
    """Bring the host to the state after the interrupted run if it had taken all its steps, else to the one before.

    Then, and without an interrupted run, restore the ways of groups whose measurement was interrupted, and settle the
    host: unclaimed ways go back.

    Raises ApplyRefusedError for a damaged journal, LockTimeoutError, HostError.
    """
    with connection.locked():
        report = _recover(connection)
        if not report.exit_code:
            report = _followed(report, _restore_measured(connection), "restored")
        return report if report.exit_code else _followed(report, settle_locked(connection), "cleanup")


def preview(connection: Connection) -> tuple[str, ...]:
    """What ``recover`` would do now, in words; empty if nothing. Changes nothing, and shares the lock.

    What settles a host that has an interrupted run depends on what can be undone, so it is not included. Raises what
    ``recover`` raises.
    """
    with connection.locked(exclusive=False):
        unfinished = _unfinished(connection)
        ledger = load_ledger(connection.run)
        host = connection.look(ledger)
        if unfinished is None:
            planned = settlement(host, ledger.without_lost(host), departed(connection.run))
            restored = tuple(f"restore the ways of {path}" for path in _left_measured(connection))
            return (*restored, *(f"settle: {describe(step)}" for step in planned.steps))
        if unfinished.plan is None or not unfinished.same_boot or not unfinished.started:
            return ("delete the journal of a run that has nothing to undo",)
        if unfinished.complete:
            return ("update the ledger: the interrupted run had taken all its steps",)
        reversal = _Reversal(unfinished.started, host, unfinished.plan, reservations.seconds_left(connection.run))
        return (*(f"undo: {describe(step)}" for step in reversed(reversal.steps)), *reversal.notes)


def _unfinished(connection: Connection) -> journal.Unfinished | None:
    """What is in the journal; None without one. Raises ApplyRefusedError if it cannot be used here."""
    try:
        unfinished = journal.read(connection.run)
    except JournalDamagedError as error:
        raise refused("CT506", path=error.path, why=error.reason) from None
    if unfinished and unfinished.plan and unfinished.same_boot and unfinished.resctrl != connection.resctrl.source:
        raise refused(
            "CT507", record="journal", run=connection.run, theirs=unfinished.resctrl, ours=connection.resctrl.source
        )
    return unfinished


def _recover(connection: Connection) -> Report:
    unfinished = _unfinished(connection)
    if unfinished is None:
        return Report(outcome="nothing to do", machine_names=(), notes=_awaited(connection))
    if unfinished.plan is None:
        return _discard(connection, unfinished, _UNCHANGED)
    if not unfinished.same_boot:
        save_ledger(Ledger(), connection.run)
        return _discard(connection, unfinished, "the machine has been restarted since, so there is nothing to undo")
    if unfinished.complete:
        save_ledger(load_ledger(connection.run).after(unfinished.plan), connection.run)
        complete = "the run had taken all its steps; the ledger is now up to date"
        return _discard(connection, unfinished, complete, *_awaited(connection))
    if not unfinished.started:
        return _discard(connection, unfinished, _UNCHANGED)
    return _undo(connection, unfinished, unfinished.plan)


def _left_measured(connection: Connection) -> tuple[str, ...]:
    """The groups of a measurement whose process has ended or is out of time."""
    found = measurement.read(connection.run)
    if found is None or measurement.is_running(found, connection.run):
        return ()
    return tuple(group.path for group in found.groups)


def _restore_measured(connection: Connection) -> Report:
    """Restore what an interrupted measurement has changed; one that is in progress is left alone."""
    found = measurement.read(connection.run)
    if found is None:
        if measurement.exists(connection.run):  # of another boot
            measurement.delete(connection.run)
    elif not measurement.is_running(found, connection.run):
        report = restore_locked(found, connection)
        note = f"the measurement of {listed(found.guests)} was interrupted"
        note += "" if report.notes else "; the ways of before are restored"
        return report if report.exit_code else replace(report, outcome="done", notes=(note, *report.notes))
    note = "" if found is None else f"process {found.pid} is still measuring {listed(found.guests)}"
    return Report(outcome="nothing to do", machine_names=(), notes=(note,) if note else ())


def _followed(first: Report, then: Report, label: str) -> Report:
    """The report of both: what was recovered, and what was done then."""
    if then.outcome == "nothing to do":
        return replace(first, notes=(*first.notes, *then.notes))
    returned = () if then.exit_code else (f"{label}: {describe(step)}" for step in then.done)
    return replace(
        then,
        machine_names=tuple(dict.fromkeys((*first.machine_names, *then.machine_names))),
        undone=(*first.undone, *then.undone),
        notes=(*first.notes, *returned, *then.notes),
    )


def _awaited(connection: Connection) -> tuple[str, ...]:
    """Notes about ways that stay free because libvirt may still create a group in them."""
    seconds = reservations.seconds_left(connection.run)
    expected = connection.look(load_ledger(connection.run)).control_groups() if seconds else ()
    return tuple(
        f"the ways of {group.path} stay free, because libvirt may still create it; if it does not within "
        f"{seconds[group.path]:.0f} s, {_AGAIN}"
        for group in expected
        if group.path in seconds and not connection.resctrl.exists(group.path)
    )


def _discard(connection: Connection, unfinished: Unfinished, *notes: str) -> Report:
    plan = unfinished.plan
    if plan is None:
        journal.delete(connection.run)
        return Report(outcome="done", machine_names=(), notes=notes)
    outcome: Outcome = "finished" if unfinished.complete and unfinished.same_boot else "undone"
    logged = record(connection, _ended(unfinished, plan, planned_on(plan), outcome, notes))
    journal.delete(connection.run)
    return Report(outcome="done", machine_names=plan.machine_names, notes=(*notes, *logged))


def _ended(unfinished: Unfinished, plan: Plan, before: Before, outcome: Outcome, notes: Sequence[str]) -> Ended:
    return Ended(
        run_id=unfinished.run_id,
        plan=plan,
        started=unfinished.started,
        before=before,
        outcome=outcome,
        notes=notes,
    )


def _undo(connection: Connection, unfinished: Unfinished, plan: Plan) -> Report:
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    reversal = _Reversal(unfinished.started, host, plan, reservations.seconds_left(connection.run))
    runner = StepRunner(connection.resctrl, connection.proc, plan.guests, host.bandwidths)
    undone, failures = undo(reversal.steps, runner)
    if reversal.kept and not failures:
        save_ledger(ledger.with_shrunk(reversal.kept), connection.run)
    outcome: Outcome = "rollback incomplete" if failures else "undone"
    logged = record(connection, _ended(unfinished, plan, found_on(host), outcome, reversal.notes))
    if not failures:
        journal.delete(connection.run)
    return Report(
        outcome="rollback incomplete" if failures else "done",
        machine_names=plan.machine_names,
        undone=undone,
        undo_errors=failures,
        notes=(*reversal.notes, *logged),
    )


class _Reversal:
    """The ``steps`` that can be undone on the current host; ``notes`` explain the others.

    ``reserved`` are groups that libvirt may still create, with the seconds until they expire. ``kept`` are ways that
    the default group does not get back now, for the ledger: they are returned once they are unclaimed.
    """

    def __init__(self, started: Sequence[Step], host: Host, plan: Plan, reserved: Mapping[str, float]) -> None:
        self._host, self._reserved = host, reserved
        self._before = plan.host_groups
        effects = [effect_of(step) for step in started]
        self._made = {effect.created for effect in effects if effect.created}
        self._removed = {effect.removed for effect in effects if effect.removed}
        self._lost: set[str] = set()
        self._files = FileGuard(host, {group.path: group for group in host.groups}, lambda: self._now)
        self._now = {group.path: group.masks for group in host.control_groups()}
        self._staying: set[tuple[str, str, int]] = set()
        self.notes: list[str] = []
        self.kept: DefaultShrink | None = None
        # The last step is undone first, and what it returns is free for the steps before it.
        self.steps = [step for step in map(self._undoable, reversed(started)) if step][::-1]

    def _undoable(self, step: Step) -> Step | None:
        missing = next((path for path in _needs(step) if not self._will_exist(path)), None)
        if missing and isinstance(step, RemoveGroup):
            self._lost.add(step.path)  # a monitor group in a group that stays removed
        if missing in self._lost:
            return None
        if missing:
            self.notes.append(f"group {missing} was removed by another program since, so nothing is undone there")
            return None
        match step:
            case WriteSchemata(path, before):
                return self._write(step) if before and path not in self._removed else step
            case WriteFile():
                return self._write_file(step)
            case CreateGroup(path):
                self._files.remove(path)
                return step
            case RemoveGroup():
                return self._removal(step)
            case MoveTasks():
                return step
            case _:
                assert_never(step)

    def _will_exist(self, path: str) -> bool:
        if path in self._lost:
            return False
        return path in self._removed or path in self._made or self._host.group(path) is not None

    def _removal(self, step: RemoveGroup) -> RemoveGroup | None:
        """The step, unless another program has ways now that only the removed group had."""
        if self._host.group(step.path) is not None:
            return self._with_counters(step)
        default = self._before.get(DEFAULT_GROUP)
        for name, cache_id, mask in parse(step.schemata).masks.entries():
            followed = default is not None and default.masks.at(name, cache_id) == mask
            if not followed and (taker := self._taker(name, cache_id, mask)):
                self._lost.add(step.path)
                what = f"its ways of {name} cache {cache_id}"
                self.notes.append(f"group {step.path} stays removed, {self._why(taker, what)}")
                return None
        return self._with_counters(step)

    def _write(self, step: WriteSchemata) -> WriteSchemata | None:
        """The step without the entries that another program has changed, or whose ways another program has now."""
        held = self._now.get(step.path, Masks())
        before, after = parse(step.before), parse(step.after)
        back: list[tuple[str, int, Cbm]] = []
        for name, cache_id, mask in before.masks.entries():
            now = held.at(name, cache_id)
            self._staying.add((step.path, name, cache_id))
            if now not in (mask, after.masks.at(name, cache_id)):
                self.notes.append(f"group {step.path}: {name} cache {cache_id} was changed by another program since")
            elif now is not None and (taker := self._taker(name, cache_id, mask & ~now)):
                why = self._why(taker, "the other ways")
                self.notes.append(f"group {step.path}: {name} cache {cache_id} keeps its mask {now:x}, {why}")
                if step.path == DEFAULT_GROUP:
                    self.kept = follow_shrink(
                        self.kept, Masks.of([(name, cache_id, mask)]), Masks.of([(name, cache_id, now)])
                    )
            else:
                self._staying.discard((step.path, name, cache_id))
                back.append((name, cache_id, mask))
        restored = Masks.of(back)
        self._now[step.path] = held.updated(restored)
        text = format_schemata(restored, before.bandwidth, {c.name: c.ways for c in self._host.caches})
        return WriteSchemata(step.path, text, step.after) if text else None

    def _write_file(self, step: WriteFile) -> WriteFile | None:
        """The step, unless another program has changed the file or taken its CPUs or ways since."""
        path = step.path
        group, now = group_of_file(path), self._files.now(path)
        # A group of this run is removed, or made again with its old values.
        remains = group not in self._made and group not in self._removed
        if remains and (now is None or not may_remain(path, now, step.before, step.after)):
            self.notes.append(f"{path} was changed by another program since, so it stays {now or 'empty'}")
            return None
        before = self._attainable(path, step.before)
        if remains and (why := self._files.obstacle(path, before)):
            self.notes.append(f"{path} stays {now or 'empty'}: {why}")
            return None
        if now is not None:
            self._files.write(path, before)
        return replace(step, before=before)

    def _with_counters(self, step: RemoveGroup) -> RemoveGroup:
        """The step, with as many of the group's counters as are free; mkdir assigns some of them."""
        if not step.assignments:
            return step
        path = f"{step.path}/{ASSIGNMENTS}"
        if self._files.now(path) is None:
            self._files.create(step.path)
        assignments = self._attainable(path, step.assignments)
        self._files.write(path, assignments)
        return replace(step, assignments=assignments)

    def _attainable(self, path: str, value: str) -> str:
        """The value, without counters that another program has assigned to other groups since."""
        attainable = self._files.attainable(path, value)
        if attainable != value and group_of_file(path) not in self._made:
            self.notes.append(f"{path} gets back {attainable!r}: its other counters are in use by other groups now")
        return attainable

    def _why(self, taker: str, what: str) -> str:
        """Why a group cannot get its ways back."""
        if taker not in self._reserved:
            return f"because {taker} has {what} now"
        return (
            f"because libvirt may still create {taker}; if it does not within {self._reserved[taker]:.0f} s, {_AGAIN}"
        )

    def _taker(self, name: str, cache_id: int, ways: int) -> str:
        """A group that keeps some of the ways and did not share them before the run; "" for none.

        It is a foreign one, or one that has moved and cannot move back.
        """
        for group in self._host.control_groups():
            ours = group.path in self._made or group.owner in ("default", "cachetune")
            ours = ours and (group.path, name, cache_id) not in self._staying
            before = self._before.get(group.path) if group.mode == "shareable" else None
            had = (before and before.masks.at(name, cache_id)) or 0
            if not ours and (self._now[group.path].at(name, cache_id) or 0) & ways & ~had:
                return group.path
        return ""


def _needs(step: Step) -> tuple[str, ...]:
    """The groups that must exist, or be made again, for a step to be undone."""
    match step:
        case MoveTasks(_, source):
            return (source,)
        case WriteSchemata(path, before):
            return (path,) if before else ()
        case WriteFile(path):
            group = group_of_file(path)
            return () if group is None else (group,)
        case RemoveGroup(path):
            return (parent_of(path),)
        case CreateGroup():
            return ()
        case _:
            assert_never(step)
