"""``cachetune guests``: which guests run here, who says so, and whether they have what their XML asks for."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import show, table
from cachetune.domain import Loaded, load
from cachetune.errors import HostError, InputError, ResctrlError
from cachetune.guests.find import look
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.guests.tuning_files import GUESTS_D, tuning_of
from cachetune.host.model import Host
from cachetune.idset import format_ids
from cachetune.plan.model import Summary
from cachetune.service.hosts import load_host
from cachetune.service.owned import owned_groups
from cachetune.service.status import Guests, GuestState, state_of
from cachetune.text import count, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"applied": "green", "drifted": "yellow", "refused": "red", "invalid": "red"}


@click.command("guests")
@click.option(
    "--guests-d",
    type=click.Path(path_type=Path, file_okay=False),
    default=GUESTS_D,
    show_default=True,
    help="The directory with one file per guest, NAME.xml.",
)
@options.stack(options.as_json, options.where, options.resctrl, options.sysfs, options.run)
def command(
    *, guests_d: Path, as_json: bool, source: SourceName | None, resctrl: Path, sysfs: Path, run: Path, **where: Any
) -> None:
    """List the guests that run here: name, uuid, process, the threads of the vCPUs, and who told them.

    Asked are, in this order, libvirt's status files, libvirt's API (where the status files do not tell everything, or
    with --connect), QMP (with --qmp), the names of threads, and libvirt's cgroups. The first that tells a guest's vCPUs
    is believed; where others disagree, a line below the table says so.

    The last column compares resctrl with what is asked for, by the guest's file in guests.d or else by its live XML:
    applied, drifted (and how much), refused (and why), invalid, none (it asks for nothing), unknown (there is no XML:
    libvirt does not run it, or only root may read it). A guest for which nothing is asked can still be in groups.

    \b
    Examples:
      cachetune guests                            all of them
      cachetune guests --source threads           only what the names of threads tell
      cachetune guests --qmp /run/web.qmp         ask a QEMU that libvirt does not run, too
      cachetune guests --json | jq '.guests[] | {name, pid, vcpus}'
    """
    running = look(options.source_options(**where), source)
    host, why_no_host = _host(resctrl, sysfs, run)
    files, unreadable = _files(running.guests, guests_d)
    guests = tuple(state_of(guest, host, files.get(guest.name)) for guest in running.guests)
    missed = any(guest.tuning.state == "no resctrl" for guest in guests)
    found = Guests(guests=guests, notes=(*running.notes, *unreadable, *([why_no_host] if missed else [])))
    if as_json:
        click.echo(documents.encode(found), nl=False)
        return
    show(_page(found))
    for note in found.notes:
        click.echo(f"note: {printable(note)}", err=True)


def _host(resctrl: Path, sysfs: Path, run: Path) -> tuple[Host | None, str]:
    """The host, or None and why there is none: guests can be listed without resctrl."""
    try:
        return load_host(None, resctrl, sysfs, owned_groups(run)), ""
    except (InputError, HostError, ResctrlError) as error:
        return None, f"tuning cannot be compared: {error}"


def _files(guests: Iterable[RunningGuest], directory: Path) -> tuple[dict[str, Loaded], list[str]]:
    """The guests' files in guests.d by name, and why some cannot be read."""
    files: dict[str, Loaded] = {}
    unreadable = []
    for name, guest in {guest.name: guest for guest in guests if guest.name}.items():
        try:
            if loaded := tuning_of(name, directory, _most_vcpus(guest)):
                files[name] = loaded
        except InputError as error:
            unreadable.append(str(error))
    return files, unreadable


def _most_vcpus(guest: RunningGuest) -> int | None:
    """How many vCPUs the guest can have, where its live XML says so: a tuning file does not."""
    domain = None if guest.xml is None else load(guest.xml.encode(), guest.name).domain
    return None if domain is None else domain.vcpus


def _page(found: Guests) -> Iterator["RenderableType"]:
    if not found.guests:
        yield "No guest runs here."
        return
    rows = table("guest", "uuid", "pid", "vCPUs", "threads", "found by", "tuning", right=["pid"])
    for guest in found.guests:
        rows.add_row(
            printable(guest.name) or "-",
            guest.uuid or "-",
            str(guest.pid),
            format_ids(guest.vcpus) or "-",
            format_ids(guest.vcpus.values()) or "-",
            guest.source,
            _tuning(guest),
        )
    yield rows
    remarks = [line for guest in found.guests for line in _remarks(guest)]
    if remarks:
        yield ""
        yield from remarks


def _tuning(guest: GuestState) -> "RenderableType":
    """What has become of the tuning; where none is known, the groups that the guest is in all the same."""
    from rich.text import Text

    state, summary = guest.tuning.state, guest.tuning.summary
    if summary:
        return Text(f"drifted: {_counts(summary)}", _STYLES[state])
    if state in ("unknown", "none") and guest.groups:
        more = f" and {count(len(guest.groups) - 1, 'other')}" if len(guest.groups) > 1 else ""
        return Text(f"{state}, but in {printable(guest.groups[0])}{more}")
    return Text(state, _STYLES.get(state, ""))


def _counts(summary: Summary) -> str:
    groups = summary.control_groups_created + summary.monitor_groups_created
    counted = (
        (groups, "group", "to create"),
        (summary.groups_changed, "group", "to change"),
        (summary.groups_removed, "group", "to remove"),
        (summary.tasks_moved, "task", "to move"),
    )
    return ", ".join(f"{count(number, thing)} {what}" for number, thing, what in counted if number)


def _remarks(guest: GuestState) -> Iterator[str]:
    """What the table has no room for, one line each."""
    who = printable(guest.name) or f"process {guest.pid}"
    sentences = (guest.problem, *guest.disagreements, *guest.tuning.why)
    yield from (f"{who}: {printable(sentence)}" for sentence in sentences if sentence)
