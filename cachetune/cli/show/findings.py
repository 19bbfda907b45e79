"""Findings, errors and warnings as lines; colored only on a terminal."""

from collections.abc import Iterable

import click

from cachetune.errors import CachetuneError, PlanRefusedError
from cachetune.findings import Finding, location_of
from cachetune.service.notes import notes_of
from cachetune.text import printable

_COLORS = {"error": "red", "warning": "yellow"}


def finding_text(finding: Finding, document: str) -> str:
    """A finding and its hint, in the format of compilers: FILE:LINE:COLUMN: severity: message [rule]."""
    severity = click.style(f"{finding.severity}:", fg=_COLORS[finding.severity], bold=True)
    where = printable(location_of(finding, document))
    hint = f"    hint: {printable(finding.hint)}\n" if finding.hint else ""
    return f"{where}{severity} {printable(finding.text)}\n{hint}"


def show_findings(findings: Iterable[Finding], document: str) -> None:
    """Show findings on stderr. ``document`` is the file of those that do not name one."""
    for finding in findings:
        click.echo(finding_text(finding, document), nl=False, err=True)


def show_warnings(notes: Iterable[str]) -> None:
    """Show warnings on stderr."""
    for note in notes:
        click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {printable(note)}", err=True)


def show_error(message: str, hint: str = "") -> None:
    """Show an error and its hint on stderr."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {printable(message)}", err=True)
    if hint:
        click.echo(f"    hint: {printable(hint)}", err=True)


def show_failure(error: CachetuneError) -> None:
    """Show an error, after the warnings that are its notes and the findings that it consists of."""
    show_warnings(notes_of(error))
    if isinstance(error, PlanRefusedError):
        show_findings(error.findings, "")
    show_error(str(error), error.hint)
