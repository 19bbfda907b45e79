"""``cachetune log`` as a user runs it."""

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.agent.loop import Setup
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.change_log import Change, ChangedGuest, User, line_of
from cachetune.cli.main import VERBS, Verbs, command
from cachetune.errors import InputError, UnreadableFileError
from cachetune.service.change_log import ChangeLog
from cachetune.service.connection import Location
from tests.apply.test_record import CHANGE, GROUP, removal, web_plan
from tests.samples import host_with_guest

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def wide_and_in_utc(in_utc: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - needed first
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run() -> Run:
    def call(*words: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(command, ["log", *words], input=stdin, catch_exceptions=False)

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a guest that came and went."""
    connection = Connection(host_with_guest("skylake-2s"), tmp_path / "run", program="apply")
    apply(web_plan(connection), connection)
    apply(removal(connection), msgspec.structs.replace(connection, program="remove"))
    return connection.change_log


def table(*changes: Change) -> bytes:
    return b"".join(map(line_of, changes))


def test_each_change_has_a_row_and_the_newest_is_last(run: Run, log: Path) -> None:
    result = run("--log", str(log))
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["TIME", "PROGRAM", "USER", "GUESTS", "OUTCOME", "PLAN"]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert first.split()[2:6] == ["apply", user, "web", "done"]
    assert second.split()[2:6] == ["remove", user, "cachetune-web", "done"]
    assert "1 control group and 2 monitor groups to create" in first
    assert result.exit_code == 0


def test_groups_are_shown_before_and_after(run: Run, log: Path) -> None:
    result = run("--log", str(log), "--groups")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "~ the default group L3:0-1=7ff -> L3:0=7fc;1=7ff, 5 -> 3 tasks" in lines
    assert f"+ {GROUP} L3:0=3;1=7ff MB:0=60;1=100, 2 tasks" in lines
    assert f"- {GROUP} L3:0=3;1=7ff MB:0=60;1=100, 2 tasks" in lines
    assert [line.split(": ")[1] for line in lines if " by " in line] == ["done", "done"]


def test_json_is_a_document_and_the_schema_describes_it(run: Run, log: Path) -> None:
    found = documents.decode(run("--log", str(log), "--json").stdout.encode(), ChangeLog, "stdout")
    assert [change.program for change in found.changes] == ["apply", "remove"]
    for name, title in (("change", "Change"), ("changes", "ChangeLog")):
        schema = json.loads(CliRunner().invoke(command, ["schema", name]).stdout)
        assert schema["$ref"].endswith(title)


def test_a_period_a_guest_and_a_number_select(run: Run, log: Path) -> None:
    assert run("--log", str(log), "--since", "tomorrow").stdout == "No changes.\n"
    assert run("--log", str(log), "--until", "yesterday").stdout == "No changes.\n"
    assert len(run("--log", str(log), "--since", "10min").stdout.splitlines()) == 3
    assert len(run("--log", str(log), "--guest", "web").stdout.splitlines()) == 3, "removed by machine name"
    assert run("--log", str(log), "--guest", "we").stdout == "No changes.\n"
    assert "remove" in run("--log", str(log), "-n", "1").stdout


def test_the_log_of_a_run_directory_is_read(run: Run, log: Path) -> None:
    assert run("--run", str(log.parent)).stdout == run("--log", str(log)).stdout


def test_standard_input_is_read(run: Run, log: Path) -> None:
    assert run("--log", "-", stdin=log.read_bytes()).stdout == run("--log", str(log)).stdout


def test_without_a_log_nothing_was_changed_unless_it_was_named(run: Run, tmp_path: Path) -> None:
    nothing = run("--run", str(tmp_path))
    assert (nothing.exit_code, nothing.stdout) == (0, "No changes.\n")
    with pytest.raises(UnreadableFileError, match="No such file or directory"):
        run("--log", str(tmp_path / "changes.jsonl"))


def test_damaged_lines_are_warnings_and_exit_1(run: Run, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20] + b"\nnonsense\n")
    result = run("--log", str(log))
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert f"warning: {log}:2: not a change: " in result.stderr
    assert f"warning: {log}:3: not a change: JSON is malformed" in result.stderr


def test_the_user_is_the_one_who_logged_in_and_a_name_from_the_environment_is_the_last_resort(run: Run) -> None:
    users = [
        User(uid=0, login_uid=1),
        User(uid=0, login_uid=0),
        User(uid=0, sudo_user="anna"),
        User(uid=0, login_uid=1, sudo_user="anna"),
        User(uid=3999999999),
    ]
    result = run("--log", "-", stdin=table(*(msgspec.structs.replace(CHANGE, user=user) for user in users)))
    rows = [line.split("apply")[1].split("done")[0].strip() for line in result.stdout.splitlines()[1:]]
    assert rows == ["daemon as root", "root", "anna as root", "daemon as root", "3999999999"]


def test_hostile_text_controls_no_terminal(run: Run) -> None:
    evil = "\x1b[2J\n\u202e"
    bad = msgspec.structs.replace(
        CHANGE,
        program=evil,
        plan=evil,
        error=evil,
        user=User(uid=0, sudo_user=evil),
        guests=(ChangedGuest(evil, evil),),
    )
    result = run("--log", "-", "--groups", stdin=table(bad))
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_every_verb_that_waits_for_the_lock_can_name_the_log() -> None:
    """Those are the verbs that change a host."""
    group = Verbs()
    context = click.Context(group)
    verbs = {name: verb for name in VERBS if (verb := group.get_command(context, name))}
    options = {name: {option for parameter in verb.params for option in parameter.opts} for name, verb in verbs.items()}
    changing = {name for name, known in options.items() if "--lock-timeout" in known}
    assert changing >= {"apply", "remove", "recover", "agent", "doctor"}
    assert {name for name in changing if "--log" not in options[name]} == set()


@pytest.mark.parametrize(
    ("verb", "words"),
    [("apply", ["plan.json"]), ("remove", ["--guest", "web"]), ("recover", []), ("default", ["--reset"])],
)
def test_a_verb_is_the_program_of_its_changes_and_its_log_is_used(
    verb: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Location] = []

    def connect(location: Location, *_: object) -> Connection:
        seen.append(location)
        raise InputError("seen")

    monkeypatch.setattr(f"cachetune.cli.commands.{verb}.connect", connect)
    result = CliRunner().invoke(command, [verb, *words, "--yes", "--log", str(tmp_path / "log")])
    assert str(result.exception) == "seen"
    assert [(location.program, location.log) for location in seen] == [(verb, tmp_path / "log")]


def test_the_agent_is_the_program_of_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Location] = []

    def run_agent(setup: Setup, *_: object) -> None:
        seen.append(setup.location)
        raise InputError("seen")

    monkeypatch.setattr("cachetune.cli.commands.agent.run_agent", run_agent)
    assert str(CliRunner().invoke(command, ["agent", "--once"]).exception) == "seen"
    assert [location.program for location in seen] == ["agent"]
