"""``cachetune fit`` as it is called: what it prints where, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from cachetune import documents
from cachetune.cli.main import command
from cachetune.errors import CachetuneError
from cachetune.fleet.model import FleetFit
from cachetune.host.model import Identity
from tests.fleet.domains import caches, guest_xml
from tests.fleet.random_fleet import random_fleet

HOSTS = tuple(random_fleet(40, seed=2))


def run(*arguments: object, columns: int | None = None, **environment: str) -> Result:
    width = {} if columns is None else {"COLUMNS": str(columns)}
    result = CliRunner(env=environment | width).invoke(command, ["fit", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit | CachetuneError), result.exception
    return result


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with a guest, web.xml, and a directory of snapshots, hosts."""
    (tmp_path / "web.xml").write_text(guest_xml("web", caches("0=4MiB")))
    (tmp_path / "hosts").mkdir()
    for host in HOSTS:
        assert host.identity
        (tmp_path / "hosts" / f"{host.identity.hostname}.json").write_bytes(documents.encode(host))
    return tmp_path


def test_the_text_has_the_best_hosts_and_the_document_all_of_them_in_the_same_order(site: Path) -> None:
    files = (site / "web.xml", site / "hosts", "--stale-after", "99y", "--round", "up")
    text, document = run(*files, "--best", 3), run(*files, "--json")
    found = documents.decode(document.stdout.encode(), FleetFit, "stdout")
    (guest,) = found.guests
    assert len(guest.hosts) == len(HOSTS)
    listed = [line.split()[0] for line in text.stdout.splitlines() if line.startswith("node-")]
    assert listed == [fit.host for fit in guest.hosts[:3]]
    able = sum(fit.answer != "refused" for fit in guest.hosts)
    assert f"{able - 3} more hosts can take it or could; --all lists them." in text.stdout
    assert document.exit_code == text.exit_code == 0


def test_all_lists_every_host_and_the_rule_of_each_that_refuses(site: Path) -> None:
    text = run(site / "web.xml", site / "hosts", "--stale-after", "99y", "--all").stdout
    for host in HOSTS:
        assert host.identity
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [host.identity.hostname]]
        assert "L3" in line or "CT2" in line


def test_refusals_of_many_hosts_are_grouped_by_rule(site: Path) -> None:
    options = (site / "web.xml", site / "hosts", "--stale-after", "99y")
    document = json.loads(run(*options, "--json").stdout)
    refused = [fit for fit in document["guests"][0]["hosts"] if fit["answer"] == "refused"]
    rules = [next(f["rule"] for f in fit["findings"] if f["severity"] == "error") for fit in refused]
    text = run(*options).stdout
    assert f"Does not fit on {len(refused)} hosts:" in text
    for rule in set(rules):
        (line,) = [line for line in text.splitlines() if line.split()[1:2] == [rule]]
        assert int(line.split()[0]) == rules.count(rule)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_the_terminal(site: Path, columns: int) -> None:
    text = run(site / "web.xml", site / "hosts", "--stale-after", "99y", columns=columns).stdout
    assert max(map(len, text.splitlines())) <= columns


def test_on_a_narrow_terminal_what_has_to_be_done_is_below_the_host(site: Path) -> None:
    files = (site / "web.xml", "sim:skylake-2s", "--round", "up")
    wide, narrow = (run(*files, columns=columns).stdout for columns in (120, 60))
    done = "with --shrink-default: 4 MiB is 2 ways (4.5 MiB); default"
    assert done in next(line for line in wide.splitlines() if line.startswith("sim:"))
    assert f"\n  {done}\n" in narrow


def test_the_masks_are_those_of_plan_on_the_snapshot(site: Path) -> None:
    options = ("--shrink-default", "--compact", "--round", "up", "--json")
    document = json.loads(run(site / "web.xml", site / "hosts", "--stale-after", "99y", *options).stdout)
    fit = document["guests"][0]["hosts"][0]
    (snapshot,) = [host["file"] for host in document["hosts"] if host["host"] == fit["host"]]
    arguments = ["plan", "--host", snapshot, *options, str(site / "web.xml")]
    planned = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert fit["answer"] == "fits"
    assert fit["caches"]
    for cache in fit["caches"]:
        masks = {g["path"]: g["schemata"][cache["resource"]][str(cache["id"])] for g in planned["groups"]}
        assert cache["masks"] == masks


