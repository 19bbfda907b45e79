"""cachetune schema: it prints schemas that can be used."""

import json

import pytest
from click.testing import CliRunner, Result
from lxml import etree

from cachetune.cli.main import command
from cachetune.domain.xml.schema import SCHEMAS, schema_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["schema", *arguments])


@pytest.mark.parametrize("name", ["rng", "xsd", "cachetune-rng", "cachetune-xsd"])
def test_each_xml_schema_is_printed(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    root = etree.fromstring(result.stdout_bytes)
    assert etree.QName(root).localname == ("grammar" if name.endswith("rng") else "schema")


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("plan", "Plan"),
        ("refusal", "Refusal"),
        ("host", "Host"),
        ("usage", "HostUsage"),
        ("readings", "Readings"),
        ("report", "Report"),
        ("findings", "Findings"),
        ("rules", "RuleTable"),
        ("guests", "Guests"),
        ("exported", "Exported"),
        ("agent", "AgentStatus"),
    ],
)
def test_each_json_schema_describes_its_document_and_version(name: str, document: str) -> None:
    schema = json.loads(run(name).stdout)
    assert schema["$ref"].rpartition("/")[2] == document
    assert schema["$defs"][document]["properties"]["schema_version"]["enum"] == [1]


def test_an_unknown_schema_is_a_usage_error_that_lists_the_known_ones() -> None:
    result = run("dtd")
    assert result.exit_code == 2
    assert "cachetune-xsd" in result.stderr


def test_schemas_inside_the_package_come_first(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "cachetune"
    (package / "domain" / "xml").mkdir(parents=True)
    monkeypatch.setattr("cachetune.domain.xml.schema.__file__", str(package / "domain" / "xml" / "schema.py"))
    assert schema_path("domain.rng") == str(tmp_path / "schemas" / "domain.rng")
    (package / "schemas").mkdir()
    for name in SCHEMAS:
        (package / "schemas" / name).touch()
        assert schema_path(name) == str(package / "schemas" / name)
