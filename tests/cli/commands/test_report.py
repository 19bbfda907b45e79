"""``cachetune report`` as a user runs it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.apply.state.change_log import Change, ChangedGuest, User, append, line_of
from cachetune.cli.main import command
from cachetune.errors import HistoryError, InputError
from cachetune.sim import write_tree
from cachetune.testing import simulate
from cachetune.watch.history import Recorder
from tests.cli.show.test_history_html import HOSTILE
from tests.watch.moments import NOON, moments

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def wide_and_in_utc(in_utc: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - needed first
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command on a history of ten minutes, with a change after five of them."""
    with Recorder(tmp_path / "history.db") as recorder:
        for moment in moments(600):
            recorder.add(moment)
    for name, at in (("guest-1", 300), (HOSTILE[4], 400), ("guest-1", 5000)):
        append(tmp_path / "changes.jsonl", line_of(change(name, NOON + at)))

    def call(*words: str) -> Result:
        where = ("--db", str(tmp_path / "history.db"), "--run", str(tmp_path), "--resctrl", str(tmp_path / "resctrl"))
        period = () if "--since" in words else ("--since", f"@{NOON:.0f}", "--until", f"@{NOON + 600:.0f}")
        return CliRunner().invoke(command, ["report", *where, *period, *words], catch_exceptions=False)

    return call


def change(name: str, at: float) -> Change:
    return Change(
        time=datetime.fromtimestamp(at, UTC),
        boot_id="",
        run_id="",
        program="set",
        user=User(uid=0),
        resctrl="/sys/fs/resctrl",
        outcome="done",
        guests=(ChangedGuest(name, f"cachetune-{name}"),),
        plan=f"1 group of {name} to change.",
    )


def test_in_a_terminal_it_is_a_table_with_rows_of_columns(run: Run) -> None:
    lines = run().stdout.splitlines()
    assert lines[1] == "2027-01-15 08:00:00 to 2027-01-15 08:09:59 UTC, 600 moments"
    assert lines[3].startswith("L3 cache 0: 12 ways of 3 MiB  ......CCBBAA  free ▅▅▅")
    assert lines[4] == "  A guest-0 (2 ways), B guest-1 (2 ways), C guest-2 (2 ways)"
    (row,) = [line for line in lines if line.startswith("guest-1") and line.split()[1] == "0"]
    assert row.split()[2:7] == ["6", "MiB", "██░░░░░░░░", "21%", "2.99"]
    changes = [line.split() for line in lines if line.startswith("2027-01-15 08:0") and " set " in line]
    assert [(words[1], words[4]) for words in changes] == [
        ("08:05:00", "guest-1"),
        ("08:06:40", r"evil\u202egpj.\x1b[31m\x00\x07"),
    ]


def test_a_narrow_terminal_gets_narrow_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run("--guest", "guest-1").stdout.splitlines()[1:])) <= 80


def test_a_page_has_the_guest_and_its_changes_only(run: Run, tmp_path: Path) -> None:
    done = run("--guest", "guest-1", "-o", str(tmp_path / "page.html"))
    assert done.output == ""
    page = (tmp_path / "page.html").read_text()
    assert "1 group of guest-1 to change." in page
    assert "evil" not in page
    assert page.count("<article") == 1
    assert run("--format", "html").stdout.startswith("<!DOCTYPE html>")
    assert run("--format", "text", "-o", "-").stdout.startswith("Report of ")


def test_a_line_of_the_log_that_is_damaged_is_a_finding(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "changes.jsonl").open("a") as log:
        log.write("<b>no change</b>\n")
    assert f"- {tmp_path}/changes.jsonl:4: not a change: " in run().stdout


def test_what_the_host_says_now_is_among_the_findings(run: Run, tmp_path: Path) -> None:
    write_tree(simulate("skylake-2s"), tmp_path / "resctrl")
    (tmp_path / "ledger.json").write_text("x")
    assert f"- cannot read {tmp_path}/ledger.json: " in run().stdout
    (tmp_path / "resctrl" / "schemata").write_text("L3:0=zz\n")
    assert "- this host cannot be read now: " in run().stdout


def test_it_says_whether_a_guest_takes_from_others(run: Run) -> None:
    lines = run().stdout.splitlines()
    assert "No guest or group takes from others." in lines
    assert "No guest or group takes from others." in run("--guest", "guest-1", "--format", "html").stdout


def test_text_can_be_written_to_a_file(run: Run, tmp_path: Path) -> None:
    assert run("--format", "text", "-o", str(tmp_path / "page.txt")).output == ""
    assert (tmp_path / "page.txt").read_text().startswith("Report of ")


def test_a_period_without_moments_and_a_missing_history_are_errors(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no moment in this period"):
        run("--since", "10min")
    with pytest.raises(InputError, match="--until is before --since"):
        run("--since", "today", "--until", "yesterday")
    with pytest.raises(HistoryError, match="No such file"):
        CliRunner().invoke(command, ["report", "--db", str(tmp_path / "none.db")], catch_exceptions=False)
