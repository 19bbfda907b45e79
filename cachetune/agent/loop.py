"""Run the agent: rounds until a signal ends it, each followed by a write of the status file."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from cachetune.agent import events, signals, status_file
from cachetune.agent.decide import AgentOptions
from cachetune.agent.model import AgentPlanning, AgentStatus, GuestStatus
from cachetune.agent.notify import Notifier, notifier
from cachetune.agent.reconcile import Clock, Inputs, Log, Reconciler
from cachetune.errors import StateFileError
from cachetune.guests.tuning_files import TuningFilesReader
from cachetune.guests.watcher import GuestWatcher
from cachetune.host.remembered import RememberedHost
from cachetune.service.connection import Location, connect
from cachetune.service.policy import read_policy
from cachetune.service.select import Selection

_SOON_SECONDS = 1.0
_MOST_ROUNDS_OF_ONCE = 5


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an agent. Of ``selection`` only the sources of guests are used."""

    location: Location
    selection: Selection
    guests_d: Path
    options: AgentOptions
    once: bool = False
    policy: Path | None = None


def run_agent(setup: Setup, log: Log, environment: Mapping[str, str]) -> AgentStatus:
    """Run until a signal ends it, or with ``once`` until nothing is left to do; return the final status.

    Raises AlreadyRunningError, StateFileError, HostError or ApplyRefusedError if it cannot start.
    """
    signals.block()
    inputs = live_inputs(setup)
    inputs.connection()  # fail at start rather than in every round
    inputs.policy()
    with status_file.only_agent(setup.location.run):
        run, planning = setup.location.run, _planning(setup)
        if not setup.once:
            given = f", with {' '.join(planning.words)}" if planning.words else ""
            log("info", f"watching {setup.guests_d} and libvirt's guests, every {setup.options.period:g} s{given}")
        connected = (lambda: False) if setup.once else events.listen(setup.selection, log)
        agent = Agent(inputs, setup.options, run, log, notifier(environment), connected, planning)
        return agent.once() if setup.once else agent.run()


def _planning(setup: Setup) -> AgentPlanning:
    return AgentPlanning(
        resctrl=str(setup.location.resctrl),
        guests_d=str(setup.guests_d),
        shrink_default=setup.options.shrink_default,
        assign_counters=setup.options.assign_counters,
        adopt=setup.options.adopt,
        rounding=setup.options.rounding,
        policy=str(setup.policy) if setup.policy else None,
    )


def live_inputs(setup: Setup) -> Inputs:
    """The inputs of a round on a live host, which are not read again while they are the same."""
    guests = GuestWatcher(setup.selection.sources, setup.selection.source)
    return Inputs(
        connection=lambda: connect(setup.location),
        files=TuningFilesReader(setup.guests_d).read,
        guests=guests.look,
        policy=lambda: read_policy(setup.policy),
        read_host=RememberedHost().read,
        forget=guests.forget,
    )


class Agent:
    """One agent in a run directory. Use it inside ``status_file.only_agent`` and with signals blocked.

    ``connected`` reports whether libvirt's events currently arrive. ``planning`` goes into the status.
    """

    def __init__(
        self,
        inputs: Inputs,
        options: AgentOptions,
        run: Path,
        log: Log,
        notifier: Notifier,
        connected: Callable[[], bool],
        planning: AgentPlanning | None = None,
    ) -> None:
        self._planning = planning
        self._options, self._run, self._log, self._notifier, self._connected = options, run, log, notifier, connected
        self._once = False
        self._reconciler = Reconciler(inputs, options, Clock(time.time, time.monotonic), log, self._previous())
        self._start = (status_file.own_start_time(), time.time())
        self._unwritable = ""

    def once(self) -> AgentStatus:
        """Run rounds until nothing is left to do or a signal ends it; return the final status."""
        self._once = True
        for _ in range(_MOST_ROUNDS_OF_ONCE):
            if not self._round() or self._wait(soon=True) == "stop":
                break
        return self._write(running=False)

    def run(self) -> AgentStatus:
        """Run rounds until a signal ends it; return the final status."""
        soon = self._round()
        self._notifier.send(READY="1")
        while (why := self._wait(soon=soon)) != "stop":
            if why == "reload":
                self._notifier.send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
                self._reconciler.forget_failures()
            elif why == "event":
                self._reconciler.forget_observations()
            soon = self._round()
            if why == "reload":
                self._notifier.send(READY="1")
        self._notifier.send(STOPPING="1")
        return self._write(running=False)

    def _round(self) -> bool:
        soon = self._reconciler.round(self._is_stopped)
        self._write(running=True)
        states = Counter(status.state for status in self._reconciler.statuses.values())
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        self._notifier.send(WATCHDOG="1", STATUS=self._reconciler.problem or counts or "no managed guests")
        return soon

    def _is_stopped(self) -> bool:
        """Before a change: feed the watchdog, and check for a signal to stop."""
        self._notifier.send(WATCHDOG="1")
        return signals.stop_is_pending()

    def _wait(self, *, soon: bool) -> signals.Why:
        seconds = min(self._options.period, _SOON_SECONDS) if soon else self._options.period
        limit = self._notifier.watchdog_seconds
        return signals.wait(seconds, limit / 2 if limit else seconds, lambda: self._notifier.send(WATCHDOG="1"))

    def _write(self, *, running: bool) -> AgentStatus:
        status = AgentStatus(
            pid=os.getpid(),
            start_time=self._start[0],
            running=running,
            once=self._once,
            started=self._start[1],
            looked=time.time(),
            period_seconds=self._options.period,
            libvirt_events=self._connected(),
            problem=self._reconciler.problem,
            guests=tuple(self._reconciler.statuses[name] for name in sorted(self._reconciler.statuses)),
            planning=self._planning,
        )
        unwritable = ""
        try:
            status_file.write(status, self._run)
        except OSError as error:
            unwritable = f"cannot write the status file: {error.strerror}"
        if unwritable != self._unwritable:
            self._log("error" if unwritable else "notice", unwritable or "writing the status file again")
        self._unwritable = unwritable
        return status

    def _previous(self) -> tuple[GuestStatus, ...]:
        try:
            status = status_file.read(self._run)
        except StateFileError as error:
            self._log("warning", f"{error}; starting without the previous status")
            return ()
        return status.guests if status else ()
