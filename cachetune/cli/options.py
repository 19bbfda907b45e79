"""The options that several verbs share, each defined once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cachetune.guests.find import SourceOptions

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
source = click.option(
    "--source",
    type=click.Choice(["libvirt-status", "libvirt", "qmp", "threads", "cgroup"]),
    help="Who tells the guests and the threads of their vCPUs; default is the first in this order that does.",
)
connect = click.option("--connect", metavar="URI", help="Where libvirt's API is asked; default is qemu:///system.")
qmp = click.option(
    "--qmp",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="SOCKET",
    help="The QMP socket of a QEMU, to ask it for its vCPUs.",
)
libvirt_run = click.option(
    "--libvirt-run",
    type=_DIR,
    default=Path("/run/libvirt/qemu"),
    show_default=True,
    help="Where libvirt keeps its status files.",
)
cgroup = click.option(
    "--cgroup", type=_DIR, default=Path("/sys/fs/cgroup"), show_default=True, help="Where cgroups are mounted."
)
machine_name = click.option(
    "--machine-name", metavar="NAME", help="Prefix of the group names; default is libvirt's, or cachetune-NAME."
)


def _not_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """A script's variable that is not set must not stand for a guest without a name."""
    if value == "":
        raise click.BadParameter("the name is empty")
    return value


guest = click.option("--guest", metavar="NAME|UUID", callback=_not_empty, help="A guest that runs here, by its name.")
all_guests = click.option("--all-guests", is_flag=True, help="All guests that run here.")
adopt = click.option("--adopt", is_flag=True, help="Change also groups that libvirt made for the guest.")
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


where = stack(source, connect, qmp, proc, libvirt_run, cgroup)
"""Where guests are looked for: the option --source, and those from which ``source_options`` makes Places."""


def source_options(
    *, proc: Path, libvirt_run: Path, cgroup: Path, connect: str | None, qmp: Path | None
) -> "SourceOptions":
    """Where guests are looked for, from the options ``where``."""
    from cachetune.guests.find import SourceOptions

    return SourceOptions(proc=proc, libvirt_run=libvirt_run, cgroup=cgroup, connect=connect, qmp=qmp)
