"""Messages for people: findings, plans and reports as lines, coloured on a terminal only."""

from collections.abc import Iterable

import click

from cachetune.apply.report import Report
from cachetune.cli.show.ways import ways_picture
from cachetune.errors import CachetuneError
from cachetune.findings import Finding
from cachetune.plan import Plan
from cachetune.plan.render import describe, render
from cachetune.text import count, printable

_COLOURS = {"+": "green", "~": "yellow", "-": "red", ">": "cyan", "error": "red", "warning": "yellow"}


def show_findings(findings: Iterable[Finding], file: str) -> None:
    """Findings on stderr, in the form that editors and CI know: FILE:LINE:COL: severity: message [rule]."""
    name = "<stdin>" if file == "-" else file
    for finding in findings:
        where = f"{finding.document or name}:{finding.line}:{finding.column}: " if finding.line else ""
        severity = click.style(finding.severity, fg=_COLOURS[finding.severity], bold=True)
        click.echo(f"{printable(where)}{severity}: {printable(finding.message)} [{finding.rule}]", err=True)
        if finding.hint:
            click.echo(f"  hint: {printable(finding.hint)}", err=True)


def show_error(error: CachetuneError) -> None:
    """An error and its hint on stderr."""
    click.echo(f"{click.style('error', fg='red', bold=True)}: {printable(str(error))}", err=True)
    if error.hint:
        click.echo(f"  hint: {printable(error.hint)}", err=True)


def show_plan(plan: Plan, *, err: bool = False) -> None:
    """A plan on stdout, or on stderr where stdout is for a document."""
    for line in render(plan, ways_picture):
        if not line.mark:
            click.echo(err=err)
        click.echo(click.style(printable(line.text), fg=_COLOURS.get(line.mark)), err=err)


def show_report(report: Report) -> None:
    """What was done, as one sentence on stdout; what went wrong, on stderr."""
    if report.error:
        show_error(CachetuneError(report.error, hint=report.hint))
    for step in report.undone:
        click.echo(f"undone: {printable(describe(step))}", err=True)
    for failure in report.undo_errors:
        click.echo(f"{click.style('not undone', fg='red', bold=True)}: {printable(failure)}", err=True)
    if report.vanished_tids:
        click.echo(f"threads that have ended meanwhile: {', '.join(map(str, report.vanished_tids))}", err=True)
    if report.late_tids:
        click.echo(f"threads that were born meanwhile and moved too: {', '.join(map(str, report.late_tids))}", err=True)
    for note in report.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(_sentence(report))


def _sentence(report: Report) -> str:
    done, undone = count(len(report.done), "step"), count(len(report.undone), "step")
    match report.outcome:
        case "nothing to do":
            return "Nothing to do."
        case "done" if report.undone:
            return f"Recovered: {undone} undone, the host is as it was before the interrupted run."
        case "done":
            return f"Done: {done}, each read back." if report.done else "Done."
        case "rolled back":
            return f"Failed and rolled back: {undone} undone, the host is as it was before."
        case _:
            return "Failed, and the rollback is incomplete: see above, then run 'cachetune recover'."
