"""``monitor --interval`` as a process that is stopped: whole lines, no traceback, and the documented exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import waiting

ROOT = Path(__file__).parents[3]
PROGRAM = (sys.executable, "-m", "cachetune.cli.main", "monitor", "--host", "sim:skylake-2s")


@contextmanager
def monitoring(*words: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, *words], text=True, env=environment, **pipes) as process:  # type: ignore[call-overload]
        yield process


@pytest.mark.parametrize(
    ("number", "words", "code"),
    [(signal.SIGINT, (), 0), (signal.SIGTERM, (), 0), (signal.SIGTERM, ("--count", "100000"), 2)],
)
def test_a_signal_ends_it_after_a_whole_line(number: signal.Signals, words: tuple[str, ...], code: int) -> None:
    with monitoring("--interval", "0.002", "--force", "--json", *words) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        rest, errors = waiting.finish(process)
    assert (process.returncode, errors) == (code, "")
    for line in (*lines, *rest.splitlines(keepends=True)):
        assert line.endswith("}\n")
        assert json.loads(line)["source"] == "sim:skylake-2s"


@pytest.mark.parametrize("words", [(), ("--json",), ("--csv", "--count", "100000")])
def test_the_end_of_its_reader_ends_it_in_silence(words: tuple[str, ...]) -> None:
    with monitoring("--interval", "0.002", "--force", *words) as process:
        assert process.stdout
        for _ in range(3):
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        assert (process.stderr.read(), process.wait()) == ("", -signal.SIGPIPE)


def test_the_end_of_its_reader_ends_it_before_the_next_reading() -> None:
    with monitoring("--interval", "86400", "--csv") as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Time,")
        process.stdout.close()
        assert process.wait() == -signal.SIGPIPE


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*PROGRAM, "--interval", "0.1", "--count", "1"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "error: input/output error: No space left on device\n")
