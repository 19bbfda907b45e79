"""One round: observe, decide, carry out the decisions, and log what changed.

Everything that a round observes is read through the functions in ``Inputs``. A round that cannot observe (resctrl is
not mounted or is locked, a directory is unreadable) changes nothing and logs that once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from cachetune.agent.decide import (
    AgentOptions,
    Apply,
    Decision,
    Forget,
    ManagedGuest,
    Memory,
    NoAction,
    Observation,
    Recheck,
    Remove,
    decide,
    plan_options,
    retry_key,
    with_problem,
)
from cachetune.agent.model import GuestStatus, State
from cachetune.agent.recall import Recall
from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, HostReader, Planner
from cachetune.apply.settle import settle, settlement
from cachetune.apply.state import journal, measurement
from cachetune.apply.state.departures import departed
from cachetune.apply.state.ledger import load_ledger
from cachetune.errors import CachetuneError, RecoveryFailedError, error_text
from cachetune.findings import Finding, first_error
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFiles
from cachetune.host.read import read_host
from cachetune.plan import PlanRefusedError
from cachetune.plan.default_group import plan_policy
from cachetune.plan.policy import Policy
from cachetune.plan.steps import effect_of
from cachetune.service.changes import OnPlan, carry_out
from cachetune.service.default_group import policy_planner
from cachetune.service.hosts import problems_of
from cachetune.service.notes import NewNotes
from cachetune.service.plans import Removal, planner_of, removal_planner
from cachetune.service.policy import policy_notes
from cachetune.service.select import doubts_about
from cachetune.text import count, counts, listed

Level = Literal["error", "warning", "notice", "info"]
Log = Callable[[Level, str], None]

_LOCK_SECONDS = 1.0
_LONGEST_WAIT = 300.0
_LEVELS: dict[State, Level] = {"placed": "info", "waiting": "info", "drifted": "warning", "failed": "warning"}


class Inputs(msgspec.Struct, frozen=True):
    """What a round observes. Each function raises CachetuneError or OSError if it cannot.

    ``files`` takes the maximum number of vCPUs of the guests for which it is known, by name. ``forget`` makes the next
    round observe everything, whatever was remembered.
    """

    connection: Callable[[], Connection]
    files: Callable[[Mapping[str, int]], TuningFiles | None]
    guests: Callable[[], tuple[RunningGuest, ...]]
    policy: Callable[[], Policy | None] = lambda: None
    read_host: HostReader = read_host
    forget: Callable[[], None] = lambda: None


class Clock(msgspec.Struct, frozen=True):
    """``time`` returns seconds since 1970, for people; ``monotonic`` is for waiting."""

    time: Callable[[], float]
    monotonic: Callable[[], float]


class Reconciler:
    """Runs rounds. ``statuses`` are those of the managed guests, ``problem`` is why the last round could not observe.

    ``previous`` are the statuses of an earlier agent: guests without a tuning file whose groups the agent manages.
    """

    def __init__(
        self, inputs: Inputs, options: AgentOptions, clock: Clock, log: Log, previous: Iterable[GuestStatus] = ()
    ) -> None:
        self._inputs, self._options, self._clock, self._log = inputs, options, clock, log
        self.statuses = {status.name: status for status in previous}
        self.problem = ""
        self._warnings, self._recall = NewNotes(), Recall()
        self._unsettled = ""
        self._against_policy = ""
        self._known = {name: Memory(s.machine_name, s.requested_by) for name, s in self.statuses.items()}

    def forget_failures(self) -> None:
        """Retry what failed in the next round, without waiting, and observe everything."""
        self.forget_observations()
        self._known = {n: msgspec.structs.replace(m, tried=None, failures=0) for n, m in self._known.items()}

    def forget_observations(self) -> None:
        """Observe everything in the next round, also what seems unchanged."""
        self._inputs.forget()

    def round(self, is_stopped: Callable[[], bool] = lambda: False) -> bool:
        """Run one round; return whether to run the next one soon: after a change, or to confirm an observation.

        ``is_stopped`` is called before each change; the round ends once it returns true.
        """
        try:
            connection = self._inputs.connection()
            self._recover(connection)
            observation = self._observe(connection)
        except (CachetuneError, OSError) as error:
            self._set_problem(error_text(error))
            return False
        self._set_problem("")
        soon = False
        now = self._clock.monotonic()
        for guest, decision in decide(observation, self._known, self._options, now, self._recall.decision).values():
            if isinstance(decision, Apply | Remove) and is_stopped():
                break
            soon |= self._act(guest, decision, connection)
        return soon or self._settle(observation, connection) or self._follow_policy(observation, connection)

    def _observe(self, connection: Connection) -> Observation:
        policy_problem = self._read_policy()
        running = self._inputs.guests()
        files = self._inputs.files({guest.name: live.vcpus for guest in running if (live := guest.live_domain)})
        with connection.resctrl.lock(exclusive=False, timeout=_LOCK_SECONDS):
            ledger = load_ledger(connection.run)
            host = connection.look(ledger, self._inputs.read_host)
        notes = (*problems_of(host), *policy_notes(self._options.policy, host), *policy_problem)
        for warning in self._warnings.new(sorted({*notes, *_doubts(running, files or {})})):
            self._log("warning", warning)
        return Observation(files, running, host, ledger)

    def _read_policy(self) -> tuple[str, ...]:
        """Take a policy that was edited into account; why it cannot be read, so that the last one stays in force."""
        try:
            policy = self._inputs.policy()
        except (CachetuneError, OSError) as error:
            return (f"{error_text(error)}; the last valid policy stays in force",)
        self._options = msgspec.structs.replace(self._options, policy=policy)
        return ()

    def _recover(self, connection: Connection) -> None:
        """Undo or finish a run that was killed, and restore what such a measurement left. Raises CachetuneError."""
        if not journal.exists(connection.run) and not measurement.is_left(connection.run):
            return
        report = recover(connection)
        if report.undo_errors:
            raise RecoveryFailedError(report.undo_errors)
        if report.outcome == "done":
            what = "; ".join((f"{count(len(report.undone), 'step')} undone", *report.notes))
            self._log(
                "warning",
                f"recovered from an interrupted run for {listed(report.machine_names) or 'the default group'}: {what}",
            )

    def _settle(self, observation: Observation, connection: Connection) -> bool:
        """Settle the host, in a round that changed nothing else; return whether there was anything to settle."""
        gone = departed(connection.run)
        if not settlement(observation.host, observation.ledger, gone).steps:
            return False
        try:
            report = settle(connection)
        except (CachetuneError, OSError) as error:
            what = error_text(error)
        else:
            what = report.error
            if not what:
                self._log("notice", f"cleanup: {_change(report)}")
        if what and what != self._unsettled:
            self._log("warning", f"cleanup failed: {what}")
        self._unsettled = what
        return not what

    def _follow_policy(self, observation: Observation, connection: Connection) -> bool:
        """Give the default group what the policy says, in a round that changed nothing else; return whether it did."""
        policy = self._options.policy
        if policy is None or not plan_policy(observation.host, policy).steps:
            return False
        report = self._carry_out(policy_planner(policy), connection)
        what = report if isinstance(report, str) else ""
        if isinstance(report, Report):
            self._log("notice", f"policy {policy.file}: {_change(report)}")
        elif what != self._against_policy:
            self._log("warning", f"policy {policy.file}: {what}")
        self._against_policy = what
        return not what

    def _set_problem(self, text: str) -> None:
        if text and text != self.problem:
            self._log("error", f"cannot check guests: {text}")
        elif self.problem and not text:
            self._log("notice", "checking guests again")
        self.problem = text

    def _act(self, guest: ManagedGuest, decision: Decision, connection: Connection) -> bool:
        """Carry out the decision about one guest; return whether to run the next round soon."""
        memory = self._memory_of(guest)
        match decision:
            case Forget():
                self._forget(guest.name)
                return False
            case NoAction(state, reason, unconfirmed):
                self._known[guest.name] = msgspec.structs.replace(memory, unconfirmed=unconfirmed)
                self._set_status(guest, state, reason)
                return False
            case Apply():
                return self._apply(guest, decision, memory, connection)
            case Remove():
                return self._remove(guest, decision, memory, connection)
            case Recheck(unconfirmed):
                self._known[guest.name] = msgspec.structs.replace(memory, unconfirmed=unconfirmed)
                return unconfirmed != memory.unconfirmed

    def _memory_of(self, guest: ManagedGuest) -> Memory:
        """The memory of a guest, brought up to date with what was observed."""
        old = self._known.get(guest.name) or Memory(guest.machine_name, guest.requested_by)
        return msgspec.structs.replace(
            old,
            machine_name=guest.machine_name or old.machine_name,
            requested_by=guest.requested_by,
            domain=guest.domain or old.domain,
        )

    def _apply(self, guest: ManagedGuest, decision: Apply, memory: Memory, connection: Connection) -> bool:
        warnings: list[Finding] = []
        planner = planner_of((decision.request,), plan_options(self._options))
        report = self._carry_out(planner, connection, lambda plan: warnings.extend(plan.host_warnings))
        if isinstance(report, str):
            return self._failed(guest, with_problem(decision.problem, report), memory, decision)
        if report.done:
            for warning in warnings:
                self._log("warning", f"{guest.name}: {warning.text}")
        self._succeeded(guest.name, memory)
        change = _change(report)
        self._set_status(guest, "failed" if decision.problem else "placed", decision.problem, change)
        return bool(change)

    def _remove(self, guest: ManagedGuest, decision: Remove, memory: Memory, connection: Connection) -> bool:
        report = self._carry_out(removal_planner(Removal(machine_name=memory.machine_name)), connection)
        if isinstance(report, str):
            return self._failed(guest, report, memory, decision)
        change = f"{_change(report) or 'no groups left to remove'}: {decision.why}"
        if decision.keep:
            self._succeeded(guest.name, memory)
            self._set_status(guest, "waiting", decision.why, change)
        else:
            self._log("notice", f"{guest.name}: {change}")
            self._forget(guest.name)
        return True

    def _carry_out(self, planner: Planner, connection: Connection, show: OnPlan = lambda _: None) -> Report | str:
        """The report of a change, or why nothing was changed: it was refused, or it failed and was rolled back."""
        try:
            report = carry_out(planner, connection, show=show, adopt=self._options.adopt)
        except PlanRefusedError as error:
            return first_error(error.findings)
        except Exception as error:  # noqa: BLE001 - a bug that one guest triggers must not affect the others
            return error_text(error)
        return report.error if report.exit_code else report

    def _succeeded(self, name: str, memory: Memory) -> None:
        self._known[name] = msgspec.structs.replace(memory, unconfirmed="", tried=None, failures=0)

    def _failed(self, guest: ManagedGuest, why: str, memory: Memory, decision: Apply | Remove) -> bool:
        tried = retry_key(decision)
        failures = memory.failures + 1 if memory.tried == tried else 1
        wait = min(self._options.period * 2**failures, _LONGEST_WAIT)
        not_before = self._clock.monotonic() + wait
        self._known[guest.name] = msgspec.structs.replace(
            memory, unconfirmed="", tried=tried, failures=failures, not_before=not_before
        )
        self._set_status(guest, "failed", why)
        return False

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self.statuses.pop(name, None)

    def _set_status(self, guest: ManagedGuest, state: State, reason: str = "", change: str = "") -> None:
        """Update the guest's status, and log it if it is new."""
        old, now = self.statuses.get(guest.name), self._clock.time()
        same = old is not None and (old.state, old.reason) == (state, reason)
        self.statuses[guest.name] = GuestStatus(
            name=guest.name,
            machine_name=guest.machine_name,
            requested_by=guest.requested_by,
            state=state,
            reason=reason,
            since=old.since if old and same else now,
            pid=guest.running[0].guest.pid if len(guest.running) == 1 else None,
            changed=now if change else old.changed if old else None,
            change=change or (old.change if old else ""),
        )
        if change:
            self._log("notice", f"{guest.name}: {change}")
        if not same and (not change or state in {"failed", "drifted"}):
            self._log(_LEVELS[state], f"{guest.name}: {state}" + (f": {reason}" if reason else ""))


def _doubts(running: Iterable[RunningGuest], files: TuningFiles) -> set[str]:
    """The reasons to doubt a guest's identity; an unverified guest only counts if it has a tuning file."""
    return {
        f"{guest.name}: {doubt}"
        for guest in running
        for doubt in (doubts_about(guest) if guest.name in files else guest.disagreements)
    }


def _change(report: Report) -> str:
    """What the run changed, in numbers, and its notes; "" if it changed nothing."""
    effects = [effect_of(step) for step in report.done]
    moved = {tid for effect in effects for tid in effect.tids}
    done = counts(
        (sum(effect.created is not None for effect in effects), "group", "created"),
        (sum(effect.written is not None for effect in effects), "group", "written"),
        (sum(effect.setting is not None for effect in effects), "host setting", "written"),
        (sum(effect.removed is not None for effect in effects), "group", "removed"),
        (len(moved.difference(report.vanished_tids)), "thread", "moved"),
    )
    return "; ".join((done, *report.notes)) if done else ""
