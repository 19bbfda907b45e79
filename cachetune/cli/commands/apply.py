"""``cachetune apply``: carry out a plan, or plan a domain and carry that out."""

import sys
from typing import Any, NoReturn

import click

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, Planner, apply, apply_planned
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.cli import options
from cachetune.cli.show.messages import show_findings, show_plan, show_report
from cachetune.domain import read_file
from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.plan import Plan, PlanRefusedError
from cachetune.service.connection import connect
from cachetune.service.requests import plan_requests
from cachetune.service.wanted import Wanted, make_requests, plan_options, planning, read_plan


@click.command("apply")
@click.argument("file", required=False)
@options.adopt
@options.yes
@options.lock_timeout
@options.as_json
@planning
def command(*, adopt: bool, yes: bool, lock_timeout: float, as_json: bool, **wanted: Any) -> None:
    """Carry out a plan: all of it, or nothing.

    FILE is a plan saved by 'cachetune plan -o', or domain XML, which is planned first; with --guest it may be left out
    or be a tuning file, as for plan. --all-guests makes one plan for all of them. A terminal is asked before anything
    is changed. A saved plan is refused when the host has changed since it was made.
    Exit code: 0 done or nothing to do, 1 failed and rolled back, 2 could not start, 3 failed and the rollback is
    incomplete.

    \b
    Examples:
      cachetune apply plan.json
      cachetune apply --guest web tuning.xml
      cachetune apply --pid 4711 --shrink-default guest.xml
      cachetune apply --yes --json --pid 4711 guest.xml
    """
    asked = Wanted(as_json=as_json, **wanted)
    connection = connection_of(asked, lock_timeout)
    ask = not yes and sys.stdin.isatty()
    planner = _planner(asked, quiet=as_json and not ask)
    if ask:
        ledger = load_ledger(asked.run)
        shown = planner(connection.look(ledger), ledger)
        if shown.steps:
            confirm("Carry this out?")
        finish(apply(shown, connection, adopt=adopt), as_json=as_json)
    finish(apply_planned(planner, connection, adopt=adopt), as_json=as_json)


def confirm(question: str) -> None:
    """Ask; anything but yes ends the command with "could not start"."""
    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        click.echo(err=True)
    click.echo("Nothing was changed.", err=True)
    sys.exit(2)


def connection_of(asked: Wanted, lock_timeout: float) -> Connection:
    """Where the user's options say that plans are carried out."""
    return connect(asked.resctrl, asked.run, asked.sysfs, asked.proc, lock_timeout)


def finish(report: Report, *, as_json: bool) -> NoReturn:
    """Print the report and exit as it says."""
    if as_json:
        click.echo(documents.encode(report), nl=False)
    else:
        show_report(report)
    sys.exit(report.exit_code)


def _planner(asked: Wanted, *, quiet: bool) -> Planner:
    """What makes the plan, and shows it: from the saved plan, or from the XML and the host as it is then."""
    data = None if asked.file is None else read_file(asked.file)
    if data and data.lstrip()[:1] == b"{":
        given = (asked.guest, asked.pid, asked.vcpus, asked.machine_name)
        if any(given) or asked.all_guests or asked.shrink_default or asked.take_tasks:
            raise InputError("a saved plan has its guest and options in it", hint="give them to 'cachetune plan'")
        saved = read_plan(data, asked.name)
        return lambda _host, _ledger: _shown(saved, asked, quiet=quiet)
    try:
        requests = make_requests(asked, data)
    except PlanRefusedError as error:
        raise _unplanned(error, asked) from None

    def planner(host: Host, ledger: Ledger) -> Plan:
        try:
            return _shown(plan_requests(requests, host, ledger, plan_options(asked)), asked, quiet=quiet)
        except PlanRefusedError as error:
            raise _unplanned(error, asked) from None

    return planner


def _shown(made: Plan, asked: Wanted, *, quiet: bool) -> Plan:
    if not quiet:
        show_findings(made.warnings, asked.name)
        show_plan(made, err=asked.as_json)
    return made


def _unplanned(error: PlanRefusedError, asked: Wanted) -> InputError:
    show_findings(error.findings, asked.name)
    return InputError("this cannot be planned, so nothing was done")
