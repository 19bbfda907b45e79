"""``cachetune noisy``: which guests and groups take cache from others."""

import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.noisy import noisy_page
from cachetune.cli.show.progress import progress
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.service.moments import parse_moment, parse_span
from cachetune.service.noisy import Noise, recorded_noise, watch_noise
from cachetune.watch.pace import ticks
from cachetune.watch.ranking import FEWEST_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WHEN = "How"
_INTERVAL, _SPAN = 1.0, "30s"


@click.command(
    "noisy",
    cls=Verb,
    exit_codes={
        0: "no guest or group takes from others",
        1: "one or more do",
        2: "could not run, or too few readings",
    },
)
@option("--for", "span", metavar="SPAN", heading=_WHEN, help=f"Read the counters for so long (default: {_SPAN}).")
@options.interval_option("Read every SECONDS.", default=_INTERVAL)
@option(
    "--since",
    metavar="TIME",
    heading=_WHEN,
    help="Use the history since a time as journalctl takes it, such as 10min or 10:00.",
)
@option("--until", metavar="TIME", heading=_WHEN, help="Use the history until this time.")
@option("--guest", metavar="NAME", heading="Which guest", help="Only what this guest takes, and what is taken from it.")
@options.stack(options.as_json, options.db, options.host, options.resctrl, options.sysfs, options.run)
def command(  # noqa: PLR0913 - the options
    *,
    span: str | None,
    interval: float,
    force: bool,
    since: str | None,
    until: str | None,
    guest: str | None,
    as_json: bool,
    db: Path,
    **values: Any,
) -> None:
    """Rank guests and groups by what they take from others, with the evidence.

    A guest takes from another if both may fill the same ways, these are full, it holds more than an equal share of
    them, and so the other has to read from memory again what it had in the cache. Counters do not show that; it is
    estimated from occupancy and memory bandwidth. The default group counts too, without the guests that only have
    monitors in it. For each that takes, it prints the command that would contain it.

    Reads the counters of now for a while, or with --since and --until what 'cachetune record' has written.

    \b
    Examples:
      cachetune noisy
      cachetune noisy --for 2min --guest web
      cachetune noisy --since 10min
      cachetune noisy --since 02:00 --until 02:30 --db history.db --json
    """
    if since is None and until is None:
        options.check_interval(interval, force=force)
        found = _live(values, parse_span(span or _SPAN), interval, guest)
    else:
        if span is not None:
            raise click.UsageError("--for reads the counters of now, --since and --until the history; pass either")
        now = datetime.now(UTC)
        first, last = (None if text is None else parse_moment(text, now).timestamp() for text in (since, until))
        found = recorded_noise(db, first, last, guest)
    show_warnings(found.notes)
    if as_json:
        print_document(found.ranking)
    else:
        show(noisy_page(found.ranking))
    if found.ranking.samples < FEWEST_SAMPLES:
        sys.exit(2)
    sys.exit(1 if found.ranking.noisy else 0)


def _live(values: dict[str, Any], seconds: float, interval: float, guest: str | None) -> Noise:
    """Read the counters. Raises InputError if that time has too few intervals."""
    samples = int(seconds / interval + 1e-9)
    if samples < FEWEST_SAMPLES:
        raise InputError(
            f"--for {seconds:g}s has fewer than {FEWEST_SAMPLES} intervals of {interval:g} s",
            hint="pass a longer --for or a shorter --interval",
        )
    with _shown(samples) as on_look:
        return watch_noise(options.location(values), ticks(interval, samples + 1), on_look, guest)


@contextmanager
def _shown(samples: int) -> "Iterator[Callable[[int], None]]":
    """Show the progress on a terminal; the first reading has no rates yet."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with progress("Reading counters", samples) as tick:
        yield lambda number: tick(number - 1)
