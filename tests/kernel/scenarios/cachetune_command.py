"""The command ``cachetune`` as a user has it: in a process of its own, or in this one where many runs are wanted."""

import subprocess
import sys

import msgspec
from click.testing import CliRunner

from cachetune.cli.main import command


class Ran(msgspec.Struct, frozen=True):
    """What one run printed, and its exit code."""

    code: int
    out: str
    err: str


def run(*words: str) -> Ran:
    """A process of its own."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "cachetune.cli.main", *words], capture_output=True, text=True, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def run_here(*words: str) -> Ran:
    """In this process, so that what it uses can be replaced. Anything but an exit is raised."""
    result = CliRunner().invoke(command, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)
