"""The rounds: look, decide, have it carried out, say what has changed, write the status.

Everything that a round looks at comes in as a function (``Inputs``). A round that cannot look (resctrl is not mounted,
locked, or a directory cannot be read) leaves all as it is and says so once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from cachetune.agent.decide import (
    AgentOptions,
    Apply,
    Case,
    Clear,
    Decision,
    Forget,
    Hold,
    Memory,
    Observation,
    Stay,
    decide,
    plan_options,
    retry_key,
    text_of,
)
from cachetune.agent.model import GuestStatus, State
from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, Planner
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.errors import CachetuneError, RecoveryFailedError
from cachetune.findings import first_error
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFiles
from cachetune.plan import PlanRefusedError
from cachetune.plan.steps import effect_of
from cachetune.service.changes import carry_out
from cachetune.service.plans import Removal, planner_of, removal_planner
from cachetune.service.requests import live_domain
from cachetune.text import counts

Level = Literal["error", "warning", "notice", "info"]
Say = Callable[[Level, str], None]

_LOOK_SECONDS = 1.0
_LONGEST_WAIT = 300.0
_LEVELS: dict[State, Level] = {"placed": "info", "waiting": "info", "drifted": "warning", "failed": "warning"}


class Inputs(msgspec.Struct, frozen=True):
    """What a round looks at; each raises CachetuneError or OSError when it cannot.

    ``files`` is given the most vCPUs that guests have, by name.
    """

    connection: Callable[[], Connection]
    files: Callable[[Mapping[str, int]], TuningFiles | None]
    guests: Callable[[], tuple[RunningGuest, ...]]


class Clock(msgspec.Struct, frozen=True):
    """``time`` in seconds since 1970 for people, ``monotonic`` for waiting."""

    time: Callable[[], float]
    monotonic: Callable[[], float]


class Reconciler:
    """Keeps guests placed. ``statuses`` says how they are, ``problem`` why the last round could not look.

    ``before`` are the statuses that an earlier agent left: they tell which groups without a file were the agent's.
    """

    def __init__(
        self, inputs: Inputs, options: AgentOptions, clock: Clock, say: Say, before: Iterable[GuestStatus] = ()
    ) -> None:
        self._inputs, self._options, self._clock, self._say = inputs, options, clock, say
        self.statuses = {status.name: status for status in before}
        self.problem = ""
        self._told: set[str] = set()
        self._known = {name: Memory(s.machine_name, s.requested_by) for name, s in self.statuses.items()}

    def forget_failures(self) -> None:
        """Try again at once what failed before."""
        self._known = {n: msgspec.structs.replace(m, tried=None, failures=0) for n, m in self._known.items()}

    def round(self, between: Callable[[], bool] = lambda: False) -> bool:
        """One round. Returns whether the next one should come soon: something was done, or must be seen twice.

        ``between`` is called before each guest; true ends the round there.
        """
        try:
            connection = self._inputs.connection()
            self._recover(connection)
            observation = self._look(connection)
        except (CachetuneError, OSError) as error:
            self._problem(text_of(error))
            return False
        self._problem("")
        soon = False
        for name, (case, decision) in decide(observation, self._known, self._options, self._clock.monotonic()).items():
            if between():
                break
            soon |= self._settle(name, case, decision, connection)
        return soon

    def _look(self, connection: Connection) -> Observation:
        running = self._inputs.guests()
        files = self._inputs.files({guest.name: live.vcpus for guest in running if (live := live_domain(guest))})
        with connection.resctrl.lock(exclusive=False, timeout=_LOOK_SECONDS):
            ledger = load_ledger(connection.run)
            host = connection.look(ledger)
        self._tell_doubts(running, files or {})
        return Observation(files, running, host, ledger)

    def _tell_doubts(self, running: Iterable[RunningGuest], files: TuningFiles) -> None:
        """Say once what makes it doubtful that a guest is what it seems."""
        told = {f"{guest.name}: {sentence}" for guest in running for sentence in guest.disagreements}
        told |= {
            f"{guest.name}: nobody but process {guest.guest.pid} of the user {guest.user} says that it is this guest"
            for guest in running
            if guest.name in files and guest.is_unverified
        }
        for text in sorted(told - self._told):
            self._say("warning", text)
        self._told = told

    def _recover(self, connection: Connection) -> None:
        """What a killed run left comes first; raises CachetuneError when it cannot be dealt with."""
        if not journal.exists(connection.run):
            return
        report = recover(connection)
        if report.exit_code:
            raise RecoveryFailedError(report.undo_errors)
        if report.outcome == "done":
            what = (f"{len(report.undone)} of its steps undone", *report.notes)
            self._say(
                "warning", f"an interrupted run for {', '.join(report.machine_names)} is dealt with: {'; '.join(what)}"
            )

    def _problem(self, text: str) -> None:
        if text != self.problem:
            self._say("error" if text else "notice", f"nothing can be done: {text}" if text else "all is well again")
        self.problem = text

    def _settle(self, name: str, case: Case, decision: Decision, connection: Connection) -> bool:
        """Do what was decided for one guest; whether the next round should come soon."""
        memory = self._remember(name, case)
        match decision:
            case Forget():
                self._forget(name)
                return False
            case Stay(state, reason, suspected):
                self._known[name] = msgspec.structs.replace(memory, suspected=suspected)
                self._show(case, state, reason)
                return False
            case Apply():
                return self._apply(case, decision, memory, connection)
            case Clear():
                return self._clear(case, decision, memory, connection)
            case Hold(suspected):
                self._known[name] = msgspec.structs.replace(memory, suspected=suspected)
                return suspected != memory.suspected

    def _remember(self, name: str, case: Case) -> Memory:
        old = self._known.get(name) or Memory(case.machine_name, case.requested_by)
        domain = case.domain or old.domain
        return msgspec.structs.replace(
            old, machine_name=case.machine_name or old.machine_name, requested_by=case.requested_by, domain=domain
        )

    def _apply(self, case: Case, decision: Apply, memory: Memory, connection: Connection) -> bool:
        report = self._carry_out(planner_of((decision.request,), plan_options(self._options)), connection)
        if isinstance(report, str):
            return self._failed(case, report, memory, decision)
        self._succeeded(case.name, memory)
        change = _change(report)
        self._show(case, "failed" if decision.problem else "placed", decision.problem, change)
        return bool(change)

    def _clear(self, case: Case, decision: Clear, memory: Memory, connection: Connection) -> bool:
        report = self._carry_out(removal_planner(Removal(machine_name=memory.machine_name)), connection)
        if isinstance(report, str):
            return self._failed(case, report, memory, decision)
        change = f"{_change(report) or 'nothing was left to remove'}: {decision.why}"
        if decision.keep:
            self._succeeded(case.name, memory)
            self._show(case, "waiting", decision.why, change)
        else:
            self._say("notice", f"{case.name}: {change}")
            self._forget(case.name)
        return True

    def _carry_out(self, planner: Planner, connection: Connection) -> Report | str:
        """The report of what was done, or why nothing is: it could not be begun, or it failed and was rolled back."""
        try:
            report = carry_out(planner, connection, adopt=self._options.adopt)
        except PlanRefusedError as error:
            return first_error(error.findings)
        except Exception as error:  # noqa: BLE001 - as in decide
            return text_of(error)
        return report.error if report.exit_code else report

    def _succeeded(self, name: str, memory: Memory) -> None:
        self._known[name] = msgspec.structs.replace(memory, suspected="", tried=None, failures=0)

    def _failed(self, case: Case, why: str, memory: Memory, decision: Apply | Clear) -> bool:
        tried = retry_key(decision)
        failures = memory.failures + 1 if memory.tried == tried else 1
        wait = min(self._options.period * 2**failures, _LONGEST_WAIT)
        not_before = self._clock.monotonic() + wait
        self._known[case.name] = msgspec.structs.replace(
            memory, suspected="", tried=tried, failures=failures, not_before=not_before
        )
        self._show(case, "failed", why)
        return False

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self.statuses.pop(name, None)

    def _show(self, case: Case, state: State, reason: str = "", change: str = "") -> None:
        """Note the state, and say it where it is new."""
        old, now = self.statuses.get(case.name), self._clock.time()
        same = old is not None and (old.state, old.reason) == (state, reason)
        self.statuses[case.name] = GuestStatus(
            name=case.name,
            machine_name=case.machine_name,
            requested_by=case.requested_by,
            state=state,
            reason=reason,
            since=old.since if old and same else now,
            pid=case.guests[0].guest.pid if len(case.guests) == 1 else None,
            changed=now if change else old.changed if old else None,
            change=change or (old.change if old else ""),
        )
        if change:
            self._say("notice", f"{case.name}: {change}")
        if not same and (not change or state in {"failed", "drifted"}):
            self._say(_LEVELS[state], f"{case.name}: {state}" + (f": {reason}" if reason else ""))


def _change(report: Report) -> str:
    """What was done, in counts, with what is to be said of it; "" for nothing."""
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
