"""The log lines of verbs that run until they are stopped."""

import contextlib
import os
from collections.abc import Mapping

import click

from cachetune.agent.reconcile import Level, Log
from cachetune.text import printable

_PRIORITIES: dict[Level, int] = {"error": 3, "warning": 4, "notice": 5, "info": 6}


def log_to_stderr(environment: Mapping[str, str]) -> Log:
    """Write log lines to stderr, with a priority prefix if stderr is the journal. Source: sd-daemon(3).

    The verb continues if stderr is closed.
    """
    journal = environment.get("JOURNAL_STREAM", "-") == _stream_of_stderr()

    def log(level: Level, text: str) -> None:
        with contextlib.suppress(OSError):
            start = f"<{_PRIORITIES[level]}>" if journal else f"{level}: "
            click.echo(f"{start}{printable(text)}", err=True)

    return log


def _stream_of_stderr() -> str:
    try:
        stderr = os.fstat(2)
    except OSError:
        return ""
    return f"{stderr.st_dev}:{stderr.st_ino}"
