"""JUnit XML, which Jenkins and GitLab show as tests.

Each file is a test case, whose name stays the same when its findings change. A file that fails has one <failure> with
all its findings, because Jenkins shows only the first. Source: junit-10.xsd of Jenkins' xunit plugin.
"""

from typing import TYPE_CHECKING

import click
from lxml import etree

from cachetune.cli.show.findings import finding_text
from cachetune.text import count, printable

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report
    from cachetune.service.validation import Outcome


def render(report: "Report") -> bytes:
    """One suite. The findings of a file that does not fail are its output."""
    outcomes = report.found.for_each_file()
    numbers = {
        "tests": str(len(outcomes)),
        "failures": str(sum(map(report.fails, outcomes))),
        "errors": str(sum(bool(outcome.unreadable) for outcome in outcomes)),
    }
    suites = etree.Element("testsuites", {"name": "cachetune", **numbers})
    suite = etree.SubElement(suites, "testsuite", {"name": "cachetune validate", **numbers, "skipped": "0"})
    for outcome in outcomes:
        case = etree.SubElement(suite, "testcase", classname="cachetune.validate", name=printable(outcome.file))
        _add_result(case, outcome, report)
    return etree.tostring(suites, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add_result(case: etree._Element, outcome: "Outcome", report: "Report") -> None:
    if outcome.unreadable:
        error = etree.SubElement(case, "error", type="CT013", message=printable(outcome.unreadable))
        error.text = printable(outcome.hint)
    elif report.fails(outcome):
        first = outcome.findings[0]
        message = first.text if len(outcome.findings) == 1 else count(len(outcome.findings), "finding")
        failure = etree.SubElement(case, "failure", type=first.rule, message=printable(message))
        failure.text = _text(outcome)
    elif outcome.findings:
        etree.SubElement(case, "system-out").text = _text(outcome)


def _text(outcome: "Outcome") -> str:
    return click.unstyle("".join(finding_text(finding, outcome.file) for finding in outcome.findings))
