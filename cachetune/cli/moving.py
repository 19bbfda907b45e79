"""``fit --from``: what a guest's tuning becomes on another host, as text, as a tuning file, or as a document."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show, write_document
from cachetune.cli.show.findings import show_error, show_findings, show_warnings
from cachetune.cli.show.fit import fit_notes, fit_page
from cachetune.cli.show.move import move_page
from cachetune.cli.verb import option
from cachetune.domain import SCHEMA
from cachetune.errors import InputError
from cachetune.fleet.model import Candidate, FleetFit, FleetHost, GuestFit, Unusable
from cachetune.fleet.move.model import MoveOptions
from cachetune.idset import format_ids, parse_vcpus
from cachetune.service.fleet_files import FleetGuest, find_files, read_candidate
from cachetune.service.move import MovedGuest, MoveRequest, move_guest
from cachetune.text import listed


def _cpus(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """The canonical list of CPUs, "" for none given."""
    try:
        return "" if value is None else format_ids(parse_vcpus(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of CPUs, such as 0-3,8") from None


moving = options.stack(
    option(
        "--from",
        "move_from",
        metavar="FILE|sim:NAME",
        heading="Which guest",
        help="The host that a guest moves from: show what its tuning there becomes on SNAPSHOT.",
    ),
    options.guest_option("With --from: the guest (default: that of GUEST.xml, or the only one with groups)."),
    option(
        "--by",
        type=click.Choice(["bytes", "ways", "percent"]),
        heading="How",
        help="With --from: what a size keeps (default: its own unit, bytes if it is read from groups).",
    ),
    option(
        "--cpus",
        metavar="CPULIST",
        callback=_cpus,
        heading="How",
        help="With --from: the CPUs on which the vCPUs will run (default: those they are pinned to).",
    ),
    option(
        *("-o", "--output"),
        metavar="FILE",
        heading="Output",
        help="With --from: write the tuning file for SNAPSHOT; - prints it instead of the text.",
    ),
    options.schema,
)
"""The options of a move."""
_ONLY = {"guest": "--guest", "by": "--by", "cpus": "--cpus", "output": "-o", "schema": "--schema"}


def check_no_move(values: Mapping[str, Any]) -> None:
    """Raise InputError for options that mean nothing without --from."""
    if given := [name for key, name in _ONLY.items() if values[key]]:
        raise InputError(f"{listed(given)} can only be given with --from")


def check_one_host(given: Mapping[str, object]) -> None:
    """Raise InputError for options by name that are for several hosts, if they are given with --from."""
    if names := [name for name, value in given.items() if value]:
        raise InputError(f"{listed(names)} cannot be given with --from", hint="a guest moves to one host")


def show_move(files: Sequence[str], values: Mapping[str, Any], *, stale_seconds: float, as_json: bool) -> NoReturn:
    """Move one guest to one host, and exit with 0, 1 or 2. Raises InputError."""
    guest, host = _guest_and_host(files, values["move_from"])
    request = MoveRequest(
        a=values["move_from"],
        b=host,
        guest=values["guest"],
        domain=guest.domain if guest else None,
        schema=SCHEMA if values["schema"] is None else values["schema"],
    )
    how = MoveOptions(rounding=values["rounding"], by=values["by"], cpus=values["cpus"])
    planned = options.plan_options({**values, "host": host.file, "rounding": None})  # the sizes are rounded already
    moved = move_guest(request, how, planned)
    here = _asked(moved.fit.host, host.file, host.taken, stale_seconds)
    there = _asked(moved.a.hostname or moved.a.source, moved.a.source, moved.a.taken, stale_seconds)
    show_warnings((*moved.notes, *fit_notes(FleetFit(hosts=(there, here)))))
    if output := values["output"]:
        _write(moved, output)
    if output == "-":
        show_warnings(_shortcomings(moved))
    elif as_json:
        print_document(moved)
    else:
        answer = FleetFit(guests=(GuestFit(moved.guest, "", (), (moved.fit,)),), hosts=(here,))
        show([*move_page(moved), "", *fit_page(answer)] if moved.values else move_page(moved))
    sys.exit(moved.exit_code)


def _guest_and_host(files: Sequence[str], source: str) -> tuple[FleetGuest | None, Candidate]:
    """The guest, if its XML is given, and the host that it moves to. Raises InputError."""
    if source == "-" in files:
        raise InputError("both hosts are on standard input", hint="pass a file for one of them")
    found = find_files(files)
    read = [read_candidate(snapshot) for snapshot in found.snapshots]
    for each in (*found.unusable, *read):
        if isinstance(each, Unusable):
            show_findings(each.findings, each.file)
            show_error(f"{each.file}: {each.reason}", each.hint)
    hosts = [each for each in read if isinstance(each, Candidate)]
    if found.unusable or len(hosts) != len(read):
        sys.exit(2)
    if len(hosts) != 1 or len(found.guests) > 1:
        raise InputError(
            "--from moves one guest to one host", hint="cachetune fit --from A.json --guest NAME [GUEST.xml] B.json"
        )
    return (found.guests[0] if found.guests else None), hosts[0]


def _asked(name: str, file: str, taken: float | None, stale_seconds: float) -> FleetHost:
    """A host as ``fit`` shows it."""
    age = None if taken is None else max(time.time() - taken, 0.0)
    return FleetHost(name, file, taken, age, age is not None and age > stale_seconds)


def _write(moved: MovedGuest, output: str) -> None:
    """Write the tuning file. Raises InputError if nothing is left of it, for that would request nothing."""
    if not moved.values and moved.lost:
        show_warnings(_shortcomings(moved))
        raise InputError(f"nothing is left of the tuning of {moved.guest!r}, so no file is written")
    write_document(moved.b_tuning.encode(), output)


def _shortcomings(moved: MovedGuest) -> Iterator[str]:
    """What the tuning file lacks, and why it does not fit, for readers who see only the file."""
    for lost in moved.lost:
        yield f"left out for {lost.group}: {lost.what}: {lost.reason} [{lost.rule}]"
    if moved.fit.missing:
        yield f"it fits on {moved.fit.host} only with {' '.join(moved.fit.missing)}"
    elif moved.fit.answer == "refused":
        yield from (f"it does not fit on {moved.fit.host}: {reason.text}" for reason in moved.fit.reasons)
