"""cachetune schema: it prints schemas that can be used."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lxml import etree

from cachetune.cli.main import command
from cachetune.domain.xml.schema import SCHEMAS, schema_path
from tests.missing import skip_without


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


@pytest.mark.parametrize("language", ["rng", "xsd"])
def test_a_bundle_is_one_file_for_other_programs(tmp_path: Path, language: str) -> None:
    if shutil.which("xmllint") is None:
        skip_without("xmllint is not installed (Debian: libxml2-utils)")
    schema, tuning = tmp_path / f"cachetune.{language}", tmp_path / "web.xml"
    result = run("--bundle", language, "-o", str(schema))
    assert (result.exit_code, result.stdout_bytes) == (0, b"")
    words = ["xmllint", "--noout", "--nonet", "--relaxng" if language == "rng" else "--schema", schema, tuning]
    tuning.write_text("<cputune><cachetune><cache id='0' level='3' type='both' size='6'/></cachetune></cputune>")
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    tuning.write_text(tuning.read_text().replace("level", "levl"))
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert ("levl" if language == "xsd" else "cachetune") in done.stderr  # libxml2 is vague about RELAX NG


def test_the_bundle_for_emacs_is_printed() -> None:
    assert run("--bundle", "rnc").stdout_bytes == Path(schema_path("bundle.rnc")).read_bytes()


def test_a_json_schema_can_be_written_to_a_file(tmp_path: Path) -> None:
    assert run("plan", "-o", str(tmp_path / "plan.json")).exit_code == 0
    assert json.loads((tmp_path / "plan.json").read_text())["$ref"] == "#/$defs/Plan"


@pytest.mark.parametrize("words", [(), ("rng", "--bundle", "rng")])
def test_either_a_name_or_a_bundle_is_printed(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert "pass either NAME or --bundle" in str(result.exception)
