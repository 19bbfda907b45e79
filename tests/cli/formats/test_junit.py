"""--format junit, checked against the schema and read by junitparser."""

import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, TestCase
from lxml import etree

from tests.cli.formats.runs import BAD, run, write_hostile

_SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


def cases(*arguments: str) -> dict[str, TestCase]:
    """The test cases of a run by name; the report is valid, and its numbers are those of the cases."""
    data = run("--format", "junit", *arguments).stdout_bytes
    _SCHEMA.assertValid(etree.fromstring(data))
    report = JUnitXml.fromstring(data)
    counted = (report.tests, report.failures, report.errors)
    report.update_statistics()
    assert (report.tests, report.failures, report.errors) == counted
    (suite,) = report
    return {case.name: case for case in suite}


@pytest.mark.usefixtures("checkout")
def test_a_file_is_a_case_and_an_error_fails_it() -> None:
    found = cases("domains")
    assert list(found) == ["domains/bad.xml", "domains/good.xml", "domains/warned.xml"]
    (failure,) = found["domains/bad.xml"].result
    assert isinstance(failure, Failure)
    assert failure.type == "CT003"
    assert failure.message == "attribute 'levl' is not allowed on <cache>; did you mean 'level'? [CT003]"
    assert failure.text == run("domains/bad.xml").stdout
    assert found["domains/good.xml"].is_passed
    assert found["domains/warned.xml"].is_passed
    assert "[CT150]" in found["domains/warned.xml"].system_out


@pytest.mark.usefixtures("checkout")
def test_warnings_fail_a_case_if_they_fail_the_run() -> None:
    (failure,) = cases("--strict", "domains")["domains/warned.xml"].result
    assert isinstance(failure, Failure)
    assert failure.type == "CT150"


def test_all_findings_of_a_file_are_in_one_failure(checkout: Path) -> None:
    (checkout / "domains" / "bad.xml").write_text(BAD.replace("unit", "unti").replace("<cputune>", "<cputune>\n<x/>"))
    (failure,) = cases("domains/bad.xml")["domains/bad.xml"].result
    assert failure.message == "2 findings"
    assert "'levl'" in failure.text
    assert "'unti'" in failure.text


@pytest.mark.usefixtures("checkout")
def test_a_file_that_cannot_be_read_is_an_error() -> None:
    (error,) = cases("domains/bad.xml", "none.xml")["none.xml"].result
    assert isinstance(error, Error)
    assert error.message == "cannot read none.xml: No such file or directory"


def test_names_that_xml_cannot_hold_are_escaped(checkout: Path) -> None:
    paths = write_hostile(checkout / "hostile")
    found = cases("hostile")
    assert len(found) == len(paths)
    assert "hostile/\\x01\\x1b[31m\\x7f.xml" in found
    assert "hostile/latin-\\udce9.xml" in found


def test_junitparser_verifies_a_report_as_the_run_ends(checkout: Path) -> None:
    for file, code in (("good", 0), ("bad", 1)):
        assert run("--format", "junit", "-o", "report.xml", f"domains/{file}.xml").exit_code == code
        verified = subprocess.run(
            [sys.executable, "-m", "junitparser", "verify", "report.xml"], cwd=checkout, check=False
        )
        assert verified.returncode == code
