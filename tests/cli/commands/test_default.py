"""``cachetune default`` as an operator runs it: options, messages, exit codes, JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import Connection
from cachetune.cli.commands import default as default_verb
from cachetune.cli.main import command
from cachetune.errors import InputError
from cachetune.plan import Plan
from cachetune.sim import SimulatedResctrl


@pytest.fixture(autouse=True)
def connected(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_verb, "connect", lambda _: connection)


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["default", *words])


def test_ways_and_bandwidth_of_several_caches_are_set_at_once(sim: SimulatedResctrl) -> None:
    result = run("--l3", "0-1=4ways", "--mb", "1=50%", "--yes")
    assert result.exit_code == 0, result.output
    assert "L3:0=780;1=780" in sim.read("schemata")
    assert "MB:0=100;1= 50" in sim.read("schemata")
    assert "L3 0-1  ddddddddddd 7ff -> dddd....... 780" in result.stdout
    assert "MB 1    100 -> 50 percent" in result.stdout
    assert "Done: 2 steps, each read back." in result.stdout


def test_a_size_is_rounded_only_on_request(sim: SimulatedResctrl) -> None:
    assert "that is 2.67 ways" in run("--l3", "0=6MiB", "--yes").stderr
    assert run("--l3", "0=6MiB", "--round", "up", "--yes").exit_code == 0
    assert "L3:0=700" in sim.read("schemata")
    assert run("--l3", "0=100%", "--yes").exit_code == 0
    assert "L3:0=7ff" in sim.read("schemata"), "unlike a guest, it can have the whole cache"


def test_the_values_of_now_are_no_change() -> None:
    result = run("--l3", "0=11ways", "--yes")
    assert "No changes. The default group already has these values." in result.stdout
    assert result.exit_code == 0


def test_a_dry_run_shows_the_plan_and_changes_nothing(sim: SimulatedResctrl, connection: Connection) -> None:
    before = sim.tree()
    result = run("--l3", "0=4ways", "--dry-run", "--json")
    assert result.exit_code == 0
    plan = documents.decode(result.stdout.encode(), Plan, "stdout")
    assert plan.default_group is not None
    assert plan.default_group.values.masks == {"L3": {0: 0x780}}
    assert sim.tree() == before
    assert not connection.run.exists()


def test_without_consent_nothing_is_changed(sim: SimulatedResctrl) -> None:
    result = run("--l3", "0=4ways")
    assert isinstance(result.exception, InputError)
    assert "no terminal" in str(result.exception)
    assert "0=7ff" in sim.read("schemata")


def test_a_value_without_ids_is_for_all_and_the_later_of_two_counts(sim: SimulatedResctrl) -> None:
    assert run("--l3", "4ways", "--l3", "1=3ways", "--mb", "1=80%", "--mb", "50%", "--yes").exit_code == 0
    assert sim.read("schemata").split() == ["MB:0=", "50;1=", "50", "L3:0=780;1=700"]


def test_reset_brings_the_first_values_back(sim: SimulatedResctrl) -> None:
    before = sim.tree()
    assert run("--l3", "0=4ways", "--yes").exit_code == 0
    result = run("--reset", "--yes", "--json")
    report = documents.decode(result.stdout.encode(), Report, "stdout")
    assert (report.outcome, report.machine_names) == ("done", ())
    assert sim.tree() == before
    assert json.loads(run("--reset", "--yes", "--json").stdout)["outcome"] == "nothing to do"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "no values are given, and there is no policy"),
        (("--reset", "--l3", "0=4ways"), "pass values, such as --l3 0=4ways, or --reset"),
        (("--l3", "=4ways"), "'=4ways' is not [ID=]SIZE, such as 0=4ways"),
        (("--l3", "none"), "'none' is not a number with its unit"),
        (("--mb", "none"), "'none' is not a number, with a unit"),
        (("--l3", "0="), "'' is not a number with its unit, such as 6MiB, 3ways or 30%"),
        (("--l3", "0=4"), "'4' has no unit"),
        (("--l3", "٣=4ways"), "'٣=4ways' is not [ID=]SIZE"),
        (("--l3", "1-0=4ways"), "not a range of ids: '1-0'"),
        (("--l3", "0-4294967295=4ways"), "not a range of ids"),
        (("--l3", "-1=4ways"), "'-1=4ways' is not [ID=]SIZE"),
        (("--l3", "0=0ways"), "it can have 1 to 11 ways"),
        (("--l3", "0=12ways"), "it can have 1 to 11 ways"),
        (("--l3", f"0={'9' * 300}ways"), "is not a number with its unit"),
        (("--l3", "4294967295=1ways"), "its L3 caches are 0 and 1"),
        (("--l2", "0=1ways"), "the host has no L2 control"),
        (("--l3data", "0=1ways"), "the host has no L3DATA control"),
        (("--mb", "0=55"), "nearest valid: 50 percent or 60 percent"),
        (("--mb", "0=500MiB/s"), "the host counts percent"),
        (("--mb", "7=50"), "its nodes are 0 and 1"),
        (("--smba", "0=50"), "the host has no SMBA control"),
        (("--smba", "50"), "the host has no SMBA control"),
        (("--l2", "1way"), "the host has no L2 control"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(words: tuple[str, ...], what: str, sim: SimulatedResctrl) -> None:
    before = sim.tree()
    result = run(*words, "--yes")
    assert result.exit_code != 0
    assert what in result.output + str(result.exception)
    assert sim.tree() == before


def test_the_run_directory_is_that_of_the_option(connection: Connection, tmp_path: Path) -> None:
    assert run("--l3", "0=4ways", "--yes").exit_code == 0
    assert (connection.run / "ledger.json").exists()
    assert connection.run.is_relative_to(tmp_path)


@pytest.mark.parametrize("words", [("--l3", "0=4ways"), ("--reset",), ()])
@pytest.mark.parametrize("how", ["--yes", "--dry-run"])
def test_keys_of_the_policy_that_mean_nothing_here_are_warned_of(
    words: tuple[str, ...], how: str, tmp_path: Path
) -> None:
    policy = tmp_path / "host.toml"
    policy.write_text('[default.L2]\nleast = "2ways"\n[default.L3]\nleast = "2ways"\n')
    result = run(*words, how, "--policy", str(policy))
    assert result.exit_code == 0, result.output
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings == [f"warning: {policy}: default.L2.least has no effect, as the host has no such resource"]
