"""A plan as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.console import show
from cachetune.cli.show.findings import show_findings
from cachetune.cli.show.table import Sentence
from cachetune.plan import Plan
from cachetune.plan.render import render
from cachetune.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"+": "green", "~": "yellow", "-": "red", ">": "cyan", "#": "dim"}


def show_plan(plan: Plan, document: str = "", *, err: bool = False) -> None:
    """Show the warnings on stderr and the plan on stdout; with ``err``, both on stderr."""
    show_findings(plan.warnings, document)
    show(_page(plan), err=err)


def _page(plan: Plan) -> Iterator["RenderableType"]:
    """The lines of the plan, with a blank line above the legend, or above the summary of a plan without pictures."""
    from rich.text import Text

    has_ended = False
    for number, line in enumerate(render(plan)):
        if line.mark in ("#", "") and number and not has_ended:
            yield ""
            has_ended = True
        yield Sentence(Text(printable(line.text), _STYLES.get(line.mark, "")), line.indent)
