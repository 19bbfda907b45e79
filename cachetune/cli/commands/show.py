"""``cachetune show``: a host at a glance."""

from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.host import host_page
from cachetune.cli.verb import Verb
from cachetune.service.hosts import read_location


@click.command("show", cls=Verb, exit_codes={0: "shown", 2: "could not run"})
@options.stack(options.as_json, options.host, options.resctrl, options.sysfs, options.run)
def command(*, as_json: bool, **values: Any) -> None:
    """Show a host: a picture of the ways of each cache and who has them, what is free, and the limits.

    In the pictures one character is one way, the highest way on the left. The letter is that of the group in the table
    below; # is a way that several groups have, · one that nobody has, and ^ marks ways shared with I/O. libvirt and
    cachetune can only allocate ways that are free and contiguous.

    \b
    Examples:
      cachetune show                        this host
      cachetune show --host sim:skylake-2s  a simulated one
      cachetune show --host node7.json      a snapshot
      cachetune show --json | jq '.caches[] | {resource, id, free_bytes}'
    """
    reading = read_location(options.location(values))
    show_warnings(reading.notes)
    if as_json:
        print_document(reading.usage)
    else:
        show(host_page(reading.usage))
