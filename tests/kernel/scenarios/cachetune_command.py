"""The command ``cachetune`` as users run it: in a new process, or in this one for many runs."""

import subprocess
import sys

import msgspec
from click.testing import CliRunner

from cachetune.cli.main import command
from cachetune.errors import CachetuneError


class Ran(msgspec.Struct, frozen=True):
    """What one run printed, and its exit code."""

    code: int
    out: str
    err: str


def run(*words: str) -> Ran:
    """Run the command in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "cachetune.cli.main", *words], capture_output=True, text=True, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def run_here(*words: str) -> Ran:
    """In this process, so that what it uses can be replaced; an error that the command would print goes to ``err``."""
    result = CliRunner().invoke(command, list(words))
    if isinstance(result.exception, CachetuneError):
        return Ran(2, result.stdout, f"error: {result.exception}\n")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)
