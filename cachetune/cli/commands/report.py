"""``cachetune report``: what the history says about a period, as a page or as text."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click
from msgspec.structs import replace

from cachetune.apply.state.change_log import SYSTEM_RUN, log_of
from cachetune.cli import options
from cachetune.cli.show.changes import damage_of
from cachetune.cli.show.console import rendered, write_document
from cachetune.cli.verb import Verb, option
from cachetune.errors import CachetuneError, InputError, NotMountedError
from cachetune.service.change_log import Wanted, log_files, opened, read_changes
from cachetune.service.history_report import report_of
from cachetune.service.hosts import read_location
from cachetune.service.idle import usage_on
from cachetune.service.moments import parse_moment
from cachetune.service.noisy import recorded_noise
from cachetune.watch.history import History


@click.command(
    "report", cls=Verb, exit_codes={0: "reported", 2: "could not run, or nothing was recorded in the period"}
)
@options.guest_option("Only this guest and its changes.")
@option(
    "--since",
    metavar="TIME",
    default="10min",
    show_default=True,
    heading="How",
    help="From a time as journalctl takes it, such as 10min, yesterday or '2026-11-30 10:00'.",
)
@option("--until", metavar="TIME", default="now", show_default=True, heading="How", help="To this time.")
@option(
    "--format",
    "form",
    type=click.Choice(["html", "text"]),
    heading="Output",
    help="A page for a browser, or text (default: html with --output, else text).",
)
@option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    heading="Output",
    help="The file to write (default: standard output).",
)
@options.stack(options.db, options.log, options.resctrl, options.sysfs, options.run)
def command(
    *,
    guest: str | None,
    since: str,
    until: str,
    form: Literal["html", "text"] | None,
    output: str,
    db: Path,
    **values: Any,
) -> None:
    """Show what guests used over a period: cache occupancy against allotment, bandwidth, free ways, and changes.

    Reads what 'cachetune record' has recorded, and the change log. The page is one file without scripts that loads
    nothing, readable in light and dark, in print, and without color. It requires the extra 'report'; text does not.

    \b
    Examples:
      cachetune report -o report.html
      cachetune report --since 2h --guest web
      cachetune report --since '2026-11-30 10:00' --until 12:00 -o morning.html
    """
    now = datetime.now(UTC)
    begin, end = parse_moment(since, now), parse_moment(until, now)
    if end < begin:
        raise InputError("--until is before --since")
    path = values["log"] or log_of(values["run"], is_system=values["run"] == SYSTEM_RUN)
    log = read_changes(opened(log_files(path)), Wanted(since=begin, until=end, guest=guest))
    with History(db) as history:
        found = report_of(
            history, begin.timestamp(), end.timestamp(), guest, log.changes, (*_host_findings(values), *damage_of(log))
        )
    noise = recorded_noise(db, begin.timestamp(), end.timestamp(), guest)
    found = replace(found, ranking=noise.ranking)
    if (form or ("html" if output != "-" else "text")) == "html":
        from cachetune.cli.show.history_html import history_html

        write_document(history_html(found, str(db)), output)
        return
    from cachetune.cli.show.history_text import history_page

    text = rendered(history_page(found, str(db)))
    if output == "-":
        click.echo(text, nl=False, color=True)
    else:
        write_document(click.unstyle(text).encode("utf-8", "backslashreplace"), output)


def _host_findings(values: dict[str, Any]) -> Iterator[str]:
    """What the host says now. A history can be read elsewhere, where there is no resctrl."""
    location = options.location(values)
    try:
        reading = read_location(location)
    except NotMountedError:
        return
    except CachetuneError as error:
        yield f"this host cannot be read now: {error}"
        return
    yield from reading.notes
    for idle in usage_on(location, reading).idle:
        ways = f"{idle.resource} cache {idle.id}: {idle.ways.bit_count()} idle now, because no group has them"
        yield (
            f"{ways}; '{idle.command}' gives {idle.back.bit_count()} of them to the default group"
            if idle.command
            else ways
        )
