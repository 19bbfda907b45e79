"""``cachetune recover``: finish or undo an interrupted run."""

from typing import Any

import click

from cachetune.apply.recover import preview, recover
from cachetune.apply.run import Connection
from cachetune.cli import options
from cachetune.cli.changing import EXIT_CODES, confirm, finish, must_ask, talkative
from cachetune.cli.verb import Verb
from cachetune.service.connection import connect
from cachetune.text import printable

_EXIT_CODES = {
    0: EXIT_CODES[0],
    1: "recovered, but unclaimed ways could not be returned",
    2: EXIT_CODES[2],
    3: "something could not be undone",
}


@click.command("recover", cls=Verb, exit_codes=_EXIT_CODES)
@options.stack(options.yes, options.lock_timeout)
@options.stack(options.as_json, options.resctrl, options.sysfs, options.proc, options.run)
def command(*, yes: bool, as_json: bool, **values: Any) -> None:
    """Finish or undo an apply or remove that was interrupted.

    A run that completed all its steps is finished; any other is undone, according to its journal. Then unclaimed
    ways go back to the default group, and groups of guests that have ended are removed. With nothing to recover it does
    only that, so it is safe at every boot or before every apply. Shows what it will do and prompts for confirmation
    on a terminal; without one, pass --yes.

    \b
    Examples:
      cachetune recover
      cachetune recover --yes
    """
    connection = talkative(connect(options.location(values)))
    if must_ask(yes=yes):
        _confirm(connection)
    finish(recover(connection), as_json=as_json)


def _confirm(connection: Connection) -> None:
    """Show what would be done and prompt for confirmation, unless there is nothing to do."""
    intended = preview(connection)
    for line in intended:
        click.echo(printable(line), err=True)
    if intended:
        confirm("Do this?")
