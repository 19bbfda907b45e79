"""A report as text."""

import click

from cachetune.apply.report import Report
from cachetune.cli.show.findings import show_error
from cachetune.plan.render import describe
from cachetune.text import count, printable


def show_report(report: Report) -> None:
    """Show the outcome as one sentence on stdout, and errors and notes on stderr."""
    if report.error:
        show_error(report.error, report.hint)
    for step in report.undone:
        click.echo(f"undone: {printable(describe(step))}", err=True)
    for failure in report.undo_errors:
        click.echo(f"{click.style('not undone:', fg='red', bold=True)} {printable(failure)}", err=True)
    if report.vanished_tids:
        click.echo(f"note: threads that ended before they could be moved: {_listed(report.vanished_tids)}", err=True)
    if report.late_tids:
        click.echo(f"note: threads that started after planning and were moved: {_listed(report.late_tids)}", err=True)
    for note in report.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(_sentence(report))


def _listed(tids: tuple[int, ...]) -> str:
    return ", ".join(map(str, tids))


def _sentence(report: Report) -> str:
    done, undone = count(len(report.done), "step"), count(len(report.undone), "step")
    match report.outcome:
        case "nothing to do":
            return "Nothing to do."
        case "done" if report.undone:
            return f"Recovered: {undone} undone, the host is as it was before the interrupted run."
        case "done":
            return f"Done: {done}, each read back." if report.done else "Done."
        case "rolled back" if not report.undone:
            return "Failed: nothing was changed."
        case "rolled back":
            return f"Failed and rolled back: {undone} undone, the host is as it was before."
        case "rollback incomplete":
            return "Failed, and the rollback is incomplete: see above, then run 'cachetune recover'."
