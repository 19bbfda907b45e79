"""Carry a plan out: lock, look again, journal, step by step, verify, release; on failure put everything back."""

import contextlib
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cachetune.apply.guard import check_plan, refused
from cachetune.apply.report import Report
from cachetune.apply.state import journal, reservations
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger, save_ledger_if_changed
from cachetune.apply.steps import StepRunner, left_nothing
from cachetune.errors import (
    ApplyRefusedError,
    CachetuneError,
    InterruptedRunError,
    JournalDamagedError,
    ProcessNotFoundError,
    ResctrlError,
    UnreadableFileError,
)
from cachetune.guests import Guest, find_process, is_same_thread
from cachetune.host.model import Host, parent_of
from cachetune.host.read import read_host
from cachetune.host.resctrl.port import Resctrl
from cachetune.idset import parse_vcpus
from cachetune.plan.diff import moves_between
from cachetune.plan.groups.names import machine_of
from cachetune.plan.groups.translate import DesiredGroup, memberships
from cachetune.plan.model import Plan, PlanGuest, PlannedGroup
from cachetune.plan.ownership import held_threads, made_by_libvirt
from cachetune.plan.steps import MoveTasks, Step, effect_of

# A guest that starts threads faster than they can be moved is left as it is after so many looks.
_LOOKS = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Planner = Callable[[Host, Ledger], Plan]
OnStep = Callable[[Step], None]


class Connection(msgspec.Struct, frozen=True):
    """Where a plan is carried out. ``proc`` is None for simulated threads, ``sysfs`` where sizes come from resctrl."""

    resctrl: Resctrl
    run: Path
    sysfs: Path | None = None
    proc: Path | None = None
    lock_timeout: float = 10.0

    def look(self, owned: Ledger) -> Host:
        """The host as it is now and will be in a moment, with the ledger's groups known as ours."""
        return reservations.with_reservations(read_host(self.resctrl, self.sysfs, owned.owned), self.run)


def apply(plan: Plan, connection: Connection, on_step: OnStep = lambda _: None, *, adopt: bool = False) -> Report:
    """Carry the plan out, all of it or nothing. ``on_step`` is told each step before it is taken.

    ``adopt`` allows changes in groups that libvirt made for the plan's guests.

    Raises ApplyRefusedError, LockTimeoutError, HostError or StateFileError before the first step; later failures are in
    the report.
    """
    return apply_planned(lambda _host, _ledger: plan, connection, on_step, adopt=adopt)


def apply_planned(
    planner: Planner, connection: Connection, on_step: OnStep = lambda _: None, *, adopt: bool = False
) -> Report:
    """Plan under the lock and carry that out at once, so that no other run of ours can come between.

    Raises what ``planner`` raises, and as ``apply`` does.
    """
    with connection.resctrl.lock(exclusive=True, timeout=connection.lock_timeout):
        if journal.exists(connection.run):
            raise _leftover(connection.run)
        ledger = load_ledger(connection.run)
        host = connection.look(ledger)
        ledger = ledger.without_lost(host)
        plan = planner(host, ledger)
        check_plan(plan, host, ledger, adopt=adopt)
        if not plan.steps and not _unseen(plan, connection).steps:
            save_ledger_if_changed(ledger, connection.run)
            return Report(outcome="nothing to do", machine_names=plan.machine_names)
        return _Run(plan, connection, ledger, on_step).run()


class _Run:
    """One run under the lock. ``begun`` are the steps that must be undone if a later one fails."""

    def __init__(self, plan: Plan, connection: Connection, ledger: Ledger, on_step: OnStep) -> None:
        self._plan, self._connection, self._ledger, self._on_step = plan, connection, ledger, on_step
        self._runner = StepRunner(connection.resctrl, connection.proc, plan.guests)
        self._journal = Journal.begin(connection.run, plan, connection.resctrl.source)
        self._begun: list[Step] = []
        self._late: dict[int, None] = {}  # in their order
        self._notes: list[str] = []

    def run(self) -> Report:
        try:
            with _stoppable() as stopped:
                for step in self._plan.steps:
                    stopped()
                    self._take(step)
                self._catch_newborn(stopped)
                stopped()
                self._journal.done()
        except Exception as error:  # noqa: BLE001 - whatever it is, even a bug of ours, the host comes first
            return self._roll_back(error)
        try:
            save_ledger(self._ledger.after(self._plan), self._connection.run)
        except OSError as error:
            self._journal.keep()
            self._notes.append(
                f"the ledger cannot be written ({error.strerror}); mend that and run 'cachetune recover'"
            )
        else:
            self._journal.discard()
        return self._report("done", done=tuple(self._begun))

    def _take(self, step: Step) -> None:
        self._on_step(step)
        self._journal.taking(step)
        self._begun.append(step)
        try:
            self._runner.take(step)
        except ResctrlError as error:
            if left_nothing(step, error):
                self._begun.pop()
                self._journal.not_taken()
            raise

    def _catch_newborn(self, stopped: Callable[[], None]) -> None:
        """Threads that were born since the plan was made join their groups, until no new ones are seen."""
        for _ in range(_LOOKS):
            unseen = _unseen(self._plan, self._connection, self._late)
            self._notes = list(dict.fromkeys([*self._notes, *unseen.notes]))
            if not unseen.steps:
                return
            for guest in unseen.guests:
                self._runner.bind(guest)
            for step in unseen.steps:
                stopped()
                self._take(step)
                self._late.update(dict.fromkeys(step.tids))
        self._notes.append(f"the guest still starts new threads after {_LOOKS} looks; apply again to catch the rest")

    def _roll_back(self, error: Exception) -> Report:
        with contextlib.suppress(OSError):  # without this line recover does the same, but for a run that was all done
            self._journal.undoing()
        undone, failures = undo(self._begun, self._runner)
        done = tuple(self._begun)
        if failures:
            self._journal.keep()
            return self._report("rollback incomplete", error, done=done, undone=undone, undo_errors=failures)
        self._journal.discard()
        return self._report("rolled back", error, done=done, undone=undone)

    def _report(self, outcome: str, error: Exception | None = None, **fields: object) -> Report:
        return msgspec.convert(
            {
                "outcome": outcome,
                "machine_names": self._plan.machine_names,
                "error": _said(error),
                "hint": getattr(error, "hint", ""),
                "vanished_tids": tuple(dict.fromkeys(self._runner.vanished)),
                "late_tids": tuple(self._late),
                "notes": tuple(self._notes),
                **fields,
            },
            Report,
        )


