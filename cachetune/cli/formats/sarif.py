"""SARIF 2.1.0, which GitHub's code scanning, Azure DevOps and editors read.

A finding is a result. A file that could not be read is a notification of the invocation: nothing is known about it.
Source: the standard of OASIS, and docs.github.com, "SARIF support for code scanning".
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from cachetune import __version__, documents
from cachetune.cli.formats.places import fingerprints, in_repository
from cachetune.cli.formats.sarif_log import (
    Artifact,
    Base,
    Configuration,
    Driver,
    Invocation,
    Location,
    Log,
    LogicalLocation,
    Message,
    Notification,
    PhysicalLocation,
    Region,
    Result,
    Rule,
    Run,
    Tool,
)
from cachetune.explain.catalog import explained_rules
from cachetune.explain.model import ExplainedRule
from cachetune.explain.samples import Sample, bad_sample, good_sample
from cachetune.findings import Finding
from cachetune.text import printable

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report
    from cachetune.service.validation import Outcome

_ROOT = "%SRCROOT%"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: "Report") -> bytes:
    """The document, with one run and the rules that its results name."""
    outcomes = report.found.for_each_file()
    names = sorted({finding.rule for outcome in outcomes for finding in outcome.findings})
    texts = explained_rules()
    rules = tuple(_rule(texts[name]) for name in names)
    driver = Driver(name="cachetune", version=__version__, semantic_version=__version__, rules=rules)
    invocation = Invocation(
        exit_code=report.exit_code,
        execution_successful=report.exit_code < 2,
        tool_execution_notifications=tuple(_notification(each) for each in outcomes if each.unreadable),
    )
    run = Run(
        tool=Tool(driver=driver),
        invocations=(invocation,),
        original_uri_base_ids={_ROOT: Base(description=Message(text="The root of the repository."))},
        column_kind="unicodeCodePoints",
        results=tuple(result for outcome in outcomes for result in _results(outcome, names)),
    )
    return documents.encode(Log(schema=_SCHEMA, version="2.1.0", runs=(run,)))


def _rule(rule: ExplainedRule) -> Rule:
    return Rule(
        id=rule.id,
        short_description=Message(text=rule.summary),
        full_description=Message(text=rule.meaning),
        help=_help(rule),
        default_configuration=Configuration(level=rule.severity),
        properties={"tags": ["libvirt", "resctrl"], "problem.severity": rule.severity},
    )


def _help(rule: ExplainedRule) -> Message:
    """The prose of ``cachetune explain``, without its links."""
    parts = (
        rule.meaning,
        f"**Why it matters:** {rule.why}",
        f"**Breaks it:**\n\n{_block(bad_sample(rule))}",
        f"**Satisfies it:**\n\n{_block(good_sample(rule))}",
        f"**How to fix it:** {rule.remedy}",
    )
    return Message(text=f"{rule.meaning}\n\n{rule.why}\n\n{rule.remedy}", markdown="\n\n".join(parts))


def _block(sample: Sample) -> str:
    text = "\n".join(line.text for line in sample.lines)
    return f"```xml\n{text}\n```" if sample.is_xml else f"> {text}"


def _results(outcome: "Outcome", names: list[str]) -> Iterator[Result]:
    file = in_repository(outcome.file)
    for finding, fingerprint in zip(outcome.findings, fingerprints(file, outcome.findings), strict=True):
        hint = f"\n{finding.hint}" if finding.hint else ""
        yield Result(
            rule_id=finding.rule,
            rule_index=names.index(finding.rule),
            level=finding.severity,
            message=Message(text=f"{finding.message}{hint}"),
            locations=(_location(file, finding),),
            partial_fingerprints={"finding/v1": fingerprint},
        )


def _location(file: str, finding: Finding) -> Location:
    region = Region(start_line=finding.line, start_column=finding.column or None) if finding.line else None
    kind: Literal["attribute", "element"] = "attribute" if "@" in finding.path else "element"
    return Location(
        physical_location=PhysicalLocation(artifact_location=_artifact(file), region=region),
        logical_locations=(LogicalLocation(fully_qualified_name=finding.path, kind=kind),) if finding.path else (),
    )


def _notification(outcome: "Outcome") -> Notification:
    location = Location(physical_location=PhysicalLocation(artifact_location=_artifact(in_repository(outcome.file))))
    return Notification(level="error", message=Message(text=printable(outcome.unreadable)), locations=(location,))


def _artifact(file: str) -> Artifact:
    """A name is any bytes but NUL; a URI is ASCII."""
    if Path(file).is_absolute():
        return Artifact(uri=f"file://{quote(os.fsencode(file))}")
    return Artifact(uri=quote(os.fsencode(file)), uri_base_id=_ROOT)