def test_in_the_locale_c_the_text_is_ascii_and_the_same(site: Path) -> None:
    files = (site / "web.xml", site / "hosts", "--stale-after", "99y")
    text = run(*files, LC_ALL="C").stdout
    assert text.isascii()
    assert text == run(*files).stdout


def test_stale_and_older_snapshots_are_warnings(site: Path) -> None:
    result = run(site / "web.xml", site / "hosts", "--stale-after", "1s")
    assert f"warning: {len(HOSTS)} snapshots of {len(HOSTS)} may be out of date: node-" in result.stderr
    old = replace(HOSTS[0], identity=Identity(hostname="node-0", taken=1.0))
    (site / "hosts" / "again.json").write_bytes(documents.encode(old))
    result = run(site / "web.xml", site / "hosts", "--stale-after", "99y")
    assert "1 older snapshot of the same hosts not used:" in result.stderr
    assert "again.json" in result.stderr


def test_unusable_files_are_named_with_the_reason_and_the_rest_is_answered(site: Path) -> None:
    (site / "hosts" / "broken.json").write_text("{")
    (site / "bad.xml").write_text(guest_xml("bad", caches("0=2ways").replace("level", "levl")))
    result = run(site / "web.xml", site / "bad.xml", site / "hosts", "--stale-after", "99y")
    assert result.exit_code == 2
    assert "bad.xml:1:" in result.stderr
    assert "[CT003]" in result.stderr
    assert f"error: {site}/hosts/broken.json: not valid" in result.stderr
    assert "web: fits on" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no guest to find a host for"),
        (["sim:milan"], "no guest to find a host for"),
        (["WEB"], "no host to ask"),
        (["WEB", "sim:milan", "--stale-after", "soon"], "'soon' is not a span of time"),
        (["WEB", "sim:milan", "--best", "0"], "0 is not in the range"),
        (["WEB", "sim:milan", "--policy", "/nonexistent"], "/nonexistent"),
    ],
)
def test_what_cannot_run_says_why(site: Path, arguments: list[str], message: str) -> None:
    result = run(*(str(site / "web.xml") if each == "WEB" else each for each in arguments))
    assert message in f"{result.stderr}{result.exception}"
    assert not result.stdout
    if isinstance(result.exception, CachetuneError):  # main() prints it and exits with its code
        assert result.exception.exit_code == 2
    else:
        assert result.exit_code == 2


def test_hostile_names_are_printed_as_text(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J\n.xml").write_text("<cputune>" + caches("0=2ways") + "</cputune>")
    hostile = replace(HOSTS[0], identity=Identity(hostname="\x1b]0;x\x07\n", taken=1.0))
    (tmp_path / "n.json").write_bytes(documents.encode(hostile))
    (tmp_path / "\x1b[31m.json").write_text("{")
    result = run(tmp_path / "\x1b[2J\n.xml", tmp_path, "--all")
    assert "\x1b" not in result.stdout + result.stderr
    assert "\x07" not in result.stdout + result.stderr
    assert "\\x1b]0;x\\x07\\n" in result.stdout + result.stderr


def test_the_policy_that_is_given_holds_on_every_host(tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(guest_xml("web", caches("0=3ways")))
    policy = tmp_path / "host.toml"
    policy.write_text('[default.L3]\nleast = "9 ways"\n')
    options = (tmp_path / "web.xml", "sim:skylake-2s", "--shrink-default")
    assert run(*options).exit_code == 0
    refused = run(*options, "--policy", policy)
    assert (refused.exit_code, "CT237" in refused.stdout) == (1, True)


def test_together_each_guest_is_planned_after_those_before_it(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.xml" for name in ("web", "db")]
    for file in files:
        file.write_text(guest_xml(file.stem, caches("0=6ways")))
    alone = run(*files, "sim:skylake-2s", "--shrink-default", "--json")
    together = run(*reversed(files), "sim:skylake-2s", "--shrink-default", "--together", "--json")
    assert (alone.exit_code, together.exit_code) == (0, 1)
    answers = [
        (each.guest, each.hosts[0].answer)
        for each in documents.decode(together.stdout.encode(), FleetFit, "fit").guests
    ]
    assert answers == [("db", "fits"), ("web", "refused")]
    assert "--together cannot be given with --assign" in str(run(*files, "--together", "--assign").exception)
