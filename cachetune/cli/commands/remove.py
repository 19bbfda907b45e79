"""``cachetune remove``: remove a guest's groups."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.changing import EXIT_CODES, change, unplanned
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.domain.model import Domain
from cachetune.errors import InputError, PlanRefusedError
from cachetune.guests.tuning_files import names_in
from cachetune.service.connection import connect
from cachetune.service.plans import Removal, removal_planner
from cachetune.service.requests import load_document, read_document


@click.command("remove", cls=Verb, exit_codes=EXIT_CODES)
@click.argument("file", required=False)
@options.guest_option("A guest, running or not.")
@option("--all-guests", is_flag=True, heading="Which guest", help="Every guest with groups that cachetune made.")
@option("--machine-name", metavar="NAME", heading="Which guest", help="Prefix of the group names.")
@options.stack(options.consent, options.lock_timeout)
@options.stack(options.as_json, options.finding, options.guests_d, options.resctrl, options.sysfs, options.run)
def command(
    *,
    file: str | None,
    guest: str | None,
    all_guests: bool,
    machine_name: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Remove a guest's groups; its threads go back to the default group.

    Only groups that cachetune made are removed. The default group gets back the ways that it gave up, where no other
    group uses them. Prompts for confirmation on a terminal; without one, pass --yes.

    \b
    Examples:
      cachetune remove guest.xml
      cachetune remove --guest web
      cachetune remove --yes --machine-name cachetune-web
    """
    named = [file is not None, guest is not None, machine_name is not None, all_guests]
    if named.count(True) != 1:
        raise InputError(
            "pass exactly one of FILE, --guest, --machine-name and --all-guests",
            hint="'cachetune show' lists the groups",
        )
    selection = options.selection(values)
    removal = Removal(domain=_domain(file), machine_name=machine_name, guest=guest, selection=selection)
    connection = connect(options.location(values))
    show_warnings(_requested_again(guest, selection.guests_d))
    change(removal_planner(removal), connection, file or "", yes=yes, dry_run=dry_run, as_json=as_json)


def _requested_again(guest: str | None, guests_d: Path) -> Iterator[str]:
    """A warning if the guest's tuning file still requests what is removed."""
    with contextlib.suppress(InputError):
        if guest in (names_in(guests_d) or ()):
            yield f"{guests_d}/{guest}.xml still requests tuning: a running agent or hook applies it again"


def _domain(file: str | None) -> Domain | None:
    document = read_document(file)
    if document is None:
        return None
    try:
        domain, _ = load_document(document)
    except PlanRefusedError as refused:
        raise unplanned(refused, document.name) from None
    if not domain.name:
        raise InputError(f"{document.name} does not name its guest", hint="pass --guest NAME instead")
    return domain
