"""Findings and the rules behind them: data, not code.

A rule has a stable id (``CT104``), a severity, one sentence that says what it demands, a message with ``{holes}`` and
a fix. The tables stand beside the code that applies them: domain/rules.py (CT0xx, CT1xx, CT3xx), plan/rules.py
(CT2xx, CT4xx) and apply/rules.py (CT5xx).
"""

from typing import Literal

import msgspec

Severity = Literal["error", "warning"]


class Source(msgspec.Struct, frozen=True):
    """A place in a document: 1-based line and column (0 where unknown) and the path of the element or attribute.

    ``document`` is the document's name where there may be several.
    """

    line: int = 0
    column: int = 0
    path: str = ""
    document: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One rule. ``bad`` and ``good`` are samples that a test runs; ``host`` names what judges them.

    A rule about existing groups, threads or an earlier run has ``host`` "scene": a sentence for each sample, while the
    test builds the situation.
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
        """The finding that this rule makes at ``source``; ``values`` fill the holes of message and fix."""
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
    """What a rule found, and where. Part of the JSON contracts of ``validate`` and ``plan``.

    ``document`` is left out where the findings stand under a file's name.
    """

    rule: str
    severity: Severity
    line: int
    column: int
    path: str
    message: str
    hint: str
    document: str = ""


class RuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``explain --json`` prints: all rules, or the one that was asked for."""

    schema_version: Literal[1] = 1
    rules: tuple[Rule, ...]


class FileReport(msgspec.Struct, frozen=True):
    """All findings in one file; ``valid`` means that none of them is an error."""

    file: str
    valid: bool
    findings: tuple[Finding, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``validate --json`` prints."""

    schema_version: Literal[1] = 1
    files: tuple[FileReport, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``plan --json`` prints when it cannot plan."""

    schema_version: Literal[1] = 1
    findings: tuple[Finding, ...]
