"""``cachetune guests``: list running guests."""

from typing import Any

import click
from msgspec.structs import replace

from cachetune.agent.effective import effective_options
from cachetune.cli import options
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.guests import guests_page
from cachetune.cli.verb import Verb
from cachetune.service.status import guest_states
from cachetune.text import printable


@click.command("guests", cls=Verb, exit_codes={0: "listed", 2: "could not run, or a requested source did not answer"})
@options.stack(options.as_json, options.finding, options.guests_d, options.resctrl, options.sysfs, options.run)
def command(*, as_json: bool, **values: Any) -> None:
    """List running guests: name, UUID, process, vCPU threads, and how each was found.

    Guests are looked for in libvirt's status files, libvirt's API (if the status files do not cover every emulator, or
    with --connect), QMP (with --qmp), thread names, and libvirt's cgroups. The first source that knows the vCPUs of a
    guest is used; disagreements between sources are listed below the table.

    The last column compares resctrl with the guest's tuning file in guests.d, or else with its live XML: applied,
    drifted (with the differences), refused (with the reason), invalid, none (no tuning requested), unknown (no XML:
    libvirt does not run the guest, or only root may read it). A guest without tuning can still be in groups. While an
    agent runs, requests are planned with its options, such as --shrink-default; a line below the table says so.

    \b
    Examples:
      cachetune guests                            all of them
      cachetune guests --source threads           found by thread names only
      cachetune guests --qmp /run/web.qmp         also query a QEMU by its socket
      cachetune guests --json | jq '.guests[] | {name, pid, vcpus}'
    """
    location, selection = options.location(values), options.selection(values)
    effective = effective_options(location, selection)
    found = replace(guest_states(location, selection, effective.options), agent_options=effective.words)
    if as_json:
        print_document(found)
        return
    show(guests_page(found))
    for note in found.notes:
        click.echo(f"note: {printable(note)}", err=True)
