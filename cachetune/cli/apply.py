"""``cachetune apply``: carry out a plan, or plan a domain and carry that out."""

import sys
from typing import Any

import click

from cachetune import documents
from cachetune.apply.applier import Place, apply
from cachetune.apply.model import Report
from cachetune.cli import options
from cachetune.cli.messages import show_findings, show_plan, show_report
from cachetune.cli.wanted import Wanted, make_plan, planning
from cachetune.domain import read_file
from cachetune.errors import InputError
from cachetune.host.resctrlfs import SysfsResctrl
from cachetune.plan import Plan, PlanRefusedError


@click.command("apply")
@click.argument("file")
@options.yes
@options.lock_timeout
@options.as_json
@planning
def command(*, yes: bool, lock_timeout: float, as_json: bool, **wanted: Any) -> None:
    """Carry out a plan: all of it, or nothing.

    FILE is a plan saved by 'cachetune plan -o', or domain XML, which is planned first. A terminal is asked before
    anything is changed. A saved plan is refused when the host has changed since it was made.
    Exit code: 0 done or nothing to do, 1 failed and rolled back, 2 could not start, 3 failed and the rollback is
    incomplete.

    \b
    Examples:
      cachetune apply plan.json
      cachetune apply --pid 4711 --shrink-default guest.xml
      cachetune apply --yes --json --pid 4711 guest.xml
    """
    asked = Wanted(**wanted)
    made = _plan(asked)
    if not as_json:
        show_findings(made.warnings, asked.file)
        show_plan(made)
    if made.steps and not yes and sys.stdin.isatty():
        click.confirm("Carry this out?", abort=True, err=True)
    finish(apply(made, place_of(asked, lock_timeout)), as_json=as_json)


def place_of(asked: Wanted, lock_timeout: float) -> Place:
    """Where the user's options say that plans are carried out."""
    return Place(SysfsResctrl(asked.resctrl), asked.run, asked.sysfs, asked.proc, lock_timeout)


def finish(report: Report, *, as_json: bool) -> None:
    """Print the report and exit as it says."""
    if as_json:
        click.echo(documents.encode(report), nl=False)
    else:
        show_report(report)
    sys.exit(report.exit_code)


def _plan(asked: Wanted) -> Plan:
    data = read_file(asked.file)
    if data.lstrip()[:1] == b"{":
        if asked.pid or asked.vcpus or asked.machine_name or asked.shrink_default or asked.take_tasks:
            raise InputError("a saved plan has its guest and options in it", hint="give them to 'cachetune plan'")
        return documents.decode(data, Plan, asked.file)
    try:
        return make_plan(asked, data)
    except PlanRefusedError as refused:
        show_findings(refused.findings, asked.file)
        raise InputError("this cannot be planned, so nothing was done") from None
