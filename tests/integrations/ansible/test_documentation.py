"""The documentation of modules and plugins: complete for ansible-doc, and every example is valid."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachetune import __version__
from tests import waiting
from tests.integrations.ansible.playing import BIN, COLLECTION, settings

NAMESPACE = "cachetune.resctrl."
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
Options = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What ansible-doc prints for each module."""
    words = ["ansible-doc", "--json", *(NAMESPACE + name for name in MODULES)]
    where = settings(tmp_path_factory.mktemp("doc"))
    done = waiting.run([BIN / words[0], *words[1:]], capture_output=True, text=True, env=where)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Mapping[str, Any]] = json.loads(done.stdout)
    return {name.removeprefix(NAMESPACE): each for name, each in found.items()}


def tasks_in(plays_or_tasks: Any) -> Iterator[Mapping[str, Any]]:
    """The tasks of a list of tasks or plays, also those in blocks."""
    for each in plays_or_tasks or ():
        inner = [each[key] for key in ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always") if key in each]
        for tasks in inner:
            yield from tasks_in(tasks)
        if not inner:
            yield each


def problems(task: Mapping[str, Any], options_of: Mapping[str, Options]) -> Iterator[str]:
    """What is wrong with the parameters of a task that calls a module of the collection."""
    for module, given in task.items():
        name = module.removeprefix(NAMESPACE)
        if not module.startswith(NAMESPACE):
            continue
        if name not in options_of:
            yield f"no module {module}"
            continue
        options, parameters = options_of[name], given or {}
        yield from (f"{module} has no parameter {key}" for key in parameters if key not in options)
        yield from (
            f"{module} needs {key}" for key in options if options[key].get("required") and key not in parameters
        )
        for key, value in parameters.items():
            choices = options.get(key, {}).get("choices")
            if choices and "{{" not in str(value) and value not in choices:
                yield f"{module} has no {key}={value}"


@cache
def _blocks(path: Path) -> tuple[str, ...]:
    return tuple(re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))


def test_every_module_documents_its_options_examples_and_results(documented: Mapping[str, Mapping[str, Any]]) -> None:
    assert sorted(documented) == MODULES
    options_of = {name: each["doc"]["options"] for name, each in documented.items()}
    for name, each in documented.items():
        assert {"check_mode", "diff_mode", "platform"} == set(each["doc"]["attributes"])
        assert each["return"], name
        examples = list(tasks_in(yaml.safe_load(each["examples"])))
        assert any(NAMESPACE + name in task for task in examples)
        for task in examples:
            assert not list(problems(task, options_of))
            assert task["name"][0].isupper()


def test_the_tasks_in_the_pages_are_valid(documented: Mapping[str, Mapping[str, Any]]) -> None:
    options_of = {name: each["doc"]["options"] for name, each in documented.items()}
    pages = [COLLECTION / "README.md", COLLECTION.parents[3] / "docs/how-to/ansible.md"]
    blocks = [yaml.safe_load(block) for page in pages for block in _blocks(page)]
    tasks = [task for block in blocks if isinstance(block, list) for task in tasks_in(block)]
    assert any(NAMESPACE + "tuning" in task for task in tasks)
    assert not [problem for task in tasks for problem in problems(task, options_of)]


def test_a_misspelled_parameter_is_noticed() -> None:
    options: Mapping[str, Options] = {"doctor": {"fail_on": {"choices": ["warn"]}, "must": {"required": True}}}
    task = {"cachetune.resctrl.doctor": {"fail_in": 1, "fail_on": "x"}, "cachetune.resctrl.nurse": None}
    assert len(list(problems(task, options))) == 4


def test_the_collection_has_the_version_of_the_command() -> None:
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    released = yaml.safe_load((COLLECTION / "changelogs/changelog.yaml").read_text())["releases"]
    assert galaxy["version"] == __version__
    assert __version__ in released
