"""Carry a plan out: lock, read the host again, journal and take each step, verify, unlock; undo all on failure."""

import contextlib
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from cachetune.apply.guard import check_plan, refused
from cachetune.apply.guard_measured import check_measured
from cachetune.apply.record import Ended, found_on, record
from cachetune.apply.report import Report
from cachetune.apply.state import departures, journal, reservations
from cachetune.apply.state.change_log import Outcome, log_of
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger, save_ledger_if_changed
from cachetune.apply.state.measurement import without_measurement
from cachetune.apply.steps import StepRunner
from cachetune.errors import (
    ApplyRefusedError,
    CachetuneError,
    InterruptedRunError,
    JournalDamagedError,
    ProcessNotFoundError,
    ResctrlError,
    StateFileError,
    UnreadableFileError,
    error_text,
)
from cachetune.guests import Guest, find_process, is_same_thread
from cachetune.guests.proc.vhost import with_workers
from cachetune.host.model import Host, parent_of
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import is_kernels
from cachetune.host.resctrl.port import OnWait, Resctrl, in_silence
from cachetune.plan.diff import moves_between
from cachetune.plan.groups.names import machine_of
from cachetune.plan.groups.translate import DesiredGroup, memberships
from cachetune.plan.model import Plan, PlanGuest, PlannedGroup
from cachetune.plan.ownership import held_threads, made_by_libvirt
from cachetune.plan.steps import MoveTasks, Step, effect_of

# Checks for new threads before giving up on a guest that starts them faster than they can be moved.
_CHECKS = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Planner = Callable[[Host, Ledger], Plan]
OnStep = Callable[[Step], None]
HostReader = Callable[[Resctrl, Path | None, Collection[str]], Host]


class Connection(msgspec.Struct, frozen=True):
    """Where a plan is applied. ``proc`` is None for simulated threads, ``sysfs`` if cache sizes come from resctrl.

    ``on_wait`` is called if the lock is not free at once. ``log`` is the change log, by default the system's or that of
    the run directory; ``program`` is named in it. ``measurement`` is the id of the measurement that the caller carries
    out or restores: it sees the host as it is, and only it changes what is measured.
    """

    resctrl: Resctrl
    run: Path
    sysfs: Path | None = None
    proc: Path | None = None
    lock_timeout: float = 10.0
    on_wait: OnWait = in_silence
    log: Path | None = None
    program: str = "library"
    measurement: str = ""

    @property
    def change_log(self) -> Path:
        """The file to which a change is added."""
        return self.log or log_of(self.run, is_system=is_kernels(self.resctrl))

    def locked(self, *, exclusive: bool = True) -> AbstractContextManager[None]:
        """The lock on resctrl, for at most ``lock_timeout`` seconds waited for. Raises LockTimeoutError."""
        return self.resctrl.lock(exclusive=exclusive, timeout=self.lock_timeout, on_wait=self.on_wait)

    def look(self, owned: Ledger, read: HostReader = read_host) -> Host:
        """The current host with all reservations; the groups in the ledger count as ours.

        A group that is being measured has its ways of before. ``read`` reads the host.
        """
        host = reservations.with_reservations(read(self.resctrl, self.sysfs, owned.owned), self.run)
        return without_measurement(host, self.run, self.measurement)


def apply(plan: Plan, connection: Connection, on_step: OnStep = lambda _: None, *, adopt: bool = False) -> Report:
    """Carry the plan out, all of it or nothing. ``on_step`` is called with each step before it is taken.

    ``adopt`` allows changes to groups that libvirt created for the plan's guests.

    Raises ApplyRefusedError, LockTimeoutError, HostError or StateFileError before the first step; later failures are in
    the report.
    """
    return apply_planned(lambda _host, _ledger: plan, connection, on_step, adopt=adopt)


def apply_planned(
    planner: Planner, connection: Connection, on_step: OnStep = lambda _: None, *, adopt: bool = False
) -> Report:
    """Plan and carry the plan out under one lock, so that no other run of ours intervenes.

    Raises what ``planner`` raises, and as ``apply`` does.
    """
    with connection.locked():
        return apply_locked(planner, connection, on_step, adopt=adopt)


def rehearse(planner: Planner, connection: Connection, *, adopt: bool = False) -> Plan:
    """Plan and check the plan as ``apply_planned`` does, and change nothing; the lock is shared.

    Raises what ``apply_planned`` raises before the first step.
    """
    with connection.locked(exclusive=False):
        return _checked_plan(planner, connection, adopt=adopt)[0]


def apply_locked(
    planner: Planner, connection: Connection, on_step: OnStep = lambda _: None, *, adopt: bool = False
) -> Report:
    """``apply_planned`` for a caller that holds the lock."""
    plan, host, ledger = _checked_plan(planner, connection, adopt=adopt)
    if plan.steps or _new_threads(plan, connection).steps:
        report = _Run(plan, connection, ledger, on_step, host).run()
    else:
        save_ledger_if_changed(ledger.after(plan) if plan.default_group else ledger, connection.run)
        report = Report(outcome="nothing to do", machine_names=plan.machine_names)
    if plan.groups and not report.exit_code:
        _forget_departures(plan, connection.run)
    return report


