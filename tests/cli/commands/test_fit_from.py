"""cachetune fit --from: the move of a guest as text, as a tuning file and as a document."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.cli.main import command
from cachetune.domain import load
from cachetune.errors import InputError
from cachetune.service.move import MovedGuest

NODE7 = "examples/node7.json"


def run(*words: object, stdin: str = "") -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(command, ["fit", *map(str, words)], input=stdin)


def move(*words: object, stdin: str = "") -> Result:
    return run("--from", NODE7, "--guest", "web", *words, stdin=stdin)


def test_the_text_has_both_values_the_difference_of_the_files_and_whether_it_fits() -> None:
    result = move("--shrink-default", "sim:icelake")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "web moves from A to B; its request is read from its groups on A"
    assert "vCPUs 0-1  L3 0  6.75 MiB (3 ways)  L3 0  9 MiB (3 ways)" in lines
    assert "-    <cache id='0' level='3' type='both' size='6912' unit='KiB'/>" in lines
    assert "+    <cache id='0' level='3' type='both' size='9' unit='MiB'/>" in lines
    assert "web: fits on 1 of 1 host" in lines


def test_what_is_left_out_has_its_rule_and_makes_the_exit_code_1() -> None:
    result = move("--shrink-default", "sim:milan")
    assert result.exit_code == 1
    assert "Left out on B:\n  vCPUs 0-1: 50% of MB node 0\n" in result.stdout
    assert "[CT232]" in result.stdout


def test_a_move_that_needs_an_option_names_it_and_exits_with_1() -> None:
    result = move("sim:icelake")
    assert result.exit_code == 1
    assert "with --shrink-default" in result.stdout


def test_a_move_between_equal_hosts_changes_nothing() -> None:
    assert "The tuning file is the same on both hosts." in move(NODE7).stdout


def test_the_tuning_file_is_printed_alone_and_its_shortcomings_are_warnings(tmp_path: Path) -> None:
    result = move("--shrink-default", "sim:milan", "-o", "-")
    loaded = load(result.stdout.encode(), "web.xml")
    assert (loaded.domain is not None, loaded.findings, result.exit_code) == (True, (), 1)
    assert "warning: left out for vCPUs 0-1: 50% of MB node 0: bandwidth 50% cannot be converted" in result.stderr
    assert "it fits on sim:icelake only with --shrink-default" in move("sim:icelake", "-o", "-").stderr
    written = move("--shrink-default", "sim:milan", "-o", tmp_path / "web.xml")
    assert (tmp_path / "web.xml").read_text() == result.stdout
    assert "+++ web on B" in written.stdout
    assert move("sim:icelake", "--schema", "none", "-o", "-").stdout.startswith("<cputune>\n")


def test_no_file_is_written_if_nothing_is_left_of_the_tuning(tmp_path: Path) -> None:
    result = move("sim:monitor-only", "-o", tmp_path / "web.xml", "--cpus", "4000")
    assert result.exit_code == 1
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "nothing is left of the tuning of 'web', so no file is written"
    assert not (tmp_path / "web.xml").exists()


def test_the_tuning_file_is_planned_on_the_other_host_as_it_is(tmp_path: Path) -> None:
    assert move("--shrink-default", "sim:icelake", "-o", tmp_path / "web.xml").exit_code == 0
    words = ["plan", "--host", "sim:icelake", "--shrink-default", "--machine-name", "web", str(tmp_path / "web.xml")]
    assert CliRunner().invoke(command, words).exit_code == 0


def test_the_document_decodes(tmp_path: Path) -> None:
    result = move("--json", "--shrink-default", "sim:icelake")
    moved = documents.decode(result.stdout.encode(), MovedGuest, "it")
    assert (moved.guest, moved.exit_code, len(moved.values)) == ("web", 0, 2)
    (tmp_path / "guest.xml").write_text(Path("examples/web.xml").read_text())
    moved = documents.decode(
        run("--from", NODE7, "--json", tmp_path / "guest.xml", "sim:turin").stdout.encode(), MovedGuest, "it"
    )
    assert moved.request_from == "file"


def test_old_snapshots_are_named() -> None:
    result = move("--stale-after", "1s", "sim:icelake")
    assert "warning: 1 snapshot of 2 may be out of date: node7 (" in result.stderr


@pytest.mark.parametrize(
    "words", [("--guest", "web"), ("--by", "ways"), ("--cpus", "0"), ("-o", "x.xml"), ("--schema", "x.rng")]
)
def test_options_of_a_move_need_from(words: tuple[str, ...]) -> None:
    result = run("examples/web.xml", "sim:milan", *words)
    assert str(result.exception) == f"{words[0]} can only be given with --from"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("sim:milan", "sim:turin"), "--from moves one guest to one host"),
        ((), "--from moves one guest to one host"),
        (("examples/web.xml", "examples/guest.xml", "sim:turin"), "--from moves one guest to one host"),
    ],
)
def test_a_move_is_of_one_guest_to_one_host(words: tuple[str, ...], error: str) -> None:
    assert str(run("--from", NODE7, *words).exception) == error


@pytest.mark.parametrize("option", ["--spread", "--all"])
def test_options_for_several_hosts_exclude_from(option: str) -> None:
    assert str(move("sim:icelake", option).exception) == f"{option} cannot be given with --from"


def test_one_of_the_hosts_can_be_on_standard_input() -> None:
    snapshot = Path(NODE7).read_text()
    for words in (("--from", "-", NODE7), ("--from", NODE7, "-")):
        assert run(*words, "--guest", "web", stdin=snapshot).exit_code == 0
    assert str(run("--from", "-", "-").exception) == "both hosts are on standard input"


@pytest.mark.parametrize("cpus", ["x", "3-1", "0-99999", "", "\x1b"])
def test_an_invalid_list_of_cpus_is_a_usage_error(cpus: str) -> None:
    result = move("sim:milan", "--cpus", cpus)
    assert (result.exit_code, "is not a list of CPUs, such as 0-3,8" in result.stderr) == (2, True)


def test_a_file_that_is_neither_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    result = move(tmp_path / "x.txt")
    assert (result.exit_code, "neither domain XML nor a snapshot" in result.stderr) == (2, True)


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    document = json.loads(Path(NODE7).read_text())
    document["identity"]["hostname"] = "a\x1b[31mb"
    (tmp_path / "a.json").write_text(json.dumps(document))
    for words in ((NODE7, tmp_path / "a.json"), (tmp_path / "a.json", NODE7)):
        result = run("--from", words[0], "--guest", "web", "--stale-after", "1s", words[1])
        assert result.exit_code == 0
        assert "\x1b" not in result.output
