"""Text for people and editors: FILE:LINE:COLUMN: severity: message [rule], with the hint in a second line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report


def render(report: "Report") -> str:
    """The findings as lines; "" without findings, for which nothing is imported."""
    outcomes = [outcome for outcome in report.found.outcomes if outcome.findings]
    if not outcomes:
        return ""
    from cachetune.cli.show.findings import finding_text

    return "".join(finding_text(finding, outcome.file) for outcome in outcomes for finding in outcome.findings)
