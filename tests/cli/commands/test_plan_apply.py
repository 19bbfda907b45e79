"""The verbs that plan and apply, as a user runs them: exit codes, stdout and stderr, JSON, saved plans."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import Connection
from cachetune.cli.commands import apply as apply_verb
from cachetune.cli.commands import recover as recover_verb
from cachetune.cli.commands import remove as remove_verb
from cachetune.cli.main import command, main
from cachetune.errors import CachetuneError
from cachetune.plan import Plan
from cachetune.service.hosts import HostReading
from cachetune.sim import SimulatedResctrl
from tests.samples import TIDS, host_with_guest

XML = """<domain type='kvm'>
  <name>web</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='6912' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
  </cputune>
</domain>
"""
ROOT = Path(__file__).parents[3]
SIM = ("--host", "sim:skylake-2s")
THREADS = ("--vcpu", f"0={TIDS[0]}", "--vcpu", f"1={TIDS[1]}")
Run = Callable[..., Result]


@pytest.fixture
def guest(tmp_path: Path) -> str:
    file = tmp_path / "web.xml"
    file.write_text(XML)
    return str(file)


@pytest.fixture
def run() -> Run:
    def call(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(command, words, input=stdin, catch_exceptions=True)

    return call


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedResctrl:
    """A simulated host in place of /sys/fs/resctrl for the verbs that write."""
    made = host_with_guest("skylake-2s")

    def connection(*_: object) -> Connection:
        return Connection(made, tmp_path / "run")

    for verb in (apply_verb, remove_verb, recover_verb):
        monkeypatch.setattr(verb, "connect", connection)
    ledger = _ledger(tmp_path)
    monkeypatch.setattr(
        "cachetune.service.plans.read_for_planning", lambda _: HostReading(connection().look(ledger), ledger)
    )
    monkeypatch.setattr("cachetune.service.requests.named_threads", _named)
    return made


def test_a_plan_that_does_not_fit_exits_1_and_points_into_the_xml(run: Run, guest: str) -> None:
    result = run("plan", *SIM, guest)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{guest}:6:" in result.stderr
    assert "[CT207]" in result.stderr


def test_a_refusal_in_json_is_a_document_with_findings(run: Run, guest: str) -> None:
    result = run("plan", "--json", *SIM, guest)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    assert [f["rule"] for f in document["findings"]][-1] == "CT207"


def test_a_plan_in_json_has_the_documented_form(run: Run, guest: str) -> None:
    result = run("plan", "--json", "--shrink-default", *SIM, *THREADS, guest)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["guests"][0]["machine_name"] == "cachetune-web"
    assert document["groups"][0]["schemata"] == {"L3": {"0": "7", "1": "7ff"}}
    assert document["groups"][0]["kind"] == "control"
    kinds = [step["kind"] for step in document["steps"]]
    assert kinds == ["write_schemata", "create_group", "write_schemata", "create_group", "move_tasks", "move_tasks"]
    assert document["steps"][2]["after"] == "L3:0=007;1=7ff\n"
    assert document["steps"][4]["from"] == "."
    assert documents.decode(result.stdout.encode(), Plan, "plan")


def test_a_printed_plan_ends_with_a_summary(run: Run, guest: str) -> None:
    result = run("plan", "--shrink-default", *SIM, *THREADS, guest)
    assert result.exit_code == 0
    assert result.stdout.strip().splitlines()[-1] == (
        "1 control group and 1 monitor group to create, 1 group to change, 2 tasks to move. "
        "2 of 8 CLOSIDs and 3 of 144 RMIDs used afterwards."
    )
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_a_terminal_gets_colors_unless_no_color_is_set(guest: str, no_color: str, colored: bool) -> None:
    words = [sys.executable, "-m", "cachetune.cli.main", "plan", "--shrink-default", *SIM, guest]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    subprocess.run(words, env=environment, stdout=theirs, stderr=subprocess.DEVNULL, check=True)
    os.close(theirs)
    assert (b"\x1b[32m+ cachetune-web" in os.read(ours, 65536)) is colored
    os.close(ours)


def test_xml_can_be_read_from_stdin(run: Run) -> None:
    result = run("plan", "--json", "--shrink-default", *SIM, "-", stdin=XML)
    assert json.loads(result.stdout)["guests"][0]["name"] == "web"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "--host", "sim:nowhere", "FILE"), 2),
        (("plan", "--host", "sim:skylake-2s", "missing.xml"), 2),
        (("plan", "--pid", "1", "--vcpu", "0=1", "--host", "sim:skylake-2s", "FILE"), 2),
        (("plan", "--vcpu", "0=x", "FILE"), 2),
        (("plan", "--machine-name", "../etc", "--host", "sim:skylake-2s", "FILE"), 2),
        (("diff", "--host", "sim:skylake-2s", "FILE"), 2),
        (("diff", "--host", "sim:skylake-2s", "--shrink-default", "FILE"), 1),
        (("apply", "--resctrl", "/nowhere", "FILE"), 2),
        (("remove",), 2),
        (("remove", "FILE", "--machine-name", "x"), 2),
    ],
)
def test_each_failure_has_its_exit_code_and_a_message(
    guest: str,
    words: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["cachetune", *(guest if w == "FILE" else w for w in words)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    out, err = capsys.readouterr()
    assert err or out.startswith("~"), "diff prints its changes, everything else a message"
    assert "Traceback" not in err


def test_a_saved_plan_is_applied_as_it_was_saved(run: Run, guest: str, sim: SimulatedResctrl, tmp_path: Path) -> None:
    saved = str(tmp_path / "plan.json")
    assert run("plan", "--shrink-default", *THREADS, "-o", saved, guest).exit_code == 0
    before = sim.tree()
    result = run("apply", "--yes", saved)
    assert result.exit_code == 0, result.output
    assert "Done: 6 steps, each read back." in result.stdout
    assert sim.read("cachetune-web-vcpus_0-1/tasks").split() == [str(t) for t in TIDS[:2]]
    assert run("diff", *THREADS, guest).exit_code == 0
    removed = run("remove", "--yes", guest)
    assert removed.exit_code == 0
    assert sim.tree() == before


def test_apply_takes_xml_and_reports_in_json(run: Run, guest: str, sim: SimulatedResctrl) -> None:
    result = run("apply", "--yes", "--json", "--shrink-default", *THREADS, guest)
    report = documents.decode(result.stdout.encode(), Report, "report")
    assert (result.exit_code, report.outcome, len(report.done)) == (0, "done", 6)
    again = run("apply", "--yes", "--json", *THREADS, guest)
    assert (again.exit_code, json.loads(again.stdout)["outcome"]) == (0, "nothing to do")
    assert sim.exists("cachetune-web-vcpus_0-1")


def test_a_failed_apply_exits_1_and_lists_what_was_undone(run: Run, guest: str, sim: SimulatedResctrl) -> None:
    before = sim.tree()
    sim.fail(28, operation="mkdir", kernel_says="Out of CLOSIDs")
    result = run("apply", "--yes", "--shrink-default", *THREADS, guest)
    assert result.exit_code == 1
    assert "Out of CLOSIDs" in result.stderr
    assert "undone: write L3:0=7f8 to the default group" in result.stderr
    assert "rolled back" in result.stdout
    assert sim.tree() == before


def test_an_incomplete_rollback_exits_3_and_recover_finishes_it(run: Run, guest: str, sim: SimulatedResctrl) -> None:
    before = sim.tree()
    sim.fail(5, operation="write", path="cachetune-web-vcpus_0-1/schemata")
    sim.fail(5, operation="rmdir", times=2)
    result = run("apply", "--yes", "--shrink-default", *THREADS, guest)
    assert result.exit_code == 3
    assert "recover" in result.stdout
    refused = run("apply", "--yes", "--shrink-default", *THREADS, guest)
    assert "CT503" in str(refused.exception)
    assert run("recover", "--yes").exit_code == 0
    assert sim.tree() == before
    assert run("recover", "--yes").stdout.strip() == "Nothing to do."


def test_a_saved_plan_takes_no_other_options(run: Run, guest: str, sim: SimulatedResctrl, tmp_path: Path) -> None:
    saved = str(tmp_path / "plan.json")
    run("plan", "--shrink-default", "-o", saved, guest)
    assert "already names its guests and options" in str(run("apply", "--yes", "--shrink-default", saved).exception)
    assert not sim.operations


def test_a_plan_of_another_schema_version_is_refused(run: Run, sim: SimulatedResctrl, tmp_path: Path) -> None:
    edited = tmp_path / "plan.json"
    edited.write_text('{"schema_version": 2}')
    assert "plan.json is not valid" in str(run("apply", "--yes", str(edited)).exception)
    assert not sim.operations


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"0": "7"', '"0": "zz"'),
        ('"0": "7"', '"0": -1.5'),
        ('"0": "600"', '"0": "zz"'),
        ('"ways": 11', '"ways": 30000000'),
        ('"ways": 11', '"ways": 0'),
        ('"vcpus": "0-1"', '"vcpus": "abc"'),
        ('"vcpus": "0-1"', '"vcpus": "9-1"'),
        ('"vcpus": "0-1"', '"vcpus": "99999"'),
        (str(TIDS[0]), "-1"),
        (str(TIDS[0]), "0"),
        (str(TIDS[0]), "99999999999"),
        ('"kind": "create_group"', '"kind": "shell"'),
        ('"schema_version": 1', '"schema_version": 2'),
        ('"after": "L3:0=7f8\\n"', '"after": "L3:0=zz\\n"'),
        ('"after": "L3:0=7f8\\n"', '"after": ""'),
        ('"machine_name": "cachetune-web"', '"machine_name": "../../etc"'),
    ],
)
def test_an_edited_plan_is_refused_and_nothing_is_written(
    run: Run, guest: str, sim: SimulatedResctrl, tmp_path: Path, old: str, new: str
) -> None:
    saved = tmp_path / "plan.json"
    run("plan", "--shrink-default", *THREADS, "-o", str(saved), guest)
    text = saved.read_text()
    assert old in text
    saved.write_text(text.replace(old, new))
    result = run("apply", "--yes", str(saved))
    assert isinstance(result.exception, CachetuneError), result.exception
    assert not sim.operations


@pytest.mark.parametrize("data", [b"{" * 100_000, b"{}", b'{"a":', b"[1]", b"\xff{", b'{"schema_version":1}'])
def test_a_file_that_is_not_a_plan_is_refused_and_nothing_is_written(
    run: Run, sim: SimulatedResctrl, tmp_path: Path, data: bytes
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(data)
    result = run("apply", "--yes", str(file))
    assert isinstance(result.exception, CachetuneError), result.exception
    assert not sim.operations


def test_the_demo_ends_with_a_frame_of_the_live_view(run: Run) -> None:
    lines = run("demo").stdout.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("cachetune top"))
    assert lines[begin + 2] == "L3 0 ddddddddAAA   L3 1 dddddddddAA"
    (web,) = (line.split() for line in lines[begin:] if "▾ web" in line)
    assert float(web[web.index("web") + 4]) > 1  # MiB/s
    assert lines[-3].split()[1:3] == ["L3", "1"]
    assert lines[-1] == "Ways: letter = row"


def test_the_demo_shows_the_ways_before_and_after(run: Run) -> None:
    result = run("demo")
    assert result.exit_code == 0
    tail = result.stdout[result.stdout.index("The ways before and after") :]
    assert "ddddddddddd  ->  ddddddddAAA" in tail
    assert "A  cachetune-web-vcpus_0-1" in tail


def _ledger(tmp_path: Path) -> object:
    from cachetune.apply.state.ledger import load_ledger

    return load_ledger(tmp_path / "run")


def _named(threads: dict[int, int], _: object) -> object:
    from cachetune.guests.model import Guest, Thread

    return Guest(None, tuple(Thread(tid, 0, "", vcpu) for vcpu, tid in threads.items()))
