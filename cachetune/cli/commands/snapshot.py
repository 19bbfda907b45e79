"""``cachetune snapshot``: save a host as a JSON document."""

from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import write_document
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.service.hosts import read_for_snapshot


@click.command("snapshot", cls=Verb, exit_codes={0: "saved", 2: "could not run"})
@option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    heading="Output",
    help="The file to write (default: standard output).",
)
@options.stack(options.host, options.resctrl, options.sysfs, options.run)
def command(*, output: str, **values: Any) -> None:
    """Save a host as JSON: the capabilities of its resctrl, its groups and their masks.

    Pass the file with --host to validate, plan, diff or show, to work with another host or with an earlier state.
    The file is replaced atomically. It also names the machine, its kernel and its processor, and the time, which show
    prints; no plan depends on that part (identity), so it can be removed before a snapshot is published.

    \b
    Examples:
      cachetune snapshot -o node7.json
      cachetune plan --host node7.json guest.xml
      ssh node7 cachetune snapshot | cachetune show --host -
    """
    reading = read_for_snapshot(options.location(values))
    show_warnings(reading.notes)
    write_document(documents.encode(reading.host), output)
