"""``fit --assign``: its options, the search with progress on a terminal, the page, and the variables for Ansible."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show, write_document
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.fit import check_asked, fit_notes, show_unusable
from cachetune.cli.until_stopped import UntilStopped
from cachetune.cli.verb import option
from cachetune.errors import InputError
from cachetune.fleet.model import FleetFit
from cachetune.plan.request import Options
from cachetune.text import listed
from cachetune.units import Rate

if TYPE_CHECKING:
    from cachetune.fleet.assign.search import Progress

_BUDGET_SECONDS = 60.0


def _rate(_context: click.Context, _option: click.Parameter, value: str | None) -> Rate | None:
    """The rate of a node, which is no percentage."""
    if value is None:
        return None
    try:
        rate = Rate.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if rate.unit in ("", "%"):
        raise click.BadParameter(f"{value!r} is not a rate, such as 200GB/s or 100000MiB/s")
    return rate


assigning = options.stack(
    option(
        "--assign",
        is_flag=True,
        heading="How",
        help="Place all guests at once: every guest on one host, on as few hosts as possible, or spread evenly.",
    ),
    option(
        "--budget",
        metavar="SECONDS",
        type=click.FloatRange(min=0, max=86400),
        heading="Assigning",
        help=f"End the search for the best assignment after this time (default: {_BUDGET_SECONDS:g}).",
    ),
    option(
        "--node-bandwidth",
        metavar="RATE",
        callback=_rate,
        heading="Assigning",
        help="What a memory node delivers, such as 200GB/s, for the sum of limits on hosts that count a rate.",
    ),
    option(
        "--overcommit-bandwidth",
        is_flag=True,
        heading="Assigning",
        help="The guests' limits may add up to more than a memory node has.",
    ),
    option(
        "--vars",
        "variables",
        metavar="FILE",
        heading="Assigning",
        help="Write the assignment as variables for Ansible to FILE; - prints them instead of the text.",
    ),
)
"""The options of an assignment."""
_ONLY = {
    "budget": "--budget",
    "node_bandwidth": "--node-bandwidth",
    "overcommit_bandwidth": "--overcommit-bandwidth",
    "variables": "--vars",
}
_DOING = {
    "placed": "Placing guests",
    "hosts": "Saving hosts",
    "even": "Spreading guests",
    "left": "Choosing the best fit",
}


def check_no_assignment(values: Mapping[str, Any], beside: str | None = None) -> None:
    """Raise InputError for options that mean nothing without --assign, and for --assign ``beside`` another option."""
    if beside and values["assign"]:
        raise InputError(f"--assign cannot be given with {beside}")
    if given := [name for key, name in _ONLY.items() if values[key] not in (None, False)]:
        raise InputError(f"{listed(given)} can only be given with --assign")


def show_assignment(
    names: Sequence[str], wanted: Options, values: Mapping[str, Any], *, stale_seconds: float
) -> NoReturn:
    """Assign, show, write, exit. SIGINT and SIGTERM end the search with the best so far, a second one ends all."""
    from cachetune.cli.show.assignment import assignment_page
    from cachetune.fleet.assign.ansible import ansible_vars
    from cachetune.fleet.assign.problem import Limits
    from cachetune.service.assign import Way, assign_guests

    budget = _BUDGET_SECONDS if values["budget"] is None else values["budget"]
    limits = Limits(values["node_bandwidth"], values["overcommit_bandwidth"])
    with UntilStopped() as until, _progress(budget) as on_progress:
        found, notes = assign_guests(
            names,
            wanted,
            Way(values["spread"], limits, budget),
            stale_seconds=stale_seconds,
            stopped=lambda: until.stopped,
            on_progress=on_progress,
        )
    show_unusable(found.unusable)
    check_asked(found.guests, found.candidates)
    variables = ansible_vars(found, wanted) if values["variables"] else b""
    show_warnings([*notes, *fit_notes(FleetFit(hosts=found.candidates))])
    if values["as_json"]:
        print_document(found)
    elif values["variables"] != "-":
        for guest in found.guests:
            show_findings(guest.warnings, guest.file)
        show(assignment_page(found))
    if values["variables"]:
        write_document(variables, values["variables"])
    sys.exit(found.exit_code)


@contextmanager
def _progress(budget_seconds: float) -> "Iterator[Callable[[Progress], None]]":
    """A bar of the budget on stderr if that is a terminal, with how good the assignment is so far."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[so_far]}"))
    bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    task = bar.add_task("Assigning guests", total=max(budget_seconds, 1.0), so_far="")
    with bar:

        def show_progress(now: "Progress") -> None:
            bar.update(task, description=_DOING[now.goal], completed=now.seconds, so_far=_so_far(now), refresh=True)

        yield show_progress


def _so_far(now: "Progress") -> str:
    if now.goal not in ("placed", "hosts") or now.value is None or now.bound is None:
        return ""
    return f"{now.value} of at most {now.bound}" if now.goal == "placed" else f"{now.value}, at least {now.bound}"
