"""``cachetune top``: what guests use now, full screen, or one frame of it."""

import sys
import time
from typing import Any

import click
from msgspec.structs import replace

from cachetune.agent.effective import effective_options
from cachetune.cli import options
from cachetune.cli.show.console import show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.top.model import EVENTS
from cachetune.cli.top.session import Session, screen_width
from cachetune.cli.top.view import ORDERS, View
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError, MissingExtraError
from cachetune.service.looks import Looker

_SCREEN = "What"


@click.command("top", cls=Verb, exit_codes={0: "ended, or one frame shown", 2: "could not run"})
@option("--once", is_flag=True, heading=_SCREEN, help="Print one frame, after one interval, and end.")
@option(
    "--sort",
    "order",
    type=click.Choice(ORDERS),
    default="occupancy",
    show_default=True,
    heading=_SCREEN,
    help="What to sort by.",
)
@option(
    "--filter",
    "pattern",
    default="",
    metavar="TEXT",
    heading=_SCREEN,
    help="Show only guests and groups with this in their name, path or owner.",
)
@option("--per-cache", is_flag=True, heading=_SCREEN, help="A row for each cache, not one for all.")
@option("--unfold", "unfold_all", is_flag=True, heading=_SCREEN, help="Also show the groups and caches of each guest.")
@options.interval_option("How often to look.", 1.0)
@options.stack(options.guest, options.all_guests, options.machine_name)
@options.stack(options.finding, options.guests_d, options.host, options.resctrl, options.sysfs, options.run)
def command(*, once: bool, interval: float, force: bool, **values: Any) -> None:
    """Show what guests use now: cache occupancy against their own ways, memory bandwidth, and what is left.

    A row is a guest, the default group, or a group of another program; Enter unfolds it to its groups and caches. A
    guest that has no groups is a row without counters. A guest that differs from its request is drifted, as in
    'cachetune guests'. The picture of each cache has a letter for each control group. '?' shows all keys. Changes
    nothing. Needs the extra 'top', except for --once.

    \b
    Examples:
      cachetune top
      cachetune top --interval 5 --sort total
      cachetune top --once --unfold
    """
    options.check_interval(interval, force=force)
    view = View(**{name: values[name] for name in View.__struct_fields__ if name in values})
    location = options.location(values)
    selection = replace(options.selection(values), foreign=True, without_groups=True)
    with Looker(location, selection, EVENTS, lambda: effective_options(location, selection).options) as looker:
        if once:
            _print_frame(looker, view, interval)
            return
        if not has_terminal():
            raise InputError("top needs a terminal", hint="to print one frame, pass --once")
        try:
            from cachetune.cli.top.app import run
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "textual":
                raise
            raise MissingExtraError("top", "textual", "the live view") from None
        run(looker.look, view, interval)


def has_terminal() -> bool:
    """Whether a person can see it, and press keys."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _print_frame(looker: Looker, view: View, interval: float) -> None:
    session = Session(looker.look(), time.monotonic())
    time.sleep(interval)  # rates need a second look
    session.add(looker.look(), time.monotonic(), interval)
    show_warnings(session.notes)
    show(session.frame(view, screen_width(), [time.strftime("%H:%M:%S", time.localtime(session.time))]))
