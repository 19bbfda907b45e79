"""Standard streams that are closed or full, and usage errors, as main() shows them."""

import errno
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.apply.report import Report
from cachetune.cli.changing import finish
from cachetune.cli.main import main

Captured = pytest.CaptureFixture[str]


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text: str, /) -> int:  # noqa: ARG002
        raise OSError(errno.ENOSPC, "No space left on device")


class Unread(io.StringIO):
    """A pipe whose reader has ended."""

    def write(self, text: str, /) -> int:  # noqa: ARG002
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def code_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    """The exit code of a command line."""
    monkeypatch.setattr("sys.argv", ["cachetune", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.mark.parametrize("words", [(), ("sim",), ("convert",)])
def test_without_arguments_a_group_of_verbs_shows_its_help(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    code_of(monkeypatch, *words)
    shown = "".join(capsys.readouterr())
    assert re.match(r"Usage: cachetune .*\n\n  [A-Z]", shown)
    assert "\nCommands:\n" in shown
    assert "\\n" not in shown
    assert "error:" not in shown


def test_the_choices_of_a_missing_argument_are_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert code_of(monkeypatch, "completion") == 2
    assert "error: Missing argument 'SHELL'. Choose from: bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("show", "--host", "sim:milan"), ("show", "--json", "--host", "sim:milan")])
def test_closed_streams_are_no_reason_to_fail(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    code = code_of(monkeypatch, *words)
    for opened in (sys.stdin, sys.stdout, sys.stderr):
        opened.close()
    assert code == 0


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("stdout", "said"),
    [(Full, "warning: the report could not be printed: No space left on device\n"), (Unread, "")],
)
def test_a_report_that_cannot_be_printed_does_not_change_the_exit_code(
    stdout: type[io.StringIO], said: str, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    report = Report(outcome="rollback incomplete", machine_names=("web",), error="cannot mkdir g: ENOSPC")
    monkeypatch.setattr(sys, "stdout", stdout())
    with pytest.raises(SystemExit) as caught:
        finish(report, as_json=as_json)
    assert caught.value.code == 3
    assert capsys.readouterr().err.endswith(said)
    assert ("warning" in said) == (stdout is Full)
    with sys.stdout as opened:
        print("the interpreter flushes stdout at exit", file=opened, flush=True)


@pytest.mark.parametrize("words", [("show", "--host", "sim:milan"), ("schema", "plan"), ("--help",)])
def test_a_full_disk_behind_stdout_is_named(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cachetune", *words], check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")
