"""Run the agent: one round after another until a signal ends it, with a status file after each."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from cachetune.agent import events, signals, status_file
from cachetune.agent.decide import AgentOptions
from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.agent.notify import Notifier, notifier
from cachetune.agent.reconcile import Clock, Inputs, Reconciler, Say
from cachetune.errors import StateFileError
from cachetune.guests.find import running_guests
from cachetune.guests.tuning_files import read_tuning_files
from cachetune.service.connection import Location, connect
from cachetune.service.select import Selection

_SOON_SECONDS = 1.0
_ROUNDS_OF_ONCE = 5


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an agent is started with. ``selection`` only says where running guests are looked for."""

    location: Location
    selection: Selection
    guests_d: Path
    options: AgentOptions
    once: bool = False


def run_agent(setup: Setup, say: Say, environment: Mapping[str, str]) -> AgentStatus:
    """Run until a signal ends it, or with ``once`` until nothing is left to do; the status at the end.

    Raises HostError, ApplyRefusedError or InputError when it cannot start.
    """
    signals.block()
    inputs = live_inputs(setup)
    inputs.connection()  # fail now, with a hint, rather than in every round
    with status_file.only_agent(setup.location.run):
        connected = (lambda: False) if setup.once else events.listen(setup.selection, say)
        agent = Agent(inputs, setup.options, setup.location.run, say, notifier(environment), connected)
        return agent.once() if setup.once else agent.keep()


def live_inputs(setup: Setup) -> Inputs:
    """What a round looks at on a real host."""
    sources, source = setup.selection.sources, setup.selection.source
    return Inputs(
        connection=lambda: connect(setup.location),
        files=lambda vcpus: read_tuning_files(setup.guests_d, vcpus),
        guests=lambda: running_guests(sources, source),
    )


class Agent:
    """One agent in a run directory, to be used inside ``status_file.only_agent`` with signals blocked.

    ``connected`` says whether libvirt's events arrive at the moment.
    """

    def __init__(
        self,
        inputs: Inputs,
        options: AgentOptions,
        run: Path,
        say: Say,
        notifier: Notifier,
        connected: Callable[[], bool],
    ) -> None:
        self._options, self._run, self._say, self._notifier, self._connected = options, run, say, notifier, connected
        self._reconciler = Reconciler(inputs, options, Clock(time.time, time.monotonic), say, self._left_behind())
        self._start = (status_file.own_start_time(), time.time())
        self._unwritable = ""

    def once(self) -> AgentStatus:
        """Look and act until nothing is left to do, or a signal comes; the status at the end."""
        for _ in range(_ROUNDS_OF_ONCE):
            if not self._round() or self._wait(soon=True) == "stop":
                break
        return self._write(running=False)

    def keep(self) -> AgentStatus:
        """Go on until a signal ends it; the status at the end."""
        soon = self._round()
        self._notifier.send(READY="1")
        while (why := self._wait(soon=soon)) != "stop":
            if why == "reload":
                self._notifier.send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
                self._reconciler.forget_failures()
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
        self._notifier.send(WATCHDOG="1", STATUS=self._reconciler.problem or counts or "no guest to keep")
        return soon

    def _is_stopped(self) -> bool:
        """Between two guests: tell the watchdog that we live, and hear whether to stop."""
        self._notifier.send(WATCHDOG="1")
        return signals.stop_is_asked()

    def _wait(self, *, soon: bool) -> signals.Why:
        seconds = min(self._options.period, _SOON_SECONDS) if soon else self._options.period
        limit = self._notifier.watchdog_seconds
        return signals.wait(seconds, limit / 2 if limit else seconds, lambda: self._notifier.send(WATCHDOG="1"))

    def _write(self, *, running: bool) -> AgentStatus:
        status = AgentStatus(
            pid=os.getpid(),
            start_time=self._start[0],
            running=running,
            started=self._start[1],
            looked=time.time(),
            period_seconds=self._options.period,
            libvirt_events=self._connected(),
            problem=self._reconciler.problem,
            guests=tuple(self._reconciler.statuses[name] for name in sorted(self._reconciler.statuses)),
        )
        unwritable = ""
        try:
            status_file.write(status, self._run)
        except OSError as error:
            unwritable = f"the status cannot be written: {error.strerror}"
        if unwritable != self._unwritable:
            self._say("error" if unwritable else "notice", unwritable or "the status can be written again")
        self._unwritable = unwritable
        return status

    def _left_behind(self) -> tuple[GuestStatus, ...]:
        try:
            status = status_file.read(self._run)
        except StateFileError as error:
            self._say("warning", f"{error}; starting without it")
            return ()
        return status.guests if status else ()
