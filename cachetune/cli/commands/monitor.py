"""``cachetune monitor``: read the counters of groups, once or every few seconds."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import print_document, rendered, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.readings import readings_page
from cachetune.cli.show.readings_csv import csv_header, csv_rows
from cachetune.cli.show.table import unbroken
from cachetune.cli.streams import ReaderEndedError
from cachetune.cli.until_stopped import UntilStopped
from cachetune.cli.verb import Verb, option
from cachetune.errors import CachetuneError
from cachetune.service.notes import NewNotes
from cachetune.service.readings import HostReadings, Watcher
from cachetune.service.requests import read_document
from cachetune.watch.pace import ticks

_INTERVAL = 1.0
"""Seconds between readings if only their number is given."""


@click.command(
    "monitor",
    cls=Verb,
    exit_codes={
        0: "read; with --interval also: stopped by a signal",
        2: "could not run, could not read at the end, or stopped before --count readings",
    },
)
@click.argument("file", required=False)
@options.stack(options.guest, options.all_guests, options.machine_name)
@options.interval_option("Read again every SECONDS, and show rates.")
@option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    heading="How",
    help=f"Stop after N readings (default: go on until stopped; without --interval, every {_INTERVAL:g} s).",
)
@options.stack(options.event, options.as_json)
@option("--csv", "as_csv", is_flag=True, heading="Output", help="Print rates as CSV with the columns of pqos.")
@option("--prometheus", is_flag=True, heading="Output", help="Print totals and allocation as metrics for Prometheus.")
@options.stack(options.finding, options.host, options.resctrl, options.run)
def command(
    *,
    file: str | None,
    interval: float | None,
    force: bool,
    count: int | None,
    events: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
    **values: Any,
) -> None:
    """Read the counters of a guest's groups: cache occupancy, memory bandwidth, energy.

    Reads all groups of the guest named by FILE (domain XML, or - for standard input), --guest or --machine-name; with
    --all-guests, those of every running guest. By default, reads the default group and every group that libvirt or
    cachetune made. The values of a control group include its monitor groups. llc_occupancy is the current value; mbm_*
    counters start when the group is created. Missing readings keep the kernel's word, such as Unavailable.

    With --interval, prints readings until it is stopped, each with what was counted per second since the one before.
    The first reading is not printed, as it has no rates. --json prints one document per line.

    \b
    Examples:
      cachetune monitor --guest web
      cachetune monitor --interval 1
      cachetune monitor --interval 5 --count 12 --guest web
      cachetune monitor --interval 1 --csv >bandwidth.csv
      cachetune monitor --interval 1 --event mbm_total_bytes --json
      cachetune monitor --machine-name qemu-1-web --json
      cachetune monitor --prometheus >cachetune.prom
    """
    prometheus = values["prometheus"]
    if as_json + as_csv + prometheus > 1:
        raise click.UsageError("pass only one of --json, --csv and --prometheus")
    if prometheus and not (interval is None and count is None):
        raise click.UsageError("--prometheus prints one reading; to export every interval, run 'cachetune exporter'")
    if as_csv and interval is None and count is None:
        raise click.UsageError("--csv has rates, which take several readings; pass --interval SECONDS")
    options.check_interval(interval, force=force)
    where = (options.location(values), options.selection(values), read_document(file), events or None)
    with Watcher(*where) as watcher:
        if interval is None and count is None:
            _print_once(watcher.look(), as_json=as_json, prometheus=prometheus)
        else:
            every = interval or _INTERVAL
            sys.exit(_print_until_stopped(watcher, every, count, _output(every, as_json=as_json, as_csv=as_csv)))


def _print_once(found: HostReadings, *, as_json: bool, prometheus: bool) -> None:
    show_warnings(found.notes)
    if as_json:
        print_document(found.readings)
    elif prometheus:
        from cachetune.exporter.collector import text_of
        from cachetune.exporter.samples import samples_of_groups

        click.echo(text_of(samples_of_groups(found.readings.monitors, found.host)), nl=False)
    else:
        show(readings_page(found.readings, found.host))


class _Output(NamedTuple):
    """What is printed at first, and for each reading."""

    header: bytes
    reading: Callable[[HostReadings], bytes]


def _output(interval: float, *, as_json: bool, as_csv: bool) -> _Output:
    def time_of(found: HostReadings) -> str:
        """Local time, to the second if the interval is whole seconds."""
        moment = datetime.fromtimestamp(found.readings.time, UTC).astimezone().replace(tzinfo=None)
        return moment.isoformat(" ", "seconds" if interval.is_integer() else "milliseconds")

    def page(found: HostReadings) -> bytes:
        tables = readings_page(found.readings, found.host) if found.readings.monitors else ["No groups."]
        text = rendered([unbroken(time_of(found), "bold"), *tables, ""])
        return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")

    if as_json:
        return _Output(b"", lambda found: documents.encode_line(found.readings))
    if as_csv:
        return _Output(csv_header(), lambda found: csv_rows(found.readings, time_of(found)))
    return _Output(b"", page)


def _print_until_stopped(watcher: Watcher, interval: float, count: int | None, output: _Output) -> int:
    """Print ``count`` readings, or without it any number until stopped; return the exit code.

    Raises ReaderEndedError. Where a reading fails there is a warning instead: what was unmounted can be mounted again.
    """
    printed, failed, warnings = 0, False, NewNotes()
    with UntilStopped() as out:
        for tick in ticks(interval, None if count is None else count + 1, out.wait):
            try:
                found = watcher.look()
            except CachetuneError as error:
                if tick == 0:
                    raise
                show_warnings(warnings.new([str(error)]))
                failed = True
                continue
            show_warnings(warnings.new(found.notes))
            failed = False
            if out.stopped:
                break
            if tick == 0:
                out.write(output.header)
            else:
                printed += out.write(output.reading(found))
    if out.reader_has_ended:
        raise ReaderEndedError
    return 2 if failed or printed < (count or 0) else 0
