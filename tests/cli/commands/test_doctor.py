import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.doctor.checks import CHECKS
from cachetune.errors import InputError
from tests.cli.terminal import converse
from tests.doctor.scenes import an_interrupted_run, groups_of_pqos, threads_in_the_default_group
from tests.doctor.servers import Server


def run(*words: object, **environment: str) -> Result:
    result = CliRunner().invoke(command, ["doctor", *map(str, words)], env=environment)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_each_check_is_one_line_in_a_pipe(server: Server) -> None:
    result = run("--root", server.root, "-v")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[1] for line in lines[: len(CHECKS)]] == [check.id for check in CHECKS]
    assert lines[len(CHECKS) :] == ["", "No problems found by 34 checks."]


def test_a_problem_has_its_fix_below_it_and_the_summary_names_it(server: Server) -> None:
    groups_of_pqos(server)
    result = run("--root", server.root, "CT641", "CT642")
    assert result.exit_code == 1
    assert result.output == (
        "warn    CT641  empty groups hold 6 of 8 CLOSIDs: 6 of pqos\n"
        "               fix: if their programs no longer need them: "
        "cd /sys/fs/resctrl && rmdir COS1 COS2 COS3 COS4 COS5 COS6\n"
        "ok      CT642  no program bypasses resctrl\n"
        "\n"
        "1 warning; 'cachetune explain CT641' explains the first.\n"
    )


def test_eighty_columns_are_kept_but_a_command_stays_in_one_piece(server: Server) -> None:
    groups_of_pqos(server)
    output = run("--root", server.root, COLUMNS="80").output
    assert "                    cd /sys/fs/resctrl && rmdir COS1 COS2 COS3 COS4 COS5 COS6\n" in output
    paths = str(server.root)
    assert max(len(line) for line in output.splitlines() if paths not in line) <= 80
    assert "\x1b" not in output


def test_quiet_prints_only_problems_and_nothing_without_any(server: Server) -> None:
    assert run("--root", server.root, "-q").output == ""
    groups_of_pqos(server)
    lines = run("--root", server.root, "-q").output.splitlines()
    assert [line.split()[0] for line in lines if line and not line.startswith(" ")] == ["warn", "warn", "2"]


def test_verbose_lists_every_case(server: Server) -> None:
    groups_of_pqos(server)
    assert run("--root", server.root, "-v", "CT641").output.count("               - COS") == 6


def test_skipped_checks_are_grouped_by_their_reason() -> None:
    output = run("--host", "sim:milan").output
    assert output.count("skipped") == 1
    assert "skipped CT601,611-612,621,623-624,642-644,651-655,661-665,671-676: a snapshot has only" in output


def test_names_of_other_programs_cannot_control_the_terminal(server: Server) -> None:
    server.group("evil\x1b[2J", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff")
    server.process(900, "pqos", "\x1b[31m")
    server.write("etc/cachetune/guests.d/\x1b[2J.xml", "<x/>")
    output = run("--root", server.root, "-v").output
    assert "\x1b" not in output
    assert "evil\\x1b[2J" in output


def test_a_run_that_could_check_nothing_is_no_success(tmp_path: Path) -> None:
    result = run("--resctrl", tmp_path / "nowhere", "--json", "CT632", "CT633")
    assert (result.exit_code, json.loads(result.output)["worst"]) == (2, "skipped")


def test_json_has_every_check_and_the_worst_status(server: Server) -> None:
    document = json.loads(run("--root", server.root, "--json").output)
    assert document["worst"] == "ok"
    assert len(document["checks"]) == len(CHECKS)
    threads_in_the_default_group(server)
    result = run("--root", server.root, "--json", "CT653")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert (document["worst"], document["checks"][0]["status"]) == ("warn", "warn")
    assert document["checks"][0]["command"].startswith("cachetune apply --guest web ")


def test_an_unknown_check_is_an_error() -> None:
    with pytest.raises(InputError, match="no such check: 'CT999'"):
        run("CT999")


def test_a_snapshot_is_never_fixed() -> None:
    with pytest.raises(InputError, match="cannot be fixed"):
        run("--fix", "--host", "sim:milan")


def test_without_a_terminal_a_fix_needs_yes_even_if_there_is_nothing_to_fix(server: Server) -> None:
    with pytest.raises(InputError, match="no terminal for the confirmation prompt") as caught:
        run("--root", server.root, "--fix")
    assert caught.value.hint == "pass --yes to go ahead, or omit --fix to see what can be fixed"


def test_a_check_that_is_named_must_be_fixable(server: Server) -> None:
    groups_of_pqos(server)
    with pytest.raises(InputError, match="CT641 cannot be fixed automatically") as caught:
        run("--root", server.root, "--fix", "--yes", "CT641")
    assert "rmdir COS1" in caught.value.hint


def test_a_fix_that_fails_is_reported_and_the_problem_remains(server: Server) -> None:
    """A copy cannot be changed (CT502)."""
    an_interrupted_run(server)
    result = run("--root", server.root, "--fix", "--yes", "CT661")
    assert result.exit_code == 1
    assert "CT661: finish or undo an interrupted run" in result.stderr
    assert "not fixed CT661: " in result.output
    assert "is a copy of a resctrl tree" in result.output
    assert (server.run / "journal.jsonl").exists()


def on_a_terminal(server: Server, answer: str, *words: str) -> tuple[int, str]:
    """Run doctor on a terminal and answer its prompt; its exit code and output."""
    return converse(answer, "doctor", "--root", server.root, *words)


def test_a_terminal_is_prompted_and_no_changes_nothing(server: Server) -> None:
    an_interrupted_run(server)
    code, output = on_a_terminal(server, "n", "--fix", "CT661")
    assert code == 2
    assert "Do this? [y/N]" in output
    assert "Nothing was changed." in output
    assert (server.run / "journal.jsonl").exists()


def test_a_terminal_has_colors_and_no_color_switches_them_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    groups_of_pqos(server)
    assert "\x1b[33m" in on_a_terminal(server, "", "CT641")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_a_terminal(server, "", "CT641")[1]
