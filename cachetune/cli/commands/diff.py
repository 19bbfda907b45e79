"""``cachetune diff``: a dry run with the exit codes of diff(1)."""

import sys
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.cli.show.refusal import show_refusal
from cachetune.cli.verb import Verb
from cachetune.errors import PlanRefusedError
from cachetune.service.plans import make_plan
from cachetune.service.requests import read_document


@click.command("diff", cls=Verb, exit_codes={0: "no difference", 1: "differences", 2: "no plan, or could not run"})
@click.argument("file", required=False)
@options.as_json
@options.planning
@options.host
def command(*, file: str | None, as_json: bool, **values: Any) -> None:
    """Dry run of apply: does the host differ from what the domain's XML requests?

    Prints the same as plan. For a guest that libvirt has placed, that is its drift from the XML.

    \b
    Examples:
      cachetune diff --guest web || echo drifted
      cachetune diff --all-guests
      cachetune diff --pid 4711 guest.xml
      cachetune diff --json --pid 4711 guest.xml | jq .summary
    """
    selection = options.selection(values)
    document = read_document(file)
    name = document.name if document else selection.guest or "all guests"
    try:
        planned = make_plan(options.location(values), selection, document, options.plan_options(values))
    except PlanRefusedError as refused:
        show_refusal(refused, name, as_json=as_json)
        sys.exit(2)
    show_warnings(planned.notes)
    if as_json:
        print_document(planned.plan)
    else:
        show_plan(planned.plan, name)
    sys.exit(1 if planned.plan.steps else 0)
