"""``cachetune show``: a host on one page."""

from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.host import host_page
from cachetune.cli.verb import Verb
from cachetune.service.hosts import read_location
from cachetune.service.idle import usage_on


@click.command("show", cls=Verb, exit_codes={0: "shown", 2: "could not run"})
@options.stack(options.as_json, options.host, options.resctrl, options.sysfs, options.run)
def command(*, as_json: bool, **values: Any) -> None:
    """Show a host: the ways of each cache and their owners, free space, groups and limits.

    In the pictures, each character is a way, with the highest way on the left. A letter is the group with that letter
    in the table below, # several groups, . a free way, and ^ marks ways shared with I/O. Only ways that are free and
    contiguous can be allocated. Below the tables are the ways that lie idle, and what gives them back to the
    default group.

    \b
    Examples:
      cachetune show                        this host
      cachetune show --host sim:skylake-2s  a simulated one
      cachetune show --host node7.json      a snapshot
      cachetune show --json | jq '.caches[] | {resource, id, free_bytes}'
    """
    location = options.location(values)
    reading = read_location(location)
    show_warnings(reading.notes)
    usage = usage_on(location, reading)
    if as_json:
        print_document(usage)
    else:
        show(host_page(usage))
