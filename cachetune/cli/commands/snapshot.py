"""``cachetune snapshot``: a host as a JSON document."""

from pathlib import Path

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import write_document
from cachetune.service.hosts import load_host
from cachetune.service.owned import owned_groups


@click.command("snapshot")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where to write it; default is stdout.")
@options.stack(options.host, options.resctrl, options.sysfs, options.run)
def command(output: str, host: str | None, resctrl: Path, sysfs: Path, run: Path) -> None:
    """Save a host as JSON: what its resctrl can do, its groups and their masks.

    Every command that plans takes the file with --host, so a domain can be checked and planned for a host
    that is far away, or as it was yesterday. The file is replaced as a whole or not at all.

    \b
    Examples:
      cachetune snapshot -o node7.json
      cachetune plan --host node7.json guest.xml
      ssh node7 cachetune snapshot | cachetune show --host -
    """
    write_document(documents.encode(load_host(host, resctrl, sysfs, owned_groups(run))), output)