def _checked_plan(planner: Planner, connection: Connection, *, adopt: bool) -> tuple[Plan, Host, Ledger]:
    """The plan, and the host and the ledger that it was checked against."""
    if journal.exists(connection.run):
        raise interrupted(connection.run)
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    ledger = ledger.without_lost(host)
    plan = planner(host, ledger)
    check_plan(plan, host, ledger, adopt=adopt)
    check_measured(plan, connection.run, connection.measurement)
    return plan, host, ledger


def _forget_departures(plan: Plan, run: Path) -> None:
    """Groups that are requested now stay, whichever guest has ended before."""
    for guest in plan.guests:
        with contextlib.suppress(StateFileError):
            departures.forget(run, guest.name)


class _Run:
    """One run under the lock. ``_started`` are the steps to undo if a later one fails."""

    def __init__(self, plan: Plan, connection: Connection, ledger: Ledger, on_step: OnStep, host: Host) -> None:
        self._plan, self._connection, self._ledger, self._on_step = plan, connection, ledger, on_step
        self._host = host
        self._runner = StepRunner(connection.resctrl, connection.proc, plan.guests, host.bandwidths)
        self._journal = Journal.begin(connection.run, plan, connection.resctrl.source)
        self._started: list[Step] = []
        self._late: dict[int, None] = {}  # ordered
        self._notes: list[str] = []

    def run(self) -> Report:
        with _stoppable() as stopped:
            return self._run(stopped)

    def _run(self, stopped: Callable[[], None]) -> Report:
        try:
            for step in self._plan.steps:
                stopped()
                self._take(step)
            self._move_new_threads(stopped)
            stopped()
            self._journal.done()
        except Exception as error:  # noqa: BLE001 - even a bug of ours must not leave the host changed
            return self._roll_back(error)
        is_saved = True
        try:
            save_ledger(self._ledger.after(self._plan), self._connection.run)
        except OSError as error:
            is_saved = False
            self._notes.append(
                f"the ledger cannot be written ({error.strerror}); fix the cause and run 'cachetune recover'"
            )
        self._end("done", recoverable=not is_saved)
        return self._report("done", done=tuple(self._started))

    def _take(self, step: Step) -> None:
        self._on_step(step)
        self._journal.taking(step)
        self._started.append(step)
        try:
            self._runner.take(step)
        except ResctrlError:
            if not self._runner.changed:
                self._started.pop()
                self._journal.not_taken()
            raise

    def _move_new_threads(self, stopped: Callable[[], None]) -> None:
        """Move threads that started since the plan was made to their groups, until there are no new ones."""
        for _ in range(_CHECKS):
            new = _new_threads(self._plan, self._connection, self._late)
            self._notes = list(dict.fromkeys([*self._notes, *new.notes]))
            if not new.steps:
                return
            for guest in new.guests:
                self._runner.bind(guest)
            for step in new.steps:
                stopped()
                self._take(step)
                self._late.update(dict.fromkeys(step.tids))
        self._notes.append(f"the guest still starts threads after {_CHECKS} checks; apply again to move the rest")

    def _roll_back(self, error: Exception) -> Report:
        with contextlib.suppress(OSError):  # without this record, recover would finish a run whose steps were all taken
            self._journal.undoing()
        undone, failures = undo(self._started, self._runner)
        outcome: Literal["rolled back", "rollback incomplete"] = "rollback incomplete" if failures else "rolled back"
        self._end(outcome, error, recoverable=bool(failures))
        return self._report(outcome, error, done=tuple(self._started), undone=undone, undo_errors=failures)

    def _end(self, outcome: Outcome, error: Exception | None = None, *, recoverable: bool) -> None:
        """Record the run while its journal exists, so that no death loses the record; then close the journal."""
        ended = Ended(
            run_id=self._journal.run_id,
            plan=self._plan,
            started=self._started,
            before=found_on(self._host),
            outcome=outcome,
            error="" if error is None else error_text(error),
            notes=self._notes,
        )
        self._notes += record(self._connection, ended)
        if recoverable:
            self._journal.keep()
        else:
            self._journal.discard()

    def _report(self, outcome: str, error: Exception | None = None, **fields: object) -> Report:
        return msgspec.convert(
            {
                "outcome": outcome,
                "machine_names": self._plan.machine_names,
                "error": "" if error is None else error_text(error),
                "hint": getattr(error, "hint", ""),
                "vanished_tids": tuple(dict.fromkeys(self._runner.vanished)),
                "late_tids": tuple(self._late),
                "notes": tuple(self._notes),
                **fields,
            },
            Report,
        )


