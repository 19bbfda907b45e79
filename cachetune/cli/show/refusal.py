"""Why something cannot be planned: findings for people, or the refusal as a document."""

from cachetune.cli.show.console import print_document
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.errors import PlanRefusedError
from cachetune.findings import Refusal


def show_refusal(refused: PlanRefusedError, document: str, *, as_json: bool) -> None:
    """The findings on stderr, or one JSON document on stdout."""
    show_warnings(getattr(refused, "__notes__", ()))
    if as_json:
        print_document(Refusal(findings=refused.findings))
    else:
        show_findings(refused.findings, document)
