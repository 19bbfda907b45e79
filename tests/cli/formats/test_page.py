"""The samples of docs/how-to/ci.md are valid for the systems that read them, and call validate as it is."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from cachetune.cli.commands.validate import command

PAGE = (Path(__file__).parents[3] / "docs/how-to/ci.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SAMPLES = [yaml.load(text, yaml.BaseLoader) for text in BLOCKS]  # noqa: S506 - texts only; "on" is no boolean
SCHEMAS = {"jobs": "github-workflows", "validate-domains": "gitlab-ci"}


def test_the_page_has_a_sample_for_each_system() -> None:
    assert [next(key for key in ("jobs", "validate-domains", "repos") if key in sample) for sample in SAMPLES] == [
        "jobs",
        "jobs",
        "validate-domains",
        "repos",
    ]


@pytest.mark.parametrize("sample", SAMPLES[:3], ids=["annotations", "code scanning", "gitlab"])
def test_a_sample_is_valid(sample: dict[str, Any]) -> None:
    name = next(name for key, name in SCHEMAS.items() if key in sample)
    schema = json.loads((files("check_jsonschema") / f"builtin_schemas/vendor/{name}.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(sample)


def test_the_commands_of_the_samples_have_only_real_options() -> None:
    calls = re.findall(r"(?:run: |- |sh ')(cachetune validate [^'\n]*)", PAGE)
    assert len(calls) >= 4
    for call in calls:
        click.Context(command)
        command.make_context("validate", shlex.split(call)[2:])


def test_the_hooks_of_the_sample_are_the_one_of_the_manifest() -> None:
    manifest = yaml.safe_load((Path(__file__).parents[3] / ".pre-commit-hooks.yaml").read_text())
    for hook in SAMPLES[3]["repos"][0]["hooks"]:
        assert hook["id"] == manifest[0]["id"]
        command.make_context("validate", [*shlex.split(manifest[0]["entry"])[2:], *hook["args"], "a.xml"])
