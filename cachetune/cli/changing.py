"""Shared by the verbs that change a host: confirm, carry out, print the report, exit with its code."""

import sys
from typing import NoReturn

import click

from cachetune.apply.report import Report
from cachetune.apply.run import Connection, Planner
from cachetune.cli.show.console import print_document
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.cli.show.report import show_report
from cachetune.errors import InputError, PlanRefusedError
from cachetune.plan.model import Plan
from cachetune.service.changes import carry_out
from cachetune.service.notes import notes_of

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "failed and rolled back",
    2: "could not start: nothing was changed",
    3: "failed, and the rollback is incomplete",
}


def change(
    planner: Planner, connection: Connection, document: str, *, yes: bool, as_json: bool, adopt: bool = False
) -> NoReturn:
    """Show the plan, prompt for confirmation on a terminal unless ``yes``, carry it out, exit with the report's code.

    ``document`` names the source of findings. Raises InputError if the request cannot be planned.
    """
    prompt = not yes and sys.stdin.isatty()

    def show(plan: Plan) -> None:
        if prompt or not as_json:
            show_plan(plan, document, err=as_json)

    try:
        approve = _confirm if prompt else None
        report = carry_out(planner, connection, show=show, approve=approve, warn=show_warnings, adopt=adopt)
    except PlanRefusedError as refused:
        raise unplanned(refused, document) from None
    finish(report, as_json=as_json)


def unplanned(refused: PlanRefusedError, document: str) -> InputError:
    """Show the warnings and the findings, and return the error to raise."""
    show_warnings(notes_of(refused))
    show_findings(refused.findings, document)
    return InputError("nothing was changed, because this cannot be planned")


def finish(report: Report, *, as_json: bool) -> NoReturn:
    """Print the report and exit with its code."""
    if as_json:
        print_document(report)
    else:
        show_report(report)
    sys.exit(report.exit_code)


def _confirm(plan: Plan) -> None:
    """Prompt for confirmation; any answer except yes ends the command with 2."""
    question = "Apply this plan?" if plan.groups else "Remove these groups?"
    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        click.echo(err=True)
    click.echo("Nothing was changed.", err=True)
    sys.exit(2)
