"""The agent's status document is input of ``agent status`` and of the next agent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachetune.agent import status_file
from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.errors import StateFileError

Json = dict[str, Any]
WEB = GuestStatus(name="web", machine_name="cachetune-web", requested_by="file", state="placed", since=5.0, pid=7)
STATUS = AgentStatus(pid=1, start_time=2, started=3.0, looked=4.0, period_seconds=5.0, guests=(WEB,))

IMPOSSIBLE: dict[str, tuple[Callable[[Json], object], str]] = {
    "a guest twice": (lambda d: d["guests"].append(d["guests"][0]), "guest 'web' occurs 2 times"),
    "a start before 1970": (lambda d: d.update(started=-1.0), "-1 is not a time"),
    "a round after the year 9999": (lambda d: d.update(looked=1e300), "1e+300 is not a time"),
    "a state that never was": (lambda d: d["guests"][0].update(since=1e15), "1e+15 is not a time"),
    "a change that never was": (lambda d: d["guests"][0].update(changed=1e15), "1e+15 is not a time"),
    "a pid beyond": (lambda d: d.update(pid=1 << 31), "2147483648 is not the id of a process"),
    "a guest's pid below": (lambda d: d["guests"][0].update(pid=0), "0 is not the id of a process"),
    "a negative start": (lambda d: d.update(start_time=-1), "a start time of -1"),
    "no period": (lambda d: d.update(period_seconds=0.0), "a period of 0 s"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_contradiction_is_named(case: str, tmp_path: Path) -> None:
    edit, message = IMPOSSIBLE[case]
    status_file.write(STATUS, tmp_path)
    assert status_file.read(tmp_path) == STATUS
    (file,) = tmp_path.iterdir()
    saved = json.loads(file.read_bytes())
    edit(saved)
    file.write_text(json.dumps(saved))
    with pytest.raises(StateFileError) as caught:
        status_file.read(tmp_path)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
