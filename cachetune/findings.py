"""Findings and the rules behind them: data, not code.

A rule has a stable id (``CT104``), a severity, one sentence that states it, a message with ``{placeholders}`` and a
suggested fix. Each table is next to the code that applies it: domain/rules.py (CT0xx, CT1xx, CT3xx), plan/rules.py
(CT2xx, CT4xx) and apply/rules.py (CT5xx). Longer texts, which only ``explain`` needs, are in cachetune/explain/texts.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]


class Source(msgspec.Struct, frozen=True):
    """A place in a document: 1-based line and column (0 where unknown) and the path of the element or attribute.

    ``document`` is the document's name, or "" where there is only one. Without a line, it is an option of the command.
    """

    line: int = 0
    column: int = 0
    path: str = ""
    document: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One rule. Its prose is in cachetune/explain/texts.

    ``bad`` and ``good`` are samples that a test runs: ``good`` is ``bad``, repaired. ``host`` says what they are
    checked against (cachetune/explain/samples.py). With "scene" (existing groups, threads, an earlier run) the samples
    are sentences, and the test builds the situation.
    """

    id: str
    severity: Severity
    summary: str
    message: str
    fix: str
    bad: str = ""
    good: str = ""
    host: str = ""

    def at(self, source: Source, *, hint: str | None = None, **values: object) -> "Finding":
        """Return the finding for a violation at ``source``; ``values`` fill the placeholders of message and fix.

        ``hint`` replaces the fix.
        """
        return Finding(
            rule=self.id,
            severity=self.severity,
            line=source.line,
            column=source.column,
            path=source.path,
            message=self.message.format_map(values),
            hint=self.fix.format_map(values) if hint is None else hint,
            document=source.document,
        )


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A violation of a rule and its place. Part of the JSON documents of ``validate`` and ``plan``.

    ``document`` is omitted where findings are grouped by file.
    """

    rule: str
    severity: Severity
    line: int
    column: int
    path: str
    message: str
    hint: str
    document: str = ""

    @property
    def text(self) -> str:
        """The message and the rule: ``attribute 'levl' is not allowed on <cache> [CT003]``."""
        return f"{self.message} [{self.rule}]"


def location_of(finding: Finding, document: str = "") -> str:
    """``FILE:LINE:COLUMN: `` of a finding in the document of that name, or its option; "" if it is about neither."""
    if finding.document and not finding.line:
        return f"{finding.document}: "
    name = finding.document or document
    return f"{name}:{finding.line}:{finding.column}: " if name and finding.line else ""


def first_error(findings: Iterable[Finding], document: str = "") -> str:
    """The first error in one line, with its place, and how many more there are; "" without errors."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{location_of(errors[0], document)}{errors[0].text}{more}"


class FileReport(msgspec.Struct, frozen=True):
    """All findings in one file. ``valid`` is true if none of them is an error."""

    file: str
    valid: bool
    findings: tuple[Finding, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``validate --json`` prints."""

    schema_version: Literal[1] = 1
    files: tuple[FileReport, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``plan --json`` and ``apply --dry-run --json`` print when no plan is possible."""

    schema_version: Literal[1] = 1
    findings: tuple[Finding, ...]
