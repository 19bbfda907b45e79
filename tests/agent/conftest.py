"""Every decision that the agent recalls in a test in this process is compared with a new one."""

import pytest

from cachetune.agent.decide import AgentOptions, Decision, ManagedGuest, Memory, Observation, decision_about
from cachetune.agent.recall import Recall

UNCHECKED = Recall.decision


def _checked(
    recall: Recall, guest: ManagedGuest, observation: Observation, memory: Memory | None, options: AgentOptions
) -> Decision:
    recalled = UNCHECKED(recall, guest, observation, memory, options)
    assert recalled == decision_about(guest, observation, memory, options)
    return recalled


@pytest.fixture(autouse=True)
def _decisions_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recall, "decision", _checked)
