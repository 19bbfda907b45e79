"""``cachetune recover``: finish or undo an interrupted run."""

from typing import Any

import click

from cachetune.apply.recover import recover
from cachetune.cli import options
from cachetune.cli.changing import EXIT_CODES, finish
from cachetune.cli.verb import Verb
from cachetune.service.connection import connect

_EXIT_CODES = {
    0: EXIT_CODES[0],
    1: "recovered, but unclaimed ways could not be returned",
    2: EXIT_CODES[2],
    3: "something could not be undone",
}


@click.command("recover", cls=Verb, exit_codes=_EXIT_CODES)
@options.stack(options.as_json, options.lock_timeout, options.resctrl, options.sysfs, options.proc, options.run)
def command(*, as_json: bool, **values: Any) -> None:
    """Finish or undo an apply or remove that was interrupted.

    A run that completed all its steps is finished; any other is undone, according to its journal. Then unclaimed
    ways go back to the default group, and groups of guests that have ended are removed. With nothing to recover it does
    only that, so it is safe at every boot or before every apply.

    \b
    Example:
      cachetune recover
    """
    finish(recover(connect(options.location(values))), as_json=as_json)
