"""The tutorial, typed in from its first command to its last, prints what it shows.

What counts or has a clock prints other numbers each time; of that, the words are compared. ``UPDATE_GOLDEN=1`` writes
what is printed into the page again.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import waiting
from tests.missing import skip_without

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
EXIT = re.compile(r"  # exit ([0-9])$")
VARYING = re.compile(r"cachetune (sim mount|guests|monitor|noisy|top|log|agent status)\b")
LAB = "/home/you/lab"  # the page's name of the directory
END = re.compile(r"^end of command, exit ([0-9]+)\n", re.MULTILINE)


def typed(text: str, directory: Path) -> list[tuple[str, int]]:
    """What each command of the page printed and how it exited, typed into a shell that sees only its own processes."""
    for name, content in FILE.findall(text):
        (directory / name).write_text(content)
    programs = directory / ".bin"
    programs.mkdir()
    program = programs / "cachetune"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cachetune.cli.main "$@"\n')
    program.chmod(0o755)
    lines = [
        line
        for block in CONSOLE.findall(text)
        for command, _ in COMMAND.findall(block)
        for line in (command, 'echo "end of command, exit $?"')
    ]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    shell = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", "\n".join(lines)]
    done = waiting.run(
        shell,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    parts = END.split(done.stdout.replace(str(directory), LAB))
    return [(output, int(code)) for output, code in zip(parts[::2], parts[1::2], strict=False)]


def comparable(command: str, output: str) -> str:
    """The output without thread ids, and of commands whose numbers vary without any and what depends on their width."""
    if not VARYING.match(command):
        return re.sub(r"^> .*", lambda moves: re.sub("[0-9]+", "N", moves[0]), output, flags=re.MULTILINE)
    words = re.sub(r"[0-9][0-9.:-]*|[█░]+", "N", re.sub(r"[KMG]iB", "MiB", output))
    return re.sub(r"[ \n]+", " ", words)


def with_outputs(text: str, outputs: Iterable[str]) -> str:
    """The page with these outputs of its commands."""
    printed = iter(outputs)

    def filled(block: re.Match[str]) -> str:
        return COMMAND.sub(lambda command: f"$ {command[1]}\n{next(printed)}", block[0])

    return CONSOLE.sub(filled, text)


@pytest.mark.slow
def test_each_command_of_the_tutorial_exits_and_prints_as_shown() -> None:
    if missing := [program for program in ("qemu-system-x86_64", "fusermount3") if not shutil.which(program)]:
        skip_without(f"{missing} is missing")
    text = PAGE.read_text()
    shown = [found for block in CONSOLE.findall(text) for found in COMMAND.findall(block)]
    with tempfile.TemporaryDirectory() as directory:  # a short path, as a reader has
        results = typed(text, Path(directory))
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(with_outputs(text, [output for output, _ in results]))
    assert len(results) == len(shown), results[-1]
    for (command, expected), (output, code) in zip(shown, results, strict=True):
        wanted = EXIT.search(command)
        assert (command, code) == (command, int(wanted[1]) if wanted else 0), output
        assert comparable(command, output) == comparable(command, expected), command
