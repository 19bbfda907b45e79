"""``cachetune diff``: a dry run with the exit codes of diff(1)."""

import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click
from msgspec.structs import replace

from cachetune.agent.effective import effective_options
from cachetune.cli import options
from cachetune.cli.planning import plan_from_options, print_plan
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.guests import drift_page
from cachetune.cli.verb import Verb
from cachetune.service.drift import drift_of
from cachetune.service.requests import read_document


@click.command("diff", cls=Verb, exit_codes={0: "no difference", 1: "differences", 2: "no plan, or could not run"})
@click.argument("file", required=False)
@options.as_json
@options.planning
@options.host
def command(*, file: str | None, as_json: bool, **values: Any) -> None:
    """Dry run of apply: does the host differ from what the domain's XML requests?

    Prints the same as plan. Without FILE, the request of --guest is its tuning file in guests.d, or else its live XML.
    For a guest that libvirt placed, the differences are its drift from the XML.

    --all-guests checks the whole host and prints a line for each running guest: where its request is from, and whether
    it is applied, has drifted, or is refused. Each guest is planned on its own, with the options given, and with those
    of the running agent where none is given.

    \b
    Examples:
      cachetune diff --guest web || echo drifted
      cachetune diff --all-guests
      cachetune diff --pid 4711 guest.xml
      cachetune diff --json --pid 4711 guest.xml | jq .summary
    """
    if values["all_guests"]:
        _show_drift(file, values, as_json=as_json)
    plan, name = plan_from_options(file, values, as_json=as_json, refusal_code=2)
    print_plan(plan, name, as_json=as_json)
    sys.exit(1 if plan.steps else 0)


def _show_drift(file: str | None, values: Mapping[str, Any], *, as_json: bool) -> NoReturn:
    """Print a line for each guest and exit with 0, 1 or 2."""
    location, selection = options.location(values), options.selection(values)
    effective = effective_options(location, selection, options.plan_options(values))
    drift = drift_of(location, selection, read_document(file), effective.options)
    drift = replace(drift, agent_options=effective.words)
    show_warnings(drift.notes)
    if as_json:
        print_document(drift)
    else:
        show(drift_page(drift))
    sys.exit(drift.exit_code)
