"""The modules with a command that is not cachetune, or answers otherwise than expected: an error, never a traceback."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.ansible.calling import Call


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Call:
    """Run the module tuning with the lines of a shell script as the command."""
    monkeypatch.setenv("CACHETUNE_GUESTS_D", str(tmp_path / "guests.d"))

    def run_module(*lines: str, **values: Any) -> Mapping[str, Any]:
        command = tmp_path / "cachetune"
        command.write_text("#!/bin/sh\n" + "\n".join(lines))
        command.chmod(0o755)
        return call("tuning", **{"guest": "web", "executable": str(command)} | values)

    return run_module


def plan(*steps: Mapping[str, Any]) -> str:
    return json.dumps({"schema_version": 1, "steps": steps, "warnings": []})


STEP = {"kind": "create_group", "path": "cachetune-web"}
REPORT = {"schema_version": 1, "outcome": "done", "done": [STEP]}
DRY = "case \"$*\" in *--dry-run*) echo '{}'; exit;; esac"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["echo rubbish"], "printed no JSON document that this collection can read: 'rubbish"),
        (["printf '\\377\\376'"], "printed no JSON document"),
        (["echo '[1]'"], "printed no JSON document"),
        (["""echo '{"schema_version": 2}'"""], "printed a document of another version"),
        (["""echo '{"schema_version": 1, "findings": [3, {"rule": []}]}'""", "exit 2"], "exited with 2: no message"),
        (["exit 7"], "exited with 7: no message"),
        (["exit 0"], "exited with 0: no message"),
        (["echo usage: ls >&2", "exit 2"], "exited with 2: usage: ls"),
        (["echo 'error: no lock' >&2", "echo '    hint: wait' >&2", "exit 2"], "no lock (hint: wait)"),
        (["echo 'xml:3:7: error: no room [CT207]' >&2", "exit 2"], "xml:3:7: no room [CT207]"),
        (["kill -9 $$"], "exited with -9"),
    ],
)
def test_a_command_that_answers_otherwise_is_an_error(run: Call, lines: list[str], message: str) -> None:
    result = run(*lines)
    assert result["failed"]
    assert message in result["msg"]
    assert "Traceback" not in json.dumps(result)


@pytest.mark.parametrize("steps", ['"x"', "[1]", '[{"kind": "write_schemata", "path": 3, "after": "L3"}]', "{}"])
def test_a_plan_with_other_content_is_no_traceback(run: Call, steps: str) -> None:
    text = json.dumps({"schema_version": 1, "warnings": "x"})[:-1] + f', "steps": {steps}}}'
    assert "changed" in run(f"echo '{text}'")


def test_a_command_that_does_not_end_is_stopped(run: Call) -> None:
    result = run("exec sleep 1000", timeout=1)
    assert "stopped after 1 s" in result["msg"]


@pytest.mark.parametrize("name", ["../web", ".web", "a/b", "", "x" * 252, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_before_a_command_runs(run: Call, name: str) -> None:
    result = run("exit 3", guest=name, xml="<cputune/>", save=True)
    assert result["msg"].endswith("no file can have this name")


def test_a_missing_command_is_named_with_what_installs_it(run: Call) -> None:
    result = run(executable="no-such-cachetune")
    assert "role cachetune.resctrl.cachetune" in result["msg"]
    assert "cannot run '/nonexistent/cachetune'" in run(executable="/nonexistent/cachetune")["msg"]


def test_the_name_of_a_guest_is_one_argument_whatever_is_in_it(run: Call, tmp_path: Path) -> None:
    name = "--yes; touch 'x' $(touch y)\n"
    result = run(f'printf "%s|" "$@" >{tmp_path}/words', f"echo '{plan()}'", guest=name)
    assert not result["changed"]
    assert (tmp_path / "words").read_text().split("|")[:2] == ["apply", f"--guest={name}"]


@pytest.mark.parametrize(("code", "changed"), [(1, False), (3, True)])
def test_a_failed_run_says_what_is_left(run: Call, code: int, changed: bool) -> None:
    report = {"outcome": "rolled back", "error": "cannot mkdir", "hint": "run it again", "undo_errors": ["g1: EBUSY"]}
    lines = (DRY.format(plan(STEP)), f"echo '{json.dumps({'schema_version': 1} | report)}'", f"exit {code}")
    result = run(*lines)
    assert (result["failed"], result["changed"], result["report"]["error"]) == (True, changed, "cannot mkdir")
    assert result["msg"] == "cannot mkdir (hint: run it again); not undone: g1: EBUSY"


def test_what_was_done_counts_and_not_what_was_planned(run: Call) -> None:
    nothing = {"schema_version": 1, "outcome": "nothing to do", "done": []}
    assert not run(DRY.format(plan(STEP)), f"echo '{json.dumps(nothing)}'")["changed"]
    assert run(DRY.format(plan(STEP)), f"echo '{json.dumps(REPORT)}'")["changed"]


def test_a_tuning_file_that_cannot_be_written_is_known_before_the_host_changes(run: Call, tmp_path: Path) -> None:
    (tmp_path / "guests.d").write_text("a file, not a directory")
    result = run(DRY.format(plan(STEP)), f"touch {tmp_path}/changed", xml="<cputune/>", save=True)
    assert "cannot write to" in result["msg"]
    assert not (tmp_path / "changed").exists()


def test_a_request_and_values_exclude_each_other(run: Call) -> None:
    assert "pass only one of them" in run("exit 3", xml="<cputune/>", l3="3ways")["msg"]
    assert "cannot read /nonexistent" in run("exit 3", src="/nonexistent")["msg"]
    assert "'save' needs" in run("exit 3", save=True)["msg"]
