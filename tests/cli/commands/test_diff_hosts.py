"""cachetune diff-hosts: two columns, the exit codes of diff, and hosts that cannot be read."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.documents import decode
from cachetune.errors import InputError
from cachetune.fleet.compare import Comparison

NODE7 = "examples/node7.json"


def run(*words: object, stdin: str = "", columns: int | None = None) -> Result:
    env = {"COLUMNS": f"{columns}"} if columns else {}
    return CliRunner(env=env).invoke(command, ["diff-hosts", *map(str, words)], input=stdin)


def test_hosts_that_do_not_differ_are_one_sentence() -> None:
    result = run("sim:milan", "sim:milan")
    assert (result.exit_code, result.stdout) == (0, "A  sim:milan\nB  sim:milan\n\nNo difference for tuning.\n")


def test_differences_are_in_two_columns_that_a_terminal_of_80_shows() -> None:
    result = run(NODE7, "sim:turin", "--groups", columns=80)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"A  node7 ({NODE7}), snapshot of 2026-11-29 14:07 UTC (")
    assert lines[3].split() == ["A", "B"]
    (ways,) = [line.split() for line in lines if line.startswith("L3 ways ")]
    assert ways == ["L3", "ways", "11", "16"]
    assert " 8 ways     18 MiB  9 ways (18 MiB)   =" in lines
    assert lines[-1] == "25 differences."


def test_what_does_not_differ_is_shown_on_request() -> None:
    one, all_of_it = (run("sim:skylake-2s", "sim:cascade-lake", *words).stdout for words in ((), ("--all",)))
    assert "L3 types" not in one
    assert "L3 types" in all_of_it


def test_the_document_has_all_facts() -> None:
    result = run("sim:skylake-2s", "sim:milan", "--json")
    assert result.exit_code == 1
    document = decode(result.stdout.encode(), Comparison, "it")
    facts = {fact.key: fact for fact in document.facts}
    assert (facts["L3.ways"].a, facts["L3.ways"].differs, facts["L3.types"].differs) == (11, True, False)
    assert len(document.sizes) == 10
    assert json.loads(result.stdout)["schema_version"] == 1


def test_one_host_can_be_on_standard_input() -> None:
    snapshot = Path(NODE7).read_text()
    assert run(NODE7, "-", stdin=snapshot).exit_code == 0
    result = run("-", NODE7, stdin=snapshot)
    assert (result.exit_code, result.stdout.splitlines()[0].split(",")[0]) == (0, "A  node7 (<stdin>)")
    result = run("-", "-", stdin=snapshot)
    assert (type(result.exception), str(result.exception)) == (InputError, "both hosts are on standard input")


def test_a_host_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    for host in (tmp_path / "missing.json", tmp_path, tmp_path / "empty.json", "sim:none"):
        assert isinstance(run(host, NODE7).exception, InputError)
        assert isinstance(run(NODE7, host).exception, InputError)


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nb", "\u202e"])
def test_no_name_in_a_snapshot_reaches_the_terminal_as_it_is(hostile: str, tmp_path: Path) -> None:
    document = json.loads(Path(NODE7).read_text())
    document["identity"] |= {"hostname": hostile, "kernel": hostile, "cpu_model": hostile}
    document["mount_options"] = [hostile]
    document["monitors"][0]["name"] = hostile
    document["groups"][1]["path"] = document["groups"][1]["path"].replace("web", "w\x1bb")
    (tmp_path / "host.json").write_text(json.dumps(document))
    result = run(tmp_path / "host.json", "sim:milan", "--groups", "--all")
    assert result.exit_code == 1 or isinstance(result.exception, InputError)
    assert hostile not in result.output
    assert "\x1b" not in result.output
