"""``cachetune plan``: what a domain's XML needs on a host."""

from typing import Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.planning import plan_from_options, print_plan
from cachetune.cli.show.console import write_document
from cachetune.cli.verb import Verb, option


@click.command("plan", cls=Verb, exit_codes={0: "planned", 1: "cannot be planned", 2: "could not run"})
@click.argument("file", required=False)
@option(*("-o", "--output"), metavar="FILE", heading="Output", help="Save the plan as JSON for 'cachetune apply FILE'.")
@options.as_json
@options.planning
@options.host
def command(*, file: str | None, output: str | None, as_json: bool, **values: Any) -> None:
    """Show what a domain's XML needs on a host: groups, masks and task moves. Changes nothing.

    FILE is domain XML, or - for standard input. With --guest, the threads of a running guest are found by its name, and
    FILE may be a tuning file (only the <cputune> element); without FILE, the request is the guest's tuning file in
    guests.d, or else its live XML. Without --guest, --pid or --vcpu, groups are planned but no task moves.

    Masks are drawn as show draws caches: a letter is a way of the group itself, # of several groups, - of other groups
    only, and . is free. The letters are those that show has afterwards.

    \b
    Examples:
      cachetune plan --host sim:skylake-2s --shrink-default guest.xml
      cachetune plan --guest web
      cachetune plan --guest web tuning.xml
      cachetune plan --pid $(pidof qemu-system-x86_64) guest.xml
      virsh dumpxml guest | cachetune plan --vcpu 0=4711 -o plan.json -
    """
    plan, name = plan_from_options(file, values, as_json=as_json, refusal_code=1)
    if output:
        write_document(documents.encode(plan), output)
    if output != "-":
        print_plan(plan, name, as_json=as_json)
