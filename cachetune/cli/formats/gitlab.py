"""GitLab's Code Quality report: a part of Code Climate's format, shown in merge requests.

Source: docs.gitlab.com, "Code Quality report format".
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from cachetune import documents
from cachetune.cli.formats.places import fingerprints, in_repository

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report


class Lines(msgspec.Struct, frozen=True):
    """The 1-based line."""

    begin: int


class Location(msgspec.Struct, frozen=True):
    """A file, from the root of the repository."""

    path: str
    lines: Lines


class Issue(msgspec.Struct, frozen=True):
    """A finding. GitLab shows one of those with equal fingerprints."""

    description: str
    check_name: str
    fingerprint: str
    severity: Literal["major", "minor"]
    location: Location


def render(report: "Report") -> bytes:
    """An array of issues; also one for each file that could not be read."""
    return documents.encode([*_issues(report)])


def _issues(report: "Report") -> Iterator[Issue]:
    for file in report.found.document().files:
        path = in_repository(file.file)
        for finding, fingerprint in zip(file.findings, fingerprints(path, file.findings), strict=True):
            yield Issue(
                description=finding.message,
                check_name=finding.rule,
                fingerprint=fingerprint,
                severity="major" if finding.severity == "error" else "minor",
                location=Location(path, Lines(max(finding.line, 1))),
            )
