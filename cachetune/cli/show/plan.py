"""A plan as text."""

import click

from cachetune.cli.show.findings import show_findings
from cachetune.cli.show.ways import ways_picture
from cachetune.plan import Plan
from cachetune.plan.render import render
from cachetune.text import printable

_COLORS = {"+": "green", "~": "yellow", "-": "red", ">": "cyan"}


def show_plan(plan: Plan, document: str = "", *, err: bool = False) -> None:
    """Show the warnings on stderr and the plan on stdout; with ``err``, both on stderr."""
    show_findings(plan.warnings, document)
    for number, line in enumerate(render(plan, ways_picture)):
        if not line.mark and number:
            click.echo(err=err)
        click.echo(click.style(printable(line.text), fg=_COLORS.get(line.mark)), err=err)