def undo(begun: list[Step], runner: StepRunner) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Undo steps, the last first, as many as can be: those undone, and what went wrong with the others.

    What fails is tried once more at the end, when the rest of the way back may have cleared it; and then also all that
    was done before it, for a thread goes back step by step.
    """
    undone: dict[int, Step] = {}
    failures: dict[int, str] = {}
    made = {path for step in begun if (path := effect_of(step).created)}

    def undo_last(count: int) -> None:
        for number in reversed(range(count)):
            try:
                runner.undo(begun[number], made)
                undone[number] = begun[number]
                failures.pop(number, None)
            except CachetuneError as error:
                undone.pop(number, None)
                failures[number] = str(error)

    with _handlers(signal.SIG_IGN):
        undo_last(len(begun))
        if failures:
            undo_last(max(failures) + 1)
    return tuple(undone.values()), tuple(failures.values())


class _Unseen(msgspec.Struct, frozen=True):
    """Moves for threads that the plan does not know, and what is said of those that stay where they are.

    ``guests`` are the guests as they are now, with these threads.
    """

    steps: tuple[MoveTasks, ...] = ()
    notes: tuple[str, ...] = ()
    guests: tuple[Guest, ...] = ()


def _unseen(plan: Plan, connection: Connection, known: Collection[int] = ()) -> _Unseen:
    """The guests' threads that were born since and are not where they belong; groups of others keep theirs.

    Into a group that libvirt made libvirt puts threads itself.
    """
    seen = {t.tid for t in plan.threads}.union(known)
    now = {one.machine_name: guest for one in plan.guests if (guest := _as_it_is_now(one, connection.proc))}
    places = {
        tid: where
        for machine, guest in now.items()
        for tid, where in memberships(_groups_of(machine, plan), guest).items()
        if tid not in seen
    }
    if not places:
        return _Unseen()
    host = connection.look(load_ledger(connection.run))
    held = held_threads(places, host, [g.path for g in plan.groups])
    steps = moves_between(host, {tid: where for tid, where in places.items() if tid not in held})
    notes = (f"thread {tid} was born in group {path} and stays there" for tid, path in held.items())
    libvirts = made_by_libvirt(host, plan.guests)
    moves = tuple(step for step in steps if step.path not in libvirts)
    return _Unseen(moves, tuple(notes), tuple(now.values()))


def _as_it_is_now(guest: PlanGuest, proc: Path | None) -> Guest | None:
    """The guest's process with all its threads; None if it has ended, whatever has its pid by now."""
    leader = next((t for t in guest.threads if t.tid == guest.pid), None)
    if leader is None or proc is None or not is_same_thread(leader, proc, guest.pid):
        return None
    try:
        return find_process(leader.tid, proc)
    except (ProcessNotFoundError, UnreadableFileError):
        return None


def _groups_of(machine: str, plan: Plan) -> list[DesiredGroup]:
    return [_wanted(group) for group in plan.groups if machine_of(group.path, plan.machine_names) == machine]


def _wanted(group: PlannedGroup) -> DesiredGroup:
    return DesiredGroup(group.path, parent_of(group.path), None if group.vcpus is None else parse_vcpus(group.vcpus))


def _said(error: Exception | None) -> str:
    known = isinstance(error, CachetuneError | OSError)
    return "" if error is None else str(error) if known else f"{type(error).__name__}: {error} (this is a bug)"


def _leftover(run: Path) -> ApplyRefusedError:
    """The error for what an interrupted run left."""
    try:
        unfinished = journal.read(run)
    except JournalDamagedError as error:
        return refused("CT506", path=error.path, why=error.reason)
    machines = unfinished.plan.machine_names if unfinished and unfinished.plan else ("a guest",)
    return refused("CT503", machines=", ".join(machines))


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Signals do not tear a step apart: they are noticed between steps, by calling what this yields."""
    caught: list[int] = []

    def stopped() -> None:
        if caught:
            raise InterruptedRunError(signal.Signals(caught[0]).name)

    with _handlers(lambda number, _: caught.append(number)):
        yield stopped


@contextmanager
def _handlers(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    try:
        before = {number: signal.signal(number, handler) for number in _SIGNALS}
    except ValueError:  # not the main thread: signals do not come here
        yield
        return
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
