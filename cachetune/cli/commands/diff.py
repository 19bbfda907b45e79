"""``cachetune diff``: a dry run with the exit codes of diff(1)."""

import sys
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.planning import plan_from_options, print_plan
from cachetune.cli.verb import Verb


@click.command("diff", cls=Verb, exit_codes={0: "no difference", 1: "differences", 2: "no plan, or could not run"})
@click.argument("file", required=False)
@options.as_json
@options.planning
@options.host
def command(*, file: str | None, as_json: bool, **values: Any) -> None:
    """Dry run of apply: does the host differ from what the domain's XML requests?

    Prints the same as plan. For a guest that libvirt placed, the differences are its drift from the XML.

    \b
    Examples:
      cachetune diff --guest web || echo drifted
      cachetune diff --all-guests
      cachetune diff --pid 4711 guest.xml
      cachetune diff --json --pid 4711 guest.xml | jq .summary
    """
    plan, name = plan_from_options(file, values, as_json=as_json, refusal_code=2)
    print_plan(plan, name, as_json=as_json)
    sys.exit(1 if plan.steps else 0)
