"""The options that several verbs share, each defined once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_DIR = click.Path(path_type=Path, file_okay=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
resctrl = click.option(
    "--resctrl",
    type=_DIR,
    default=Path("/sys/fs/resctrl"),
    show_default=True,
    help="The resctrl tree, or a copy of one.",
)
sysfs = click.option("--sysfs", type=_DIR, default=Path("/sys"), show_default=True, help="Where cache sizes are read.")
proc = click.option("--proc", type=_DIR, default=Path("/proc"), show_default=True, help="Where threads are found.")
run = click.option(
    "--run",
    type=_DIR,
    default=Path("/run/cachetune"),
    show_default=True,
    help="Where the journal and the ledger are kept.",
)
host = click.option("--host", metavar="FILE|sim:NAME", help="A snapshot or a simulated host instead of this one.")
machine_name = click.option(
    "--machine-name", metavar="NAME", help="Prefix of the group names; default is libvirt's, or cachetune-NAME."
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
lock_timeout = click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for another program that holds the lock on resctrl.",
)


def stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which help shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
