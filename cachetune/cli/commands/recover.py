"""``cachetune recover``: finish or undo what an interrupted run left."""

from pathlib import Path

import click

from cachetune.apply.recover import recover
from cachetune.cli import options
from cachetune.cli.commands.apply import finish
from cachetune.service.connection import connect


@click.command("recover")
@options.lock_timeout
@options.as_json
@options.stack(options.resctrl, options.sysfs, options.proc, options.run)
def command(*, lock_timeout: float, as_json: bool, resctrl: Path, sysfs: Path, proc: Path, run: Path) -> None:
    """Finish or undo what an interrupted apply or remove left.

    A run that had done all its steps is finished, any other is undone, guided by its journal. With nothing left over
    nothing is done, so this can run at every boot or before every apply. Exit codes as for apply.

    \b
    Example:
      cachetune recover
    """
    finish(recover(connect(resctrl, run, sysfs, proc, lock_timeout)), as_json=as_json)