def undo(started: list[Step], runner: StepRunner) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Undo as many steps as possible, the last first: the steps undone, and the errors of the others.

    A step that cannot be undone is tried once more after the rest, which may have removed the obstacle; so are all
    steps before it, because a thread moves back step by step.
    """
    undone: dict[int, Step] = {}
    failures: dict[int, str] = {}
    made = {path for step in started if (path := effect_of(step).created)}

    def undo_last(count: int) -> None:
        for number in reversed(range(count)):
            try:
                runner.undo(started[number], made)
                undone[number] = started[number]
                failures.pop(number, None)
            except CachetuneError as error:
                undone.pop(number, None)
                failures[number] = str(error)

    with _handlers(signal.SIG_IGN):
        undo_last(len(started))
        if failures:
            undo_last(max(failures) + 1)
    return tuple(undone.values()), tuple(failures.values())


class _NewThreads(msgspec.Struct, frozen=True):
    """Moves of threads that the plan does not know, and ``notes`` on those that are not moved.

    ``guests`` are the guests with their current threads.
    """

    steps: tuple[MoveTasks, ...] = ()
    notes: tuple[str, ...] = ()
    guests: tuple[Guest, ...] = ()


def _new_threads(plan: Plan, connection: Connection, known: Collection[int] = ()) -> _NewThreads:
    """The guests' threads that started since the plan was made and are not in their groups; foreign groups keep theirs.

    Groups that libvirt created are left out: libvirt moves threads there itself.
    """
    known_tids = {t.tid for t in plan.threads}.union(known)
    groups = {one.machine_name: _groups_of(one.machine_name, plan) for one in plan.guests}
    current = {
        one.machine_name: guest
        for one in plan.guests
        if (guest := _current_guest(one, groups[one.machine_name], connection.proc))
    }
    places = {
        tid: where
        for machine, guest in current.items()
        for tid, where in memberships(groups[machine], guest).items()
        if tid not in known_tids
    }
    if not places:
        return _NewThreads()
    host = connection.look(load_ledger(connection.run))
    held = held_threads(places, host, [g.path for g in plan.groups])
    steps = moves_between(host, {tid: where for tid, where in places.items() if tid not in held})
    notes = (f"thread {tid} started in group {path} and stays there" for tid, path in held.items())
    libvirts = made_by_libvirt(host, plan.guests)
    moves = tuple(step for step in steps if step.path not in libvirts)
    return _NewThreads(moves, tuple(notes), tuple(current.values()))


def _current_guest(guest: PlanGuest, groups: Iterable[DesiredGroup], proc: Path | None) -> Guest | None:
    """The guest's process with all its current threads; None if it has ended, even if its pid is in use again.

    The kernel threads that serve it are looked for only if one of the ``groups`` can take them.
    """
    leader = next((t for t in guest.threads if t.tid == guest.pid), None)
    if leader is None or proc is None or not is_same_thread(leader, proc, guest.pid):
        return None
    try:
        found = find_process(leader.tid, proc)
        return with_workers(found, proc) if any(group.threads for group in groups) else found
    except (ProcessNotFoundError, UnreadableFileError):
        return None


def _groups_of(machine: str, plan: Plan) -> list[DesiredGroup]:
    return [_desired(group) for group in plan.groups if machine_of(group.path, plan.machine_names) == machine]


def _desired(group: PlannedGroup) -> DesiredGroup:
    vcpus, threads = group.scope
    return DesiredGroup(group.path, parent_of(group.path), vcpus, threads=threads)


def interrupted(run: Path) -> ApplyRefusedError:
    """The error for the journal that an interrupted run left in its directory: CT503, or CT506 if it is damaged."""
    try:
        unfinished = journal.read(run)
    except JournalDamagedError as error:
        return refused("CT506", path=error.path, why=error.reason)
    machines = unfinished.plan.machine_names if unfinished and unfinished.plan else ("a guest",)
    return refused("CT503", machines=", ".join(machines) or "the default group")


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Defer signals: calling the function that this yields, between two steps, raises InterruptedRunError.

    One that comes too late to stop the run is for the handler that the caller has set, if any.
    """
    caught: list[int] = []

    def stopped() -> None:
        if caught:
            raise InterruptedRunError(signal.Signals(caught.pop(0)).name)

    with _handlers(lambda number, _: caught.append(number)) as before:
        yield stopped
    for number in caught:
        handler = before[number]
        if callable(handler) and handler is not signal.default_int_handler:
            handler(number, None)


@contextmanager
def _handlers(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[Mapping[int, Any]]:
    """Handle signals in the block; the handlers of before, which come back after it."""
    try:
        before: dict[int, Any] = {number: signal.signal(number, handler) for number in _SIGNALS}
    except ValueError:  # not the main thread, which alone gets signals
        yield {}
        return
    try:
        yield before
    finally:
        for number, old in before.items():
            signal.signal(number, old)
