"""Which options count for those who ask what the agent would do."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachetune.agent import status_file
from cachetune.agent.effective import EffectiveOptions, effective_options
from cachetune.agent.model import AgentPlanning, AgentStatus
from cachetune.plan.request import Options
from cachetune.service.connection import Location
from cachetune.service.select import Selection

PLANNING = AgentPlanning(resctrl="/r", guests_d="/d", shrink_default=True, rounding="up")
ALL = ("--shrink-default", "--round up")


def ask(run: Path, given: Options = Options(), **location: Any) -> EffectiveOptions:  # noqa: B008 - frozen
    where = Location(**{"resctrl": Path("/r"), "run": run, **location})
    return effective_options(where, Selection(guests_d=Path("/d")), given)


def leave(run: Path, **fields: Any) -> None:
    """Leave the status of an agent that is this process, and so is alive."""
    status = AgentStatus(
        pid=os.getpid(),
        start_time=status_file.own_start_time(),
        started=1.0,
        looked=2.0,
        period_seconds=5.0,
        planning=PLANNING,
    )
    status_file.write(msgspec.structs.replace(status, **fields), run)


def test_the_options_of_a_running_agent_count(tmp_path: Path) -> None:
    leave(tmp_path)
    assert ask(tmp_path) == EffectiveOptions(Options(shrink_default=True, rounding="up"), ALL)


def test_the_options_of_the_last_agent_once_count(tmp_path: Path) -> None:
    leave(tmp_path, running=False, once=True)
    assert ask(tmp_path).words == ALL


@pytest.mark.parametrize(
    "fields",
    [
        {"running": False},
        {"start_time": 1},
        {"planning": None},
        {"planning": msgspec.structs.replace(PLANNING, resctrl="/other")},
        {"planning": msgspec.structs.replace(PLANNING, guests_d="/other")},
    ],
    ids=["stopped", "killed", "an older version", "another resctrl", "another guests.d"],
)
def test_no_other_agent_counts(tmp_path: Path, fields: dict[str, Any]) -> None:
    leave(tmp_path, **fields)
    assert ask(tmp_path) == EffectiveOptions()


def test_without_a_status_or_with_a_damaged_one_there_are_no_options(tmp_path: Path) -> None:
    assert ask(tmp_path) == EffectiveOptions()
    (tmp_path / "agent.json").write_text("{")
    assert ask(tmp_path) == EffectiveOptions()


def test_what_is_given_is_not_the_agents(tmp_path: Path) -> None:
    leave(tmp_path)
    given = Options(shrink_default=True, rounding="down", take_tasks=True)
    assert ask(tmp_path, given) == EffectiveOptions(given)


def test_another_host_has_no_agent(tmp_path: Path) -> None:
    leave(tmp_path)
    assert ask(tmp_path, host="sim:milan") == EffectiveOptions()


def test_the_agents_policy_counts_if_it_can_be_read(tmp_path: Path) -> None:
    policy = tmp_path / "host.toml"
    policy.write_text("[default.L3]\nleast = '2ways'\n")
    leave(tmp_path, planning=msgspec.structs.replace(PLANNING, policy=str(policy)))
    found = ask(tmp_path)
    assert found.options.policy is not None
    assert found.words == (*ALL, f"--policy {policy}")
    policy.unlink()
    assert ask(tmp_path) == EffectiveOptions(Options(shrink_default=True, rounding="up"), ALL)
