"""--round on the command line: refused without it, rounded with it, and what was rounded in text and JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.hook import run as run_hook

SIZE = "<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='7000' unit='KiB'/></cachetune>"
RATE = "<memorytune vcpus='0-1'><node id='0' bandwidth='55'/></memorytune>"
XML = f"<domain type='kvm'><name>web</name><vcpu>4</vcpu><cputune>{SIZE}{RATE}</cputune></domain>"


def run(verb: str, *options: str) -> Result:
    arguments = [verb, "--host", "sim:skylake-2s", *options, "-"]
    return CliRunner().invoke(command, arguments, input=XML)


def plan(*options: str) -> Result:
    return run("plan", "--shrink-default", *options)


def test_without_it_the_refusal_names_the_two_nearest_and_the_option() -> None:
    found = plan()
    assert found.exit_code == 1
    assert "hint: nearest valid: 6912 KiB or 9 MiB; or plan with --round" in found.stderr
    assert "hint: nearest valid: 50 or 60; or plan with --round" in found.stderr


@pytest.mark.parametrize(
    ("how", "size", "rate"), [("down", "6.75 MiB", 50), ("up", "9 MiB", 60), ("nearest", "6.75 MiB", 50)]
)
def test_the_plan_shows_what_was_requested_beside_what_the_host_gives(how: str, size: str, rate: int) -> None:
    found = plan("--round", how)
    assert found.exit_code == 0
    assert f"  {size} (requested: 7000 KiB)" in found.stdout
    assert f"MB 0  {rate} percent (requested: 55)" in found.stdout


def test_the_document_has_the_amount_and_the_words_of_the_request() -> None:
    (group,) = json.loads(plan("--round", "up", "--json").stdout)["groups"]
    assert group["requested"] == {"L3": {"0": 9 << 20}, "MB": {"0": 60}}
    assert group["rounded_from"] == {"L3": {"0": "7000 KiB"}, "MB": {"0": "55"}}
    assert group["schemata"]["MB"] == {"0": 60}


def test_validate_rounds_as_plan_does() -> None:
    def rules(*options: str) -> set[str]:
        (file,) = json.loads(run("validate", "--json", *options).stdout)["files"]
        return {finding["rule"] for finding in file["findings"]}

    assert rules() == {"CT205", "CT210"}
    assert rules("--round", "down") == {"CT207"}, "validate does not shrink the default group"


def test_the_hook_refuses_a_direction_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.xml").write_text(f"<cputune>{SIZE}</cputune>")
    (tmp_path / "stdin").write_text(XML.replace(SIZE + RATE, ""))
    options = ["--strict", "--round", "sideways", "--guests-d", str(tmp_path), "--run", str(tmp_path / "run")]
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run_hook([*options, "web", "prepare", "begin", "-"]) == 1
    assert "--round must be up, down or nearest" in capsys.readouterr().err
