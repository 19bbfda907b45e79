"""``cachetune monitor``: read the counters of groups."""

from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.readings import readings_page
from cachetune.cli.verb import Verb
from cachetune.service.readings import read_monitors
from cachetune.service.requests import read_document


@click.command("monitor", cls=Verb, exit_codes={0: "read", 2: "could not run"})
@click.argument("file", required=False)
@options.stack(options.guest, options.all_guests, options.machine_name, options.as_json)
@options.stack(options.finding, options.host, options.resctrl, options.run)
def command(*, file: str | None, as_json: bool, **values: Any) -> None:
    """Read the counters of a guest's groups: cache occupancy, memory bandwidth, energy.

    Reads all groups of the guest named by FILE (domain XML, or - for standard input), --guest or --machine-name; with
    --all-guests, those of every running guest. By default, reads the default group and every group that libvirt or
    cachetune made. The values of a control group include its monitor groups. llc_occupancy is the current value; mbm_*
    counters start when the group is created. Missing readings keep the kernel's word, such as Unavailable.

    \b
    Examples:
      cachetune monitor --guest web
      cachetune monitor guest.xml
      cachetune monitor --machine-name qemu-1-web
      cachetune monitor --json | jq '.monitors[] | {path, counters}'
    """
    found = read_monitors(options.location(values), options.selection(values), read_document(file))
    show_warnings(found.notes)
    if as_json:
        print_document(found.readings)
    else:
        show(readings_page(found.readings, found.host))
