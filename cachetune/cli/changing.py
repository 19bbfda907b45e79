"""Shared by the verbs that change a host: confirm, carry out, print the report, exit with its code.

Nothing is changed without consent: --yes, or an answer on a terminal.
"""

import contextlib
import sys
from collections.abc import Iterable
from typing import NoReturn

import click
import msgspec

from cachetune.apply.report import Report
from cachetune.apply.run import Connection, Planner, rehearse
from cachetune.apply.state.ledger import Ledger
from cachetune.cli.show.console import print_document
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.cli.show.report import show_report
from cachetune.cli.streams import discard_stdout, read_or_not
from cachetune.errors import ApplyRefusedError, InputError, PlanRefusedError
from cachetune.findings import Finding, Refusal
from cachetune.host.model import Host
from cachetune.host.resctrl.port import LockWait
from cachetune.plan.model import Plan
from cachetune.plan.policy import Policy
from cachetune.service.changes import carry_out, shown
from cachetune.service.notes import notes_of
from cachetune.service.policy import policy_notes
from cachetune.text import printable

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "failed and rolled back",
    2: "could not start: nothing was changed",
    3: "failed, and the rollback is incomplete",
}


def change(
    planner: Planner,
    connection: Connection,
    document: str,
    *,
    yes: bool,
    as_json: bool,
    adopt: bool = False,
    dry_run: bool = False,
) -> NoReturn:
    """Show the plan, prompt for confirmation unless ``yes``, carry it out, exit with the report's code.

    With ``dry_run``, print the plan and exit with 0, or with 2 if it would be refused. ``document`` names the source of
    findings. Raises InputError if the request cannot be planned, or if there is no consent and no terminal to ask on.
    """
    connection = talkative(connection)
    if dry_run:
        _rehearse(planner, connection, document, as_json=as_json, adopt=adopt)
    prompt = must_ask(yes=yes, hint="pass --yes to go ahead, or --dry-run to see what would be done")

    def show(plan: Plan) -> None:
        if prompt or not as_json:
            with read_or_not():
                show_plan(plan, document, err=as_json)

    def warn(notes: Iterable[str]) -> None:
        with read_or_not():
            show_warnings(notes)

    try:
        approve = _confirm_plan if prompt else None
        report = carry_out(planner, connection, show=show, approve=approve, warn=warn, adopt=adopt)
    except PlanRefusedError as refused:
        raise unplanned(refused, document) from None
    finish(report, as_json=as_json)


def within(policy: Policy | None, planner: Planner) -> Planner:
    """The planner, which first warns of keys of the host's policy that mean nothing on the host."""

    def warn_and_plan(host: Host, ledger: Ledger) -> Plan:
        show_warnings(policy_notes(policy, host))
        return planner(host, ledger)

    return warn_and_plan


def must_ask(*, yes: bool, hint: str = "pass --yes") -> bool:
    """Whether to prompt for confirmation. Raises InputError without ``yes`` and without a terminal."""
    if not yes and not sys.stdin.isatty():
        raise InputError("nothing was changed, because there is no terminal for the confirmation prompt", hint=hint)
    return not yes


def confirm(question: str) -> None:
    """Prompt for confirmation; any answer except yes ends the command with 2."""
    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        click.echo(err=True)
    click.echo("Nothing was changed.", err=True)
    sys.exit(2)


def talkative(connection: Connection) -> Connection:
    """The connection, which says on stderr that it waits for the lock."""
    return msgspec.structs.replace(connection, on_wait=show_wait)


def show_wait(wait: LockWait) -> None:
    """Say on stderr which lock is waited for, and who holds it."""
    program = f" ({printable(wait.program)})" if wait.program else ""
    holder = f", held by process {wait.holder}{program}" if wait.holder else ""
    with read_or_not():
        click.echo(f"Waiting for the lock on {printable(wait.path)}{holder} ...", err=True)


def _rehearse(planner: Planner, connection: Connection, document: str, *, as_json: bool, adopt: bool) -> NoReturn:
    """Print the plan that would be carried out now. Exits with 0, or with 2 if it would be refused."""

    def show(plan: Plan) -> None:
        if not as_json:
            show_plan(plan, document)

    try:
        plan = rehearse(shown(planner, show, show_warnings), connection, adopt=adopt)
    except (PlanRefusedError, ApplyRefusedError) as refused:
        if as_json:
            print_document(Refusal(findings=_findings_of(refused)))
        raise (unplanned(refused, document) if isinstance(refused, PlanRefusedError) else refused) from None
    if as_json:
        print_document(plan)
    sys.exit(0)


def unplanned(refused: PlanRefusedError, document: str) -> InputError:
    """Show the warnings and the findings, and return the error to raise."""
    show_warnings(notes_of(refused))
    show_findings(refused.findings, document)
    return InputError("nothing was changed, because this cannot be planned")


def finish(report: Report, *, as_json: bool) -> NoReturn:
    """Print the report and exit with its code, even if it cannot be printed: the host is as the report says."""
    try:
        if as_json:
            print_document(report)
        else:
            show_report(report)
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        with contextlib.suppress(OSError):
            click.echo(f"warning: the report could not be printed: {error.strerror}", err=True)
    sys.exit(report.exit_code)


def _confirm_plan(plan: Plan) -> None:
    confirm("Apply this plan?" if plan.groups or plan.default_group or plan.moved else "Remove these groups?")


def _findings_of(refused: PlanRefusedError | ApplyRefusedError) -> tuple[Finding, ...]:
    return refused.findings if isinstance(refused, PlanRefusedError) else (refused.finding,)
