"""``cachetune remove``: take a guest's groups away again."""

import sys
from pathlib import Path

import click

from cachetune.apply import ledger
from cachetune.apply.applier import Place, apply
from cachetune.cli import options
from cachetune.cli.apply import finish
from cachetune.cli.messages import show_findings, show_plan
from cachetune.cli.wanted import load_domain
from cachetune.errors import InputError
from cachetune.host.resctrlfs import SysfsResctrl
from cachetune.plan import PlanRefusedError, machine_name, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.names import checked_machine_name


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
    book = ledger.load(run)
    place = Place(SysfsResctrl(resctrl), run, sysfs, proc, lock_timeout)
    with place.resctrl.lock(exclusive=False, timeout=lock_timeout):
        host = place.look(book)
    try:
        made = plan_removal(host, guest, book.groups_of(guest.machine_name), book.shrunk)
    except PlanRefusedError as refused:
        show_findings(refused.findings, file or "")
        raise InputError("nothing was removed") from None
    if not as_json:
        show_plan(made)
    if made.steps and not yes and sys.stdin.isatty():
        click.confirm("Remove this?", abort=True, err=True)
    finish(apply(made, place), as_json=as_json)


def _guest(file: str | None, name: str | None) -> PlanGuest:
    if (file is None) == (name is None):
        raise InputError("give the guest's XML or --machine-name NAME", hint="'cachetune show' lists the groups")
    if name is not None:
        return PlanGuest(name=name, machine_name=checked_machine_name(name))
    assert file is not None  # noqa: S101 - seen above
    try:
        domain, _ = load_domain(file)
    except PlanRefusedError as refused:
        show_findings(refused.findings, file)
        raise InputError(f"{file} does not name a guest") from None
    return PlanGuest(name=domain.name, machine_name=machine_name(domain), uuid=domain.uuid)
