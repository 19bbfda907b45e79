"""``cachetune snapshot``: save a host as a JSON document."""

from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import write_document
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.service.hosts import read_location


@click.command("snapshot", cls=Verb, exit_codes={0: "saved", 2: "could not run"})
@option("-o", "--output", metavar="FILE", default="-", heading="Output", help="Where to write it; default is stdout.")
@options.stack(options.host, options.resctrl, options.sysfs, options.run)
def command(*, output: str, **values: Any) -> None:
    """Save a host as JSON: what its resctrl can do, its groups and their masks.

    Every verb that plans takes the file with --host, so you can validate and plan for a host that is elsewhere, or as
    it was yesterday. The file is replaced as a whole or not at all.

    \b
    Examples:
      cachetune snapshot -o node7.json
      cachetune plan --host node7.json guest.xml
      ssh node7 cachetune snapshot | cachetune show --host -
    """
    reading = read_location(options.location(values))
    show_warnings(reading.notes)
    write_document(documents.encode(reading.host), output)
