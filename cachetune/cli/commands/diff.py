"""``cachetune diff``: a dry run with diff's exit codes."""

import sys
from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.messages import show_findings, show_plan
from cachetune.findings import Refusal
from cachetune.plan import PlanRefusedError
from cachetune.service.wanted import Wanted, make_plan, planning


@click.command("diff")
@click.argument("file", required=False)
@options.as_json
@options.host
@planning
def command(*, as_json: bool, **wanted: Any) -> None:
    """Dry run of apply: does the host differ from what the domain's XML asks for?

    Prints the same as plan; for a guest that libvirt has placed that is what has drifted from its XML.
    Exit code: 0 no difference, 1 differences, 2 trouble (also XML or a host that does not
    allow a plan).

    \b
    Examples:
      cachetune diff --guest web || echo drifted
      cachetune diff --all-guests
      cachetune diff --pid 4711 guest.xml
      cachetune diff --json --pid 4711 guest.xml | jq .summary
    """
    asked = Wanted(**wanted)
    try:
        made = make_plan(asked)
    except PlanRefusedError as refused:
        if as_json:
            click.echo(documents.encode(Refusal(findings=refused.findings)), nl=False)
        else:
            show_findings(refused.findings, asked.name)
        sys.exit(2)
    if as_json:
        click.echo(documents.encode(made), nl=False)
    else:
        show_findings(made.warnings, asked.name)
        show_plan(made)
    sys.exit(1 if made.steps else 0)
