"""``cachetune fit --assign`` as it is called: what it prints where, its exit codes, and what a signal does."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from cachetune import documents
from cachetune.cli.main import command
from cachetune.errors import CachetuneError
from cachetune.fleet.assign.model import FleetAssignment
from cachetune.host.model import Identity
from tests.fleet.assign.instances import mixed_tuning, simulated
from tests.fleet.domains import caches, guest_xml
from tests.fleet.random_fleet import random_fleet

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how-to/assign.md"


def run(*arguments: object, columns: int | None = None, **environment: str) -> Result:
    width = {} if columns is None else {"COLUMNS": str(columns)}
    words = ["fit", "--assign", "--stale-after", "99y", *map(str, arguments)]
    result = CliRunner(env=environment | width).invoke(command, words)
    assert result.exception is None or isinstance(result.exception, SystemExit | CachetuneError), result.exception
    return result


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four guests, and two hosts that are called node-a and node-b."""
    for name, ways in {"web": 3, "db": 5, "cache": 4, "large": 10}.items():
        (tmp_path / f"{name}.xml").write_text(guest_xml(name, caches(f"0={ways}ways")))
    (tmp_path / "hosts").mkdir()
    for name in ("node-a", "node-b"):
        host = replace(simulated(), identity=Identity(hostname=name, taken=1.0))
        (tmp_path / "hosts" / f"{name}.json").write_bytes(documents.encode(host))
    monkeypatch.chdir(tmp_path)
    return tmp_path


THREE = ("--shrink-default", "web.xml", "db.xml", "cache.xml", "hosts")


@pytest.mark.usefixtures("site")
def test_the_text_and_the_document_say_the_same() -> None:
    text, document = run(*THREE), run(*THREE, "--json")
    found = documents.decode(document.stdout.encode(), FleetAssignment, "stdout")
    assert (text.exit_code, document.exit_code) == (0, 0)
    assert "3 guests placed on 2 of 2 hosts\nNo assignment needs fewer hosts." in text.stdout
    assert (found.placed, found.placed_at_most, found.hosts_used, found.hosts_at_least) == (3, 3, 2, 2)
    assert found.optimal
    for guest in found.guests:
        assert re.search(rf"^{guest.guest} +{guest.host} +{guest.file}$", text.stdout, re.MULTILINE)
    for host in found.hosts:
        assert re.search(rf"^{host.host} +{', '.join(host.guests)} ", text.stdout, re.MULTILINE)


@pytest.mark.usefixtures("site")
def test_guests_without_a_host_are_listed_with_the_rules_and_the_exit_code_is_1() -> None:
    result = run(*THREE, "large.xml")
    assert result.exit_code == 1
    assert "3 of 4 guests placed" in result.stdout
    assert "Without a host, beside the guests above:" in result.stdout
    assert re.search(r"^large +2 +CT207 +node-a: no room for ", result.stdout, re.MULTILINE)


@pytest.mark.usefixtures("site")
def test_without_time_the_page_says_that_there_may_be_a_better_assignment() -> None:
    text = run(*THREE, "large.xml", "--budget", "0").stdout
    assert "The best found; there may be a better one. The search ended because 0 s were over" in text


@pytest.mark.usefixtures("site")
def test_the_variables_are_what_the_text_says() -> None:
    result = run(*THREE, "--vars", "fleet.yml")
    loaded = yaml.safe_load(Path("fleet.yml").read_text())
    for name, each in loaded["cachetune_assignment"].items():
        assert re.search(rf"^{name} +{each['host']} +{each['domain']}$", result.stdout, re.MULTILINE)
    assert run(*THREE, "--vars", "-").stdout == Path("fleet.yml").read_text()
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("site")
def test_a_name_that_is_a_template_writes_no_file() -> None:
    Path("bad.xml").write_text(guest_xml("{{ 7*7 }}web", caches("0=2ways")))
    result = run("--shrink-default", "bad.xml", "hosts", "--vars", "fleet.yml")
    assert isinstance(result.exception, CachetuneError)
    assert "a template for Ansible" in str(result.exception)
    assert not Path("fleet.yml").exists()


