"""``cachetune advise``: which size to request."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.service.moments import parse_moment, parse_span

_EXIT_CODES = {
    0: "advised",
    1: "a measurement ended early, or its advice cannot be planned; the ways of before are restored",
    2: "could not start: nothing was changed",
    3: "a measurement could not restore all ways of before",
}
_OF_MEASURING = {"budget": "--budget", "cache_id": "--cache", "output": "--output", "dry_run": "--dry-run"}


@click.command("advise", cls=Verb, exit_codes=_EXIT_CODES)
@option(
    *("--guest", "guests"),
    metavar="NAME|UUID",
    multiple=True,
    heading="Which guest",
    help="A guest. Repeatable: several that are measured divide the cache.",
)
@option("--since", metavar="TIME", heading="How", help="Only what was recorded since then, such as 2h or 'yesterday'.")
@option("--measure", is_flag=True, heading="How", help="Give each guest one size after another for a while.")
@option("--budget", metavar="SPAN", heading="How", help="How long to measure in all (default: 3min).")
@option("--cache", "cache_id", type=click.IntRange(min=0), metavar="ID", heading="How", help="The L3 cache to measure.")
@option(*("-o", "--output"), metavar="FILE", heading="Output", help="Save the plan as JSON for 'cachetune apply FILE'.")
@option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    heading="Where",
    help="The history (default: /var/lib/cachetune/history.db).",
)
@options.stack(options.as_json, options.consent, options.lock_timeout)
@options.stack(options.guests_d, options.finding, options.resctrl, options.sysfs, options.run, options.policy)
def command(*, measure: bool, **values: Any) -> None:
    """Say how many ways a guest should have: from the history, or by measuring.

    Without --measure, reads what 'cachetune record' has recorded and changes nothing: how full each group kept its
    ways, and whether it needed them. That shows where fewer ways would do, but not how much more would help.

    --measure steps each guest's ways through all sizes that its own ways and the free ones beside them allow, and reads
    the memory traffic and the occupancy with each. Other groups keep their ways, and the guest gets its ways of before
    back: at the end, after an error or a signal, and after SIGKILL by 'cachetune recover'. Prints the memory traffic by
    ways, the knee (the least number of ways beyond which more hardly help), and the XML. Several guests divide the ways
    that they have and the free ones so that together they read the least from memory; the plan for that is shown, and
    is not applied.

    \b
    Examples:
      cachetune advise
      cachetune advise --guest web --since 2h
      cachetune advise --measure --guest web
      cachetune advise --measure --guest web --budget 1min --cache 0 --yes --json
      cachetune advise --measure --guest web --guest db -o plan.json
    """
    if "" in values["guests"]:
        raise InputError("the name of --guest is empty")
    _measured(values) if measure else _from_history(values)


def _from_history(values: Mapping[str, Any]) -> None:
    from cachetune.cli.show.advice import advice_page
    from cachetune.cli.show.console import print_document, show
    from cachetune.service.advise import advise_from
    from cachetune.watch.history import DEFAULT_DB

    if given := [name for key, name in _OF_MEASURING.items() if values[key] is not None and values[key] is not False]:
        raise InputError(f"{given[0]} is for a measurement", hint="add --measure")
    since = None
    if values["since"] is not None:
        since = parse_moment(values["since"], datetime.fromtimestamp(time.time(), UTC)).timestamp()
    advice = advise_from(values["db"] or DEFAULT_DB, values["guests"], since)
    if values["as_json"]:
        print_document(advice)
    else:
        show(advice_page(advice))


def _measured(values: Mapping[str, Any]) -> None:
    from cachetune.cli.measuring import Presentation, run_measurement
    from cachetune.service.connection import connect
    from cachetune.service.measure import Request
    from cachetune.service.select import select_guests, warnings_about

    if values["since"] is not None or values["db"] is not None:
        raise InputError("a measurement does not use the history", hint="omit --since and --db")
    if not values["guests"]:
        raise InputError("--measure needs to know whom to measure", hint="pass --guest NAME")
    found = []
    for name in values["guests"]:
        (guest,) = select_guests(options.selection({**values, "guest": name})).guests
        if guest not in found:
            show_warnings(warnings_about(guest))
            found.append(guest)
    how = options.plan_options(values)
    request = Request(
        guests=tuple(found),
        cache_id=values["cache_id"],
        budget_seconds=parse_span(values["budget"] or "3min"),
        policy=how.policy,
    )
    presentation = Presentation(values["yes"], values["dry_run"], values["as_json"], values["output"])
    run_measurement(request, connect(options.location(values)), options.selection(values), how, presentation)
