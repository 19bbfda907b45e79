"""``cachetune plan``: what a domain's XML means on a host."""

import sys
from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import print_document, write_document
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.cli.show.refusal import show_refusal
from cachetune.cli.verb import Verb, option
from cachetune.errors import PlanRefusedError
from cachetune.service.plans import make_plan
from cachetune.service.requests import read_document


@click.command("plan", cls=Verb, exit_codes={0: "planned", 1: "cannot be planned", 2: "could not run"})
@click.argument("file", required=False)
@option(
    *("-o", "--output"), metavar="FILE", heading="Output", help="Save the plan as JSON, for 'cachetune apply FILE'."
)
@options.as_json
@options.planning
@options.host
def command(*, file: str | None, output: str | None, as_json: bool, **values: Any) -> None:
    """Show what a domain's XML means on a host: groups, masks and task moves. Changes nothing.

    FILE is domain XML, or - for standard input. With --guest the threads of a running guest are found by its name, and
    FILE may be a tuning file (only the <cputune> element) or be omitted: then libvirt's live XML is used. Without
    --guest, --pid or --vcpu, groups are planned but no threads.

    \b
    Examples:
      cachetune plan --host sim:skylake-2s --shrink-default guest.xml
      cachetune plan --guest web
      cachetune plan --guest web tuning.xml
      cachetune plan --pid $(pidof qemu-system-x86_64) guest.xml
      virsh dumpxml guest | cachetune plan --vcpu 0=4711 --vcpu 1=4712 -o plan.json -
    """
    selection = options.selection(values)
    document = read_document(file)
    name = document.name if document else selection.guest or "all guests"
    try:
        planned = make_plan(options.location(values), selection, document, options.plan_options(values))
    except PlanRefusedError as refused:
        show_refusal(refused, name, as_json=as_json)
        if not as_json:
            click.echo("This cannot be planned.", err=True)
        sys.exit(1)
    show_warnings(planned.notes)
    if output:
        write_document(documents.encode(planned.plan), output)
    if output == "-":
        return
    if as_json:
        print_document(planned.plan)
    else:
        show_plan(planned.plan, name)
