"""The document Findings (docs/reference/json.md)."""

from typing import TYPE_CHECKING

from cachetune import documents

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report


def render(report: "Report") -> bytes:
    """The document, with every file that was checked."""
    return documents.encode(report.found.document())