@pytest.mark.usefixtures("site")
def test_without_ortools_it_is_greedy_and_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    result = run(*THREE)
    assert result.exit_code == 0
    assert "A greedy assignment: there may be one" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if "ortools" in line]
    assert line.startswith("warning: the assignment is greedy and may not be the best: the exact assignment requires")
    assert "run: " in line


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.usefixtures("site")
def test_the_page_fits_the_terminal(columns: int) -> None:
    text = run(*THREE, "large.xml", columns=columns).stdout
    assert max(map(len, text.splitlines())) <= columns
    assert run(*THREE, LC_ALL="C").stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--assign", "sim:milan"], "no guest to find a host for"),
        (["--assign", "web.xml"], "no host to ask"),
        (["--assign", "web.xml", "hosts", "--budget", "-1"], "is not in the range"),
        (["--assign", "web.xml", "hosts", "--node-bandwidth", "50%"], "'50%' is not a rate"),
        (["--assign", "web.xml", "hosts", "--node-bandwidth", "many"], "'many' is not a number"),
        (["--assign", "web.xml", "hosts", "--all"], "--all cannot be given with --assign"),
        (["--assign", "--from", "sim:milan", "web.xml", "hosts"], "--assign cannot be given with --from"),
        (["--vars", "x.yml", "web.xml", "hosts"], "--vars can only be given with --assign"),
        (["--overcommit-bandwidth", "web.xml", "hosts"], "--overcommit-bandwidth can only be given with --assign"),
        (["--assign", "web.xml", "hosts", "--vars", "/nonexistent/x.yml"], "/nonexistent/x.yml"),
    ],
)
@pytest.mark.usefixtures("site")
def test_what_cannot_run_says_why(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, ["fit", "--stale-after", "99y", *arguments])
    assert message in f"{result.stderr}{result.exception}"
    code = result.exception.exit_code if isinstance(result.exception, CachetuneError) else result.exit_code
    assert code == 2


@pytest.mark.usefixtures("site")
def test_a_file_that_cannot_be_used_is_named_and_the_rest_is_assigned() -> None:
    Path("hosts/broken.json").write_text("{")
    result = run(*THREE)
    assert result.exit_code == 2
    assert "hosts/broken.json" in result.stderr
    assert "3 of 3 guests placed" in result.stdout


def test_hostile_names_are_printed_as_text(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J\n.xml").write_text("<cputune>" + caches("0=2ways") + "</cputune>")
    hostile = replace(simulated(), identity=Identity(hostname="\x1b]0;x\x07\n", taken=1.0))
    (tmp_path / "n.json").write_bytes(documents.encode(hostile))
    result = run("--shrink-default", tmp_path / "\x1b[2J\n.xml", tmp_path)
    assert "\x1b" not in result.stdout + result.stderr
    assert "\\x1b]0;x\\x07\\n" in result.stdout


def test_the_page_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```console\n\$ (.*?)\n```\n\n```(?:text|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for line, shown in blocks:
        words = line.partition("  #")[0].split()
        assert CliRunner().invoke(command, words[1:]).stdout == shown


@pytest.mark.slow
def test_on_a_terminal_a_bar_shows_the_bounds_and_ctrl_c_ends_with_the_best_so_far(tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    for host in random_fleet(60, 3):
        assert host.identity
        (tmp_path / "hosts" / f"{host.identity.hostname}.json").write_bytes(documents.encode(host))
    for number, tuning in enumerate(mixed_tuning(160, 3)):
        (tmp_path / f"g{number}.xml").write_text(guest_xml(f"g{number}", tuning))
    ours, theirs = pty.openpty()
    words = [
        "fit",
        "--assign",
        "--shrink-default",
        "--json",
        "--budget",
        "3000",
        *sorted(map(str, tmp_path.glob("g*.xml"))),
    ]
    with (
        (tmp_path / "out").open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "cachetune", *words, str(tmp_path / "hosts")],
            stdout=out,
            stderr=theirs,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        ) as process,
    ):
        os.close(theirs)
        shown = ""
        while not re.search(r"Placing guests.*of at most|Saving hosts.*at least", shown):
            shown += os.read(ours, 4096).decode("utf-8", "replace")
        process.send_signal(signal.SIGINT)
        drain(ours)
    found = documents.decode((tmp_path / "out").read_bytes(), FleetAssignment, "stdout")
    assert found.stopped
    assert found.placed > 0
    assert process.returncode == found.exit_code == 1


def drain(terminal: int) -> None:
    """Read until the other side is closed, so that no writer waits."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # how Linux reports the end
        os.close(terminal)
