"""Recall decisions: what is as it was is not planned again.

A decision follows from what was observed, what is remembered of the guest, and the options (``decide.decision_about``).
The threads in the default group are no part of that, except whether there are any: every process that starts on the
machine changes them.
"""

from typing import NamedTuple

from cachetune.agent.decide import AgentOptions, Decision, ManagedGuest, Memory, Observation, decision_about
from cachetune.apply.state.ledger import Ledger
from cachetune.host.model import Host
from cachetune.service.states import without_other_threads


class _Surroundings(NamedTuple):
    """What counts for every guest."""

    host: Host
    ledger: Ledger
    options: AgentOptions


class _Decided(NamedTuple):
    """A decision about a guest, and what it followed from beside the surroundings."""

    guest: ManagedGuest
    memory: Memory | None
    decision: Decision


class Recall:
    """The decisions of the last rounds. ``decision`` is a ``decide.DecisionOf``."""

    def __init__(self) -> None:
        self._surroundings: _Surroundings | None = None
        self._observation: Observation | None = None
        self._before: dict[str, _Decided] = {}
        self._decided: dict[str, _Decided] = {}

    def decision(
        self, guest: ManagedGuest, observation: Observation, memory: Memory | None, options: AgentOptions
    ) -> Decision:
        """The decision about one guest: the last one, if all that it followed from is the same."""
        if observation is not self._observation:
            self._begin(observation, options)
        last = self._before.get(guest.name)
        if last is None or (last.guest, last.memory) != (guest, memory):
            last = _Decided(guest, memory, decision_about(guest, observation, memory, options))
        self._decided[guest.name] = last
        return last.decision

    def _begin(self, observation: Observation, options: AgentOptions) -> None:
        """Begin a round: keep what was decided in the last one, unless the surroundings differ."""
        self._observation = observation
        surroundings = _Surroundings(without_other_threads(observation.host), observation.ledger, options)
        self._before = self._decided if surroundings == self._surroundings else {}
        self._surroundings, self._decided = surroundings, {}
