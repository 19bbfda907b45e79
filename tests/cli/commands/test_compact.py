"""``cachetune compact`` as an operator runs it: options, messages, exit codes, JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.cli.commands import apply as apply_verb
from cachetune.cli.commands import compact as compact_verb
from cachetune.cli.main import command
from cachetune.errors import InputError
from cachetune.plan import Plan
from cachetune.sim import SimulatedResctrl

EXAMPLES = Path(__file__).parents[3] / "examples"
FRAGMENTED = ("compact", "--dry-run", "--host", str(EXAMPLES / "fragmented.json"))


@pytest.fixture(autouse=True)
def connected(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (compact_verb, apply_verb):
        monkeypatch.setattr(verb, "connect", lambda _: connection)


@pytest.fixture
def fragmented(sim: SimulatedResctrl) -> SimulatedResctrl:
    """Two guests in both caches, with holes of two ways around them."""
    sim.write("schemata", "L3:0=600;1=600\n")
    for name, masks in (("cachetune-db", "0=01c;1=01c"), ("cachetune-mail", "0=180;1=0c0")):
        sim.mkdir(name)
        sim.write(f"{name}/schemata", f"L3:{masks}\n")
    return sim


def run(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def masks(sim: SimulatedResctrl, group: str) -> str:
    return next(line.strip() for line in sim.read(f"{group}/schemata").splitlines() if "L3:" in line)


def test_the_largest_hole_of_each_cache_becomes_as_large_as_it_can(fragmented: SimulatedResctrl) -> None:
    result = run("compact", "--yes")
    assert result.exit_code == 0, result.output
    assert "L3 0-1  largest hole 2 -> 4 ways, 9 MiB" in result.stdout
    assert (masks(fragmented, "cachetune-db"), masks(fragmented, "cachetune-mail")) == (
        "L3:0=007;1=01c",
        "L3:0=180;1=003",
    )
    assert "Done: " in result.stdout
    again = run("compact", "--yes")
    assert again.exit_code == 0
    assert again.stdout.startswith("No changes. There is nothing to move or to remove.\n")


def test_only_the_named_caches_are_compacted(fragmented: SimulatedResctrl) -> None:
    assert run("compact", "--yes", "--cache", "L3:1").exit_code == 0
    assert masks(fragmented, "cachetune-db") == "L3:0=01c;1=01c"
    assert masks(fragmented, "cachetune-mail") == "L3:0=180;1=003"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--cache", "L3:7"), "the host has no L3 cache 7"),
        (("--cache", "L2:0"), "the host has no L2 cache 0"),
        (("--host", str(EXAMPLES / "fragmented.json")), "carried out on this host only"),
    ],
)
def test_a_cache_that_does_not_exist_or_another_host_is_refused(words: tuple[str, ...], what: str) -> None:
    result = run("compact", "--yes", *words)
    assert isinstance(result.exception, InputError)
    assert what in str(result.exception)


def test_a_word_that_is_not_a_cache_is_refused_with_an_example() -> None:
    assert "not a cache, such as L3:0" in run("compact", "--cache", "3").stderr


def test_without_consent_nothing_moves(fragmented: SimulatedResctrl) -> None:
    before = fragmented.tree()
    result = run("compact")
    assert isinstance(result.exception, InputError)
    assert fragmented.tree() == before


def test_a_dry_run_prints_a_plan_that_apply_takes(fragmented: SimulatedResctrl, tmp_path: Path) -> None:
    before = fragmented.tree()
    result = run("compact", "--dry-run", "--json")
    assert result.exit_code == 0
    assert fragmented.tree() == before
    saved = tmp_path / "plan.json"
    saved.write_text(result.stdout)
    assert [(moved["path"], moved["cold_bytes"]) for moved in json.loads(result.stdout)["moved"]] == [
        ("cachetune-db", 2 * 2359296),
        ("cachetune-mail", 2 * 2359296),
    ]
    applied = run("apply", "--yes", str(saved))
    assert applied.exit_code == 0, applied.output
    assert masks(fragmented, "cachetune-db") == "L3:0=007;1=01c"


def test_a_snapshot_can_be_planned_for() -> None:
    plan = documents.decode(run(*FRAGMENTED, "--json").stdout.encode(), Plan, "stdout")
    assert [moved.path for moved in plan.moved] == ["cachetune-db"]


def test_a_group_of_libvirt_moves_only_with_adopt(fragmented: SimulatedResctrl) -> None:
    fragmented.rmdir("cachetune-db")
    fragmented.mkdir("qemu-3-db")
    fragmented.write("qemu-3-db/schemata", "L3:0=01c;1=600\n")
    fragmented.rmdir("cachetune-mail")
    tid = 77
    fragmented.add_task(tid)
    fragmented.write("qemu-3-db/tasks", f"{tid}\n")
    assert "No changes" in run("compact", "--yes").stdout
    result = run("compact", "--yes", "--adopt")
    assert result.exit_code == 0, result.output
    assert masks(fragmented, "qemu-3-db") == "L3:0=007;1=600"
    assert "db: 2 ways move, 4.5 MiB cold" in result.stdout


def test_no_group_moves_into_ways_that_the_policy_reserves(fragmented: SimulatedResctrl, tmp_path: Path) -> None:
    policy = tmp_path / "host.toml"
    policy.write_text('[reserved.L3]\n0 = "0"\n1 = "0-1"\n7 = "0"\n')
    result = run("compact", "--yes", "--policy", str(policy))
    assert result.exit_code == 0, result.output
    assert masks(fragmented, "cachetune-db") == "L3:0=00e;1=01c", "with way 0 it would be 007"
    assert masks(fragmented, "cachetune-mail") == "L3:0=180;1=060", "with ways 0 and 1 it would be 003"
    planned = run(*FRAGMENTED, "--policy", str(policy), "--json")
    (moved,) = json.loads(planned.stdout)["moved"]
    assert (moved["path"], moved["cold_bytes"]) == ("cachetune-db", 2359296)
    for each in (result, planned):
        assert each.stderr.count(f"warning: {policy}: reserved.L3.7 has no effect") == 1
