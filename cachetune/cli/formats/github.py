"""Workflow commands of GitHub Actions, which show each finding at its line of a pull request.

A command is one line, and the runner splits it at colons and commas: what a value contains of these is escaped.
Source: @actions/core, command.ts.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.formats.places import in_repository
from cachetune.findings import Finding, location_of
from cachetune.service.validation import STDIN
from cachetune.text import printable

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report

_IN_A_MESSAGE = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_MESSAGE = str.maketrans(_IN_A_MESSAGE)
_PROPERTY = str.maketrans({**_IN_A_MESSAGE, ":": "%3A", ",": "%2C"})


def render(report: "Report") -> bytes:
    """A line for each finding. Its message repeats the place, which the log of a job would not show."""
    files = report.found.document().files
    lines = [_command(file.file, finding) for file in files for finding in file.findings]
    return "".join(lines).encode()


def _command(file: str, finding: Finding) -> str:
    properties = ",".join(f"{name}={value.translate(_PROPERTY)}" for name, value in _properties(file, finding))
    hint = f"\nhint: {printable(finding.hint)}" if finding.hint else ""
    message = f"{location_of(finding, file)}{printable(finding.message)}{hint}"
    return f"::{finding.severity} {properties}::{message.translate(_MESSAGE)}\n"


def _properties(file: str, finding: Finding) -> Iterator[tuple[str, str]]:
    yield "title", f"cachetune ({finding.rule})"
    if file != STDIN:
        yield "file", in_repository(file)
    if finding.line:
        yield "line", str(finding.line)
    if finding.column:
        yield "col", str(finding.column)
