"""What ``install`` and ``uninstall`` did with each file, and the commands to run next."""

import click

from cachetune.cli.show.findings import show_warnings
from cachetune.install import FileChange, Installation
from cachetune.text import printable

_DONE = {
    "create": "created",
    "update": "updated",
    "replace": "replaced",
    "remove": "removed",
    "keep": "kept",
    "none": "unchanged",
}
_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def show_installation(done: Installation) -> None:
    """Print a line for each file, with a diff in a dry run, and the next commands; warnings go to stderr."""
    show_warnings(done.warnings)
    for each in done.files:
        click.echo(_line(each, dry_run=done.dry_run, force=done.verb == "install"))
        if done.dry_run and each.diff:
            _show_diff(each.diff)
    if not done.files:
        click.echo("nothing is installed")
    if done.next and not done.dry_run:
        click.echo("Next:")
        for command in done.next:
            click.echo(f"    {printable(command)}")


def _line(change: FileChange, *, dry_run: bool, force: bool) -> str:
    word = f"would {change.action}" if dry_run and change.action != "none" else _DONE[change.action]
    reason = change.reason
    if change.action == "keep" and change.part != "options" and force:
        reason += "; --force replaces it, --dry-run shows the difference"
    return printable(f"{word} {change.path}" + (f": {reason}" if reason else ""))


def _show_diff(diff: str) -> None:
    for line in diff.splitlines():
        click.echo(click.style(f"    {printable(line)}", fg=_COLORS.get(line[:1])))
