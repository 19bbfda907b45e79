"""--format gitlab, checked against the fields that GitLab documents."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.formats.runs import BAD, run, write_hostile

# docs.gitlab.com, "Code Quality report format"; a path must not begin with "./".
_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^[^/.]"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}
_FIRST = BAD.split("<cputune>")[1].split("</cputune>")[0]
TWICE = BAD.replace("</cputune>", f"{_FIRST.replace('0', '1', 1)}</cputune>")  # the same fault in both


def issues(*arguments: str) -> list[dict[str, Any]]:
    """The report of a run, which is valid and has no two equal fingerprints."""
    found: list[dict[str, Any]] = json.loads(run("--format", "gitlab", *arguments).stdout)
    jsonschema.validate(found, _SCHEMA)
    assert len({each["fingerprint"] for each in found}) == len(found)
    return found


@pytest.mark.usefixtures("checkout")
def test_a_finding_is_an_issue_at_its_line() -> None:
    error, warning = issues("./domains")
    assert (error["check_name"], error["severity"]) == ("CT003", "major")
    assert error["location"] == {"path": "domains/bad.xml", "lines": {"begin": 6}}
    assert error["description"] == "attribute 'levl' is not allowed on <cache>; did you mean 'level'?"
    assert (warning["check_name"], warning["severity"]) == ("CT150", "minor")
    (unreadable,) = issues("none.xml")
    assert unreadable["location"] == {"path": "none.xml", "lines": {"begin": 1}}


@pytest.mark.usefixtures("checkout")
def test_no_findings_are_an_empty_array() -> None:
    assert issues("domains/good.xml") == []


def test_hostile_names_are_valid(checkout: Path) -> None:
    paths = write_hostile(checkout / "hostile")
    assert len(issues("hostile")) == len(paths)


@pytest.mark.parametrize("text", [TWICE, TWICE.replace("levl", "level").replace("'1'", "'0'")])
def test_fingerprints_survive_unrelated_edits(text: str, checkout: Path) -> None:
    file = checkout / "domains" / "bad.xml"
    file.write_text(text)
    before = issues("domains/bad.xml")
    added = "<cachetune vcpus='2'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune>"
    file.write_text(text.replace("<vcpu>", "\n\n  <vcpu>").replace("<cputune>", f"<cputune>{added}"))
    after = issues("domains/bad.xml")
    assert [each["fingerprint"] for each in after] == [each["fingerprint"] for each in before]
    assert [each["location"]["lines"]["begin"] - 2 for each in after] == [
        each["location"]["lines"]["begin"] for each in before
    ]
    assert before


def test_another_file_or_another_fault_has_another_fingerprint(checkout: Path) -> None:
    (checkout / "domains" / "copy.xml").write_text(BAD)
    (checkout / "domains" / "other.xml").write_text(BAD.replace("levl", "lvl"))
    assert len(issues("domains")) == 4
