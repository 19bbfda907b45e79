"""``cachetune log``: what was changed, when and by whom."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from cachetune.apply.state.change_log import SYSTEM_RUN, log_of
from cachetune.cli import options
from cachetune.cli.show.changes import Changes, changes_with_groups, damage_of
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.errors import UnreadableFileError
from cachetune.service.change_log import NamedFile, Wanted, log_files, opened, read_changes
from cachetune.service.moments import parse_moment

_WHEN = "a time as journalctl takes it, such as yesterday, 10min or '2026-11-30 10:00'."


@click.command(
    "log", cls=Verb, exit_codes={0: "shown", 1: "shown, but lines of the log are damaged", 2: "could not run"}
)
@option("--since", metavar="TIME", heading="Which changes", help=f"Changes at or after {_WHEN}")
@option("--until", metavar="TIME", heading="Which changes", help="Changes at or before this time.")
@option("--guest", metavar="NAME|UUID", heading="Which changes", help="Changes to this guest or its groups.")
@option(
    *("-n", "--newest"),
    type=click.IntRange(min=1),
    metavar="N",
    heading="Which changes",
    help="Only the newest N of them.",
)
@option("--groups", is_flag=True, heading="Output", help="Also show each group before and after.")
@options.stack(options.as_json, options.log, options.run)
def command(  # noqa: PLR0913 - the options
    *,
    since: str | None,
    until: str | None,
    guest: str | None,
    newest: int | None,
    groups: bool,
    as_json: bool,
    log: Path | None,
    run: Path,
) -> None:
    """Show what cachetune changed on this host, when and by whom, the newest last.

    Each run of a verb, the agent or the hook that changes resctrl adds a line to the change log, and so does recover.
    Files that logrotate has moved away are read, too. --log - reads standard input.

    \b
    Examples:
      cachetune log --since yesterday
      cachetune log --guest web --groups
      cachetune log -n 1 --json
    """
    now = datetime.now(UTC)
    wanted = Wanted(
        since=parse_moment(since, now) if since else None,
        until=parse_moment(until, now) if until else None,
        guest=guest,
        newest=newest,
    )
    found = read_changes(_files(log, run), wanted)
    if as_json:
        print_document(found)
    elif not found.changes:
        show(["No changes."])
    else:
        show(changes_with_groups(found.changes) if groups else [Changes(found.changes)])
    show_warnings(damage_of(found))
    sys.exit(1 if found.damaged else 0)


def _files(log: Path | None, run: Path) -> Iterator[NamedFile]:
    """The files to read. Without any log, nothing has been changed yet, unless the user named one."""
    if log == Path("-"):
        return iter([("<stdin>", sys.stdin.buffer)])
    path = log or log_of(run, is_system=run == SYSTEM_RUN)
    files = log_files(path)
    if log and not files:
        raise UnreadableFileError(log, "No such file or directory")
    return opened(files)
