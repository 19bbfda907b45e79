"""``cachetune record``: keep a history of the counters."""

import os
import time
from pathlib import Path
from typing import Any, Literal

import click
from msgspec.structs import replace

from cachetune import text
from cachetune.agent import signals
from cachetune.agent.notify import notifier
from cachetune.cli import options
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.service.moments import parse_span
from cachetune.service.readings import Watcher
from cachetune.service.recording import Recording, record
from cachetune.units import Size
from cachetune.watch.history import MAX_BYTES, Limits, Recorder
from cachetune.watch.pace import ticks

_LEAST_BYTES = 1 << 20


@click.command(
    "record",
    cls=Verb,
    exit_codes={
        0: "stopped by a signal, or after --count moments",
        2: "could not start, or the history is damaged",
    },
)
@options.interval_option("Read the counters every SECONDS.", default=1.0)
@option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    heading="How",
    help="Stop after N readings (default: go on until stopped).",
)
@option(
    "--keep",
    metavar="SPAN",
    default="24h",
    show_default=True,
    heading="Output",
    help="Delete what is older, such as 90min, 24h or 7d.",
)
@option(
    "--max-size",
    metavar="SIZE",
    default=f"{MAX_BYTES >> 30}GiB",
    show_default=True,
    heading="Output",
    help="Delete the oldest moments where the database would exceed this size.",
)
@options.stack(options.db, options.host, options.resctrl, options.sysfs, options.run)
def command(
    *, interval: float, force: bool, count: int | None, keep: str, max_size: str, db: Path, **values: Any
) -> None:
    """Record the counters of all groups, for report, noisy and advise.

    Adds what each group uses of each L3 cache, and its memory bandwidth, to an SQLite database: a moment every
    interval, until SIGINT or SIGTERM. Old moments are deleted. Others can read the database at the same time; a
    second record into it is refused. What cannot be recorded, as on a full disk, is reported and missing. It needs no
    root, only a database that its user may write, and writes nothing to resctrl.

    \b
    Examples:
      cachetune record
      cachetune record --interval 5 --keep 7d --max-size 2GiB
      cachetune record --db history.db --count 600
    """
    options.check_interval(interval, force=force)
    limits = Limits(keep_seconds=parse_span(keep), max_bytes=_size(max_size))
    # Foreign groups are recorded, too: they use the caches, and a ranking that lacks them would blame others.
    selection = replace(options.selection(values), foreign=True)
    signals.block()
    service = notifier(os.environ)

    def ready() -> None:
        click.echo(f"recording to {text.printable(str(db))} every {interval:g} s, keeping {keep}", err=True)
        service.send(READY="1")

    with Recorder(db, limits) as recorder, Watcher(options.location(values), selection) as watcher:
        recording = Recording(recorder, _report)
        record(watcher, recording, ticks(interval, count, _stopped), ready)
        service.send(STOPPING="1")
    click.echo(f"recorded {text.count(recording.recorded, 'moment')}", err=True)


def _size(word: str) -> int:
    """A size in bytes. Raises InputError."""
    try:
        size = Size.parse(word)
    except ValueError as error:
        raise InputError(f"--max-size: {error}") from None
    if size.unit != "B" or size.number < _LEAST_BYTES:
        raise InputError(f"--max-size {word}: expected at least 1MiB", hint="write it as 500MiB or 2GiB")
    return int(size.number)


def _report(level: Literal["warning", "notice"], sentence: str) -> None:
    if level == "warning":
        show_warnings([sentence])
    else:
        click.echo(f"{level}: {text.printable(sentence)}", err=True)


def _stopped(seconds: float) -> bool:
    """Wait; return whether a signal ends it. The signals are blocked, so none interrupts a moment."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if signals.wait(left, left, lambda: None) == "stop":
            return True
    return signals.stop_is_pending()
