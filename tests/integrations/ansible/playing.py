"""Run a real ansible-playbook and read the result of each task."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import waiting

if TYPE_CHECKING:
    import subprocess

ROOT = Path(__file__).parents[3]
COLLECTIONS = ROOT / "integrations"
COLLECTION = COLLECTIONS / "ansible_collections/cachetune/resctrl"
BIN = Path(sys.executable).parent
CACHETUNE = BIN / "cachetune"
# The interpreter of the modules: without cachetune, as on a host where the command is in a virtual environment.
INTERPRETER = getattr(sys, "_base_executable", sys.executable)

Task = Mapping[str, Any]


class Play:
    """A finished playbook: the result of each task by its name, and what it printed."""

    def __init__(self, results: Mapping[str, Mapping[str, Any]], done: "subprocess.CompletedProcess[str]") -> None:
        self._results, self.code, self.text = results, done.returncode, done.stdout + done.stderr

    def __getitem__(self, task: str) -> Mapping[str, Any]:
        assert task in self._results, f"task {task!r} has no result:\n{self.text}"
        return self._results[task]

    def changed(self) -> list[str]:
        """The names of the tasks that have changed something."""
        return [name for name, result in self._results.items() if result.get("changed")]


def settings(directory: Path, collections: Path = COLLECTIONS) -> dict[str, str]:
    """The environment of a controller: nothing of this user's Ansible, and no directory outside."""
    configuration = directory / "ansible.cfg"
    configuration.touch()
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "ansible/tmp"),
        "ANSIBLE_REMOTE_TEMP": str(directory / "ansible/remote"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_PYTHON_INTERPRETER": INTERPRETER,
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }


def play(
    directory: Path,
    tasks: Sequence[Task],
    *options: str,
    environment: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
    collections: Path = COLLECTIONS,
) -> Play:
    """Run the tasks on this machine. ``environment`` is that of the tasks, ``defaults`` their module_defaults."""
    book = directory / "play.yml"
    host = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}
    host |= {"environment": dict(environment), "module_defaults": dict(defaults or {})}
    book.write_text(json.dumps([host]))  # JSON is YAML
    results = directory / "results.jsonl"
    results.write_text("")
    callbacks = {
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "results",
        "RESULTS": str(results),
    }
    command = [BIN / "ansible-playbook", "-i", "localhost,", *options, book]
    done = waiting.run(command, capture_output=True, text=True, env=settings(directory, collections) | callbacks)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    return Play({line["task"]: line["result"] for line in lines}, done)
