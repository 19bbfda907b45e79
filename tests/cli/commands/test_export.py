"""cachetune export: texts on stdout, in a file or in a directory."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.domain import SCHEMA
from cachetune.errors import InputError, UnwritableFileError
from cachetune.sim import SimulatedResctrl, load_profile, write_tree

NODE7 = "examples/node7.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["export", *map(str, arguments)], catch_exceptions=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of a resctrl tree with groups of two guests, one of them libvirt's."""
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    for path, value in (("cachetune-web", 50), ("qemu-7-db-vcpus_0-1", 60)):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"MB:0={value}\n")
    write_tree(sim, tmp_path / "resctrl")
    return tmp_path / "resctrl"


def test_one_guest_is_printed() -> None:
    result = run("--host", NODE7)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1:3] == ["<cputune>", "  <cachetune vcpus='0-1'>"]


def test_tuning_xml_names_a_schema_for_editors() -> None:
    assert run("--host", NODE7).stdout.startswith(f'<?xml-model href="{SCHEMA}" type="application/xml" ')
    assert run("--host", NODE7, "--schema", "none").stdout.startswith("<cputune>\n")
    assert run("--host", NODE7, "--schema", "../cachetune.rng").stdout.startswith(
        '<?xml-model href="../cachetune.rng" '
    )
    xsd = run("--host", NODE7, "--schema", "cachetune.xsd").stdout
    assert xsd.splitlines()[1] == "         xsi:noNamespaceSchemaLocation='cachetune.xsd'>"
    assert "xml-model" not in run("--host", NODE7, "--format", "pqos").stdout


@pytest.mark.parametrize("href", ["", "a\nb.rng", "a\x1bb.rng"])
def test_a_schema_that_no_file_can_name_is_a_usage_error(href: str) -> None:
    result = run("--host", NODE7, "--schema", href)
    assert (result.exit_code, "it must be a path or URL, or none" in result.stderr) == (2, True)


def test_a_schema_is_for_tuning_xml_only() -> None:
    result = run("--host", NODE7, "--schema", "cachetune.xsd", "--format", "pqos")
    assert str(result.exception) == "--schema is for tuning XML"


def test_several_guests_need_a_directory(tree: Path, tmp_path: Path) -> None:
    result = run("--resctrl", tree, "--run", tmp_path)
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "one file cannot hold the tuning XML of several guests: web and db"
    assert result.stdout == ""


def test_a_directory_gets_one_file_for_each_guest(tree: Path, tmp_path: Path) -> None:
    result = run("--resctrl", tree, "--run", tmp_path, "-o", f"{tmp_path}/guests.d/")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    found = {path.name: path.read_text() for path in (tmp_path / "guests.d").iterdir()}
    assert set(found) == {"web.xml", "db.xml"}
    assert "<node id='0' bandwidth='60'/>" in found["db.xml"]


def test_libvirts_groups_of_a_guest_with_groups_of_ours_are_left_out(tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    for path, value in (("qemu-7-web", 50), ("cachetune-web", 60)):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"MB:0={value}\n")
    write_tree(sim, tmp_path / "resctrl")
    result = run("--resctrl", tmp_path / "resctrl", "--run", tmp_path)
    assert "bandwidth='60'" in result.stdout
    assert result.stderr == "warning: guest 'web': of its groups, those called qemu-7-web are left out\n"


def test_one_guest_of_several_is_written_to_a_file(tree: Path, tmp_path: Path) -> None:
    assert run("--resctrl", tree, "--run", tmp_path, "--guest", "db", "-o", tmp_path / "x.xml").exit_code == 0
    assert "bandwidth='60'" in (tmp_path / "x.xml").read_text()


@pytest.mark.parametrize(("words", "start"), [("pqos", "#!/bin/sh -e\n"), ("goresctrl", "partitions:\n")])
def test_the_other_formats_have_all_guests_in_one_text(tree: Path, tmp_path: Path, words: str, start: str) -> None:
    result = run("--resctrl", tree, "--run", tmp_path, "--format", words)
    assert result.stdout.startswith(start)
    assert result.stdout.count("cachetune-web") == 1 + (words == "goresctrl")
    assert "qemu-7-db-vcpus_0-1" in result.stdout


def test_a_host_without_groups_is_no_error() -> None:
    result = run("--host", "sim:milan")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to export" in result.stderr


def test_json_has_every_text_and_the_notes(tree: Path, tmp_path: Path) -> None:
    document = json.loads(run("--json", "--resctrl", tree, "--run", tmp_path).stdout)
    assert [(text["guest"], text["machine_name"]) for text in document["texts"]] == [
        ("web", "cachetune-web"),
        ("db", "qemu-7-db"),
    ]


def test_options_that_contradict_each_other_and_places_that_cannot_be_written_are_errors(tmp_path: Path) -> None:
    assert isinstance(run("--guest", "web", "--all-guests").exception, InputError)
    (tmp_path / "file").touch()
    assert isinstance(run("--host", NODE7, "-o", f"{tmp_path}/file/").exception, UnwritableFileError)
    assert isinstance(run("--host", NODE7, "-o", f"{tmp_path}/no/file").exception, UnwritableFileError)
