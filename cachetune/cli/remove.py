"""``cachetune remove``: take a guest's groups away again."""

import sys
from pathlib import Path

import click

from cachetune.apply import ledger
from cachetune.apply.applier import apply, apply_planned
from cachetune.apply.ledger import Ledger
from cachetune.cli import options
from cachetune.cli.apply import confirm, finish, live_place
from cachetune.cli.messages import show_findings, show_plan
from cachetune.cli.wanted import load_domain
from cachetune.errors import InputError
from cachetune.host.state import Host
from cachetune.plan import Plan, PlanRefusedError, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.names import checked_machine_name
from cachetune.plan.names import machine_name as name_of


@click.command("remove")
@click.argument("file", required=False)
@options.machine_name
@options.yes
@options.lock_timeout
@options.as_json
@options.stack(options.resctrl, options.sysfs, options.proc, options.run)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    file: str | None,
    machine_name: str | None,
    yes: bool,
    lock_timeout: float,
    as_json: bool,
    resctrl: Path,
    sysfs: Path,
    proc: Path,
    run: Path,
) -> None:
    """Remove the groups of a guest; its threads go back to the default group.

    Only groups that cachetune made are removed. A default group that was shrunk gets its ways back where nobody else
    has taken them. Exit codes as for apply.

    \b
    Examples:
      cachetune remove guest.xml
      cachetune remove --yes --machine-name cachetune-web
    """
    guest = _guest(file, machine_name)
    place = live_place(resctrl, run, sysfs, proc, lock_timeout)

    ask = not yes and sys.stdin.isatty()

    def planner(host: Host, book: Ledger) -> Plan:
        try:
            made = plan_removal(host, guest, book.groups_of(guest.machine_name), book.shrunk)
        except PlanRefusedError as error:
            show_findings(error.findings, file or "")
            raise InputError("nothing was removed") from None
        if ask or not as_json:
            show_plan(made, err=as_json)
        return made

    if ask:
        book = ledger.load(run)
        shown = planner(place.look(book), book)
        if shown.steps:
            confirm("Remove this?")
        finish(apply(shown, place), as_json=as_json)
    finish(apply_planned(planner, place), as_json=as_json)


def _guest(file: str | None, name: str | None) -> PlanGuest:
    if (file is None) == (name is None):
        raise InputError("give the guest's XML or --machine-name NAME", hint="'cachetune show' lists the groups")
    if name is not None:
        return PlanGuest(name="", machine_name=checked_machine_name(name))
    assert file is not None  # noqa: S101 - seen above
    try:
        domain, _ = load_domain(file)
    except PlanRefusedError as refused:
        show_findings(refused.findings, file)
        raise InputError(f"{file} does not name a guest") from None
    return PlanGuest(name=domain.name, machine_name=name_of(domain), uuid=domain.uuid)
