"""``cachetune remove``: take a guest's groups away again."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from cachetune.apply.run import apply, apply_planned
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.cli import options
from cachetune.cli.commands.apply import confirm, finish
from cachetune.cli.show.messages import show_findings, show_plan
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.plan import Plan, PlanRefusedError, machine_name, machine_name_of, plan_removal
from cachetune.plan.groups.names import checked_machine_name
from cachetune.plan.model import PlanGuest
from cachetune.service.connection import connect
from cachetune.service.wanted import load_domain


class _Chosen(msgspec.Struct, frozen=True):
    """Whose groups go: of the domain of a file, of a machine name, of a guest by its name or uuid, or of all."""

    domain: Domain | None = None
    machine_name: str | None = None
    guest: str | None = None

    def guests(self, ledger: Ledger) -> Sequence[PlanGuest]:
        """The guests, with the machine names that the ledger has for them. Raises InputError."""
        if self.domain:
            return [PlanGuest(self.domain.name, machine_name_of(self.domain), self.domain.uuid)]
        if self.machine_name is not None:
            return [PlanGuest("", checked_machine_name(self.machine_name))]
        known = [PlanGuest(entry.name, machine, entry.uuid) for machine, entry in ledger.guests.items()]
        if self.guest is None:
            if not known:
                raise InputError("there is no guest whose groups cachetune has made", hint="'cachetune show' lists all")
            return known
        return [g for g in known if self.guest in (g.name, g.uuid)] or [PlanGuest("", machine_name(self.guest))]


@click.command("remove")
@click.argument("file", required=False)
@options.stack(options.guest, options.all_guests, options.machine_name, options.yes, options.lock_timeout)
@options.as_json
@options.stack(options.resctrl, options.sysfs, options.proc, options.run)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    file: str | None,
    guest: str | None,
    all_guests: bool,
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

    The guest need not run any more. Only groups that cachetune made are removed; --all-guests removes all of those. A
    default group that was shrunk gets its ways back where nobody else has taken them. Exit codes as for apply.

    \b
    Examples:
      cachetune remove guest.xml
      cachetune remove --guest web
      cachetune remove --yes --machine-name cachetune-web
    """
    if [file is None, guest is None, machine_name is None, not all_guests].count(False) != 1:
        raise InputError(
            "give the guest's XML, --guest NAME, --machine-name NAME or --all-guests",
            hint="'cachetune show' lists the groups",
        )
    chosen = _Chosen(_domain(file) if file is not None else None, machine_name, guest)
    connection = connect(resctrl, run, sysfs, proc, lock_timeout)

    ask = not yes and sys.stdin.isatty()

    def planner(host: Host, ledger: Ledger) -> Plan:
        guests = chosen.guests(ledger)
        owned = {path for each in guests for path in ledger.groups_of(each.machine_name)}
        try:
            made = plan_removal(host, guests, owned, ledger.shrunk)
        except PlanRefusedError as error:
            show_findings(error.findings, file or "")
            raise InputError("nothing was removed") from None
        if ask or not as_json:
            show_plan(made, err=as_json)
        return made

    if ask:
        ledger = load_ledger(run)
        shown = planner(connection.look(ledger), ledger)
        if shown.steps:
            confirm("Remove this?")
        finish(apply(shown, connection), as_json=as_json)
    finish(apply_planned(planner, connection), as_json=as_json)


def _domain(file: str) -> Domain:
    try:
        domain, _ = load_domain(file)
    except PlanRefusedError as refused:
        show_findings(refused.findings, file)
        raise InputError(f"{file} does not name a guest") from None
    if not domain.name:
        raise InputError(f"{file} does not name its guest", hint="give --guest NAME instead")
    return domain
