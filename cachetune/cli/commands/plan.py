"""``cachetune plan``: what a domain's XML means on a host."""

import sys
from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import write_document
from cachetune.cli.show.messages import show_findings, show_plan
from cachetune.findings import Refusal
from cachetune.plan import PlanRefusedError
from cachetune.service.wanted import Wanted, make_plan, planning


@click.command("plan")
@click.argument("file", required=False)
@click.option("-o", "--output", metavar="FILE", help="Save the plan as JSON, for 'cachetune apply FILE'.")
@options.as_json
@options.host
@planning
def command(*, output: str | None, as_json: bool, **wanted: Any) -> None:
    """Show what a domain's XML means on a host: groups, masks, task moves. Nothing is changed.

    FILE is domain XML, - is stdin. With --guest the threads of a guest that runs here are found by its name, and FILE
    may be left out (then libvirt's live XML counts) or be a tuning file: the <cputune> part alone. Without --guest,
    --pid or --vcpu the groups are planned, but no threads.
    Exit code: 0 planned, 1 cannot be planned, 2 could not run.

    \b
    Examples:
      cachetune plan --host sim:skylake-2s --shrink-default guest.xml
      cachetune plan --guest web
      cachetune plan --guest web tuning.xml
      cachetune plan --pid $(pidof qemu-system-x86_64) guest.xml
      virsh dumpxml guest | cachetune plan --vcpu 0=4711 --vcpu 1=4712 -o plan.json -
    """
    asked = Wanted(**wanted)
    try:
        made = make_plan(asked)
    except PlanRefusedError as refused:
        if as_json:
            click.echo(documents.encode(Refusal(findings=refused.findings)), nl=False)
        else:
            show_findings(refused.findings, asked.name)
            click.echo("This cannot be planned.", err=True)
        sys.exit(1)
    if output:
        write_document(documents.encode(made), output)
    if as_json and output != "-":
        click.echo(documents.encode(made), nl=False)
    elif output != "-":
        show_findings(made.warnings, asked.name)
        show_plan(made)
