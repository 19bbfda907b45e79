"""Shared by the verbs that plan: make the plan that the options describe, or show why that is impossible and exit."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.plan import show_plan
from cachetune.errors import PlanRefusedError
from cachetune.findings import Refusal
from cachetune.plan.model import Plan
from cachetune.service.notes import notes_of
from cachetune.service.plans import make_plan
from cachetune.service.requests import Document, read_document
from cachetune.service.select import Selection


def plan_from_options(
    file: str | None, values: Mapping[str, Any], *, as_json: bool, refusal_code: int
) -> tuple[Plan, str]:
    """Make the plan; return it and the name of its source for findings. Exits with ``refusal_code`` if refused."""
    selection, document = options.selection(values), read_document(file)
    name = source_name(document, selection)
    try:
        planned = make_plan(options.location(values), selection, document, options.plan_options(values))
    except PlanRefusedError as refused:
        _show_refusal(refused, name, as_json=as_json)
        sys.exit(refusal_code)
    show_warnings(planned.notes)
    return planned.plan, name


def print_plan(plan: Plan, name: str, *, as_json: bool) -> None:
    """Print the plan on stdout, as text or as a document."""
    if as_json:
        print_document(plan)
    else:
        show_plan(plan, name)


def source_name(document: Document | None, selection: Selection) -> str:
    """The name of what is planned, for findings that do not name a document."""
    return document.name if document else selection.guest or "all guests"


def _show_refusal(refused: PlanRefusedError, name: str, *, as_json: bool) -> None:
    show_warnings(notes_of(refused))
    if as_json:
        print_document(Refusal(findings=refused.findings))
    else:
        show_findings(refused.findings, name)
        click.echo("This cannot be planned.", err=True)
