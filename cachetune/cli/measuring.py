"""``cachetune advise --measure``: what is done, consent, progress on a terminal, and what was measured."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import msgspec

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import load_ledger
from cachetune.apply.state.measurement import Measurement
from cachetune.cli.changing import confirm, must_ask, talkative
from cachetune.cli.show.console import print_document, show, write_document
from cachetune.cli.show.curves import measured_page
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.plan.request import Options
from cachetune.service.measure import Progress, Request, measure, preview
from cachetune.service.select import Selection
from cachetune.service.suggest import Measured, Situation, suggest
from cachetune.text import count, printable
from cachetune.watch.advice import span


class Presentation(msgspec.Struct, frozen=True):
    """How to ask and to show: the options --yes, --dry-run, --json and --output."""

    yes: bool
    dry_run: bool
    as_json: bool
    output: str | None


def run_measurement(
    request: Request, connection: Connection, selection: Selection, options: Options, how: Presentation
) -> NoReturn:
    """Say what will be done, prompt for confirmation, measure, show, exit.

    Exits with 0, or with 1 if what was measured cannot be planned. Raises what ``measure`` raises.
    """
    connection = talkative(connection)
    planned = preview(request, connection)
    lines = [*_intention(planned, request)]
    if how.dry_run:
        click.echo("\n".join(lines))
        sys.exit(0)
    if must_ask(yes=how.yes, hint="pass --yes to go ahead, or --dry-run to see what would be done"):
        click.echo("\n".join(lines), err=True)
        confirm("Measure?")
    began = time.monotonic()
    with _bar() as on_progress:
        curves = measure(request, connection, on_progress)
    ledger = load_ledger(connection.run)
    now = Situation(request.guests, connection.look(ledger), ledger, selection.guests_d, options)
    _show(suggest(curves, now, time.monotonic() - began), how)


def _intention(planned: Measurement, request: Request) -> Iterator[str]:
    """What the measurement will do, in lines."""
    for group in planned.groups:
        sizes = [mask.bit_count() for mask in group.masks]
        now = f"{count(group.before.bit_count(), 'way')} ({group.before:x})"
        yield (
            f"{printable(group.path)} gets {sizes[0]} to {count(sizes[-1], 'way')} of {planned.resource} cache "
            f"{planned.cache_id}, one size after another, and then its {now} back"
        )
    yield f"It takes about {span(request.budget_seconds)}. SIGINT stops it; the ways of before come back then, too."


def _show(measured: Measured, how: Presentation) -> NoReturn:
    show_warnings(measured.notes)
    show_findings(measured.findings, "")
    if how.output and measured.plan:
        write_document(documents.encode(measured.plan), how.output)
    if how.as_json:
        print_document(measured)
    elif how.output != "-":
        show(measured_page(measured))
        if measured.plan and measured.divided_ways is not None:
            click.echo()
            show_plan(measured.plan)
            click.echo()
            saved = how.output or "FILE"
            again = "" if how.output else "pass -o FILE to save it, then "
            click.echo(f"Nothing was changed. To apply this plan: {again}run 'cachetune apply {printable(saved)}'")
    sys.exit(0 if measured.plan else 1)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
    tasks: list[TaskID] = []
    with bar:

        def show_progress(progress: Progress) -> None:
            what = f"{printable(progress.guest)} with {count(progress.ways, 'way')}"
            left = f"{span(progress.seconds_left)} left"
            if not tasks:
                tasks.append(bar.add_task(what, total=progress.total, left=left))
            bar.update(tasks[0], completed=progress.done, description=what, left=left, refresh=True)

        yield show_progress
