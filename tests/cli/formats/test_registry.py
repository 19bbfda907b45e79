"""The formats: each has a module, and the options that all of them share."""

import os
import re
from pathlib import Path

import pytest

from cachetune.cli import formats
from cachetune.errors import InputError
from tests.cli.formats.runs import BAD, GOOD, run

SHARED = {"__init__", "report", "places", "sarif_log"}


def test_every_module_is_a_format_or_shared() -> None:
    modules = {path.stem for path in Path(formats.__file__).parent.glob("*.py")}
    assert modules - SHARED == set(formats.NAMES)


@pytest.mark.parametrize("name", formats.NAMES)
@pytest.mark.usefixtures("checkout")
def test_the_exit_code_is_the_same_in_every_format(name: formats.FormatName) -> None:
    codes = [
        run("--format", name, *words).exit_code
        for words in (
            ["domains/good.xml"],
            ["domains/bad.xml"],
            ["domains/warned.xml"],
            ["--strict", "domains/warned.xml"],
            ["--strict", "domains/good.xml"],
            ["--exit-zero", "domains"],
            ["--exit-zero", "--strict", "domains"],
            ["--exit-zero", "domains", "none.xml"],
            ["--libvirt", "9.0", "domains/good.xml"],
        )
    ]
    assert codes == [0, 1, 0, 1, 0, 0, 0, 2, 0]


@pytest.mark.parametrize("name", formats.NAMES)
def test_a_report_in_a_file_is_the_one_on_stdout_and_the_findings_are_shown(
    name: formats.FormatName, checkout: Path
) -> None:
    printed = run("--format", name, "domains").stdout_bytes
    result = run("--format", name, "-o", "report", "domains")
    assert (checkout / "report").read_bytes() == printed
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        run("domains").stdout + "Found 1 error and 1 warning in 2 of 3 files; 1 other XML file skipped.\n"
    )


@pytest.mark.parametrize("name", formats.NAMES)
def test_standard_input_has_a_name_in_every_format(name: formats.FormatName) -> None:
    result = run("--format", name, "-", stdin=BAD)
    assert result.exit_code == 1
    assert "stdin" in result.stdout
    assert "levl" in result.stdout


@pytest.mark.parametrize("name", ["github", "gitlab", "junit", "sarif"])
@pytest.mark.parametrize("root", ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"])
def test_paths_are_relative_to_the_checkout_that_the_ci_system_names(
    name: formats.FormatName, root: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = checkout.parent / f"{checkout.name}-link"
    link.symlink_to(checkout)
    monkeypatch.setenv(root, str(link))
    monkeypatch.chdir("domains")
    shown = run("--format", name, "./bad.xml").stdout
    assert ("domains/bad.xml" if name != "junit" else "./bad.xml") in shown
    assert str(checkout) not in shown


def test_a_file_that_cannot_be_written_is_an_error(checkout: Path) -> None:
    result = run("-o", checkout / "none" / "report", "domains")
    assert "cannot write" in str(result.exception)


def test_every_file_of_a_directory_is_reported_once_and_in_order(checkout: Path) -> None:
    (checkout / "domains" / "again.xml").symlink_to("warned.xml")
    os.link(checkout / "domains" / "bad.xml", checkout / "domains" / "linked.xml")
    (checkout / "domains" / "round").symlink_to(".")
    result = run("domains", "domains/bad.xml", "domains")
    reported = [line.split(":")[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert reported == ["domains/again.xml", "domains/bad.xml"]


def test_standard_input_is_read_once() -> None:
    result = run("-", "-", stdin=GOOD)
    assert (result.exit_code, result.stderr) == (0, "1 file checked, valid.\n")


@pytest.mark.parametrize("hidden", [".git/a.xml", "deep/.cache/a.xml", ".a.xml"])
def test_hidden_files_are_not_searched_but_may_be_named(hidden: str, checkout: Path) -> None:
    path = checkout / hidden
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BAD)
    (checkout / "domains" / "bad.xml").write_text(GOOD)
    (checkout / "domains" / "warned.xml").write_text(GOOD.replace("web", "warned"))
    assert run(".").exit_code == 0
    assert run(hidden).exit_code == 1


def test_other_xml_is_skipped_in_directories_and_on_request(checkout: Path) -> None:
    network = checkout / "domains" / "network.xml"
    assert run(network).exit_code == 1
    assert "the root element is <network>" in run(network).stdout
    result = run("--skip-others", network)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No file checked; 1 other XML file skipped.\n")
    assert "network" not in run("--json", "domains").stdout


def test_a_directory_with_only_other_xml_is_an_error(checkout: Path) -> None:
    (checkout / "networks").mkdir()
    (checkout / "domains" / "network.xml").rename(checkout / "networks" / "default.xml")
    result = run("networks")
    assert result.exit_code == 2
    assert "error: no domain XML in networks" in result.stderr


@pytest.mark.parametrize("root", ["domein", "Domain", "domains", "cputun"])
def test_a_misspelled_root_element_is_not_other_xml(root: str, checkout: Path) -> None:
    (checkout / "domains" / "bad.xml").write_text(GOOD.replace("domain", root))
    result = run("--skip-others", "domains", "domains/bad.xml")
    assert result.exit_code == 1
    assert f"the root element is <{root}>" in result.stdout


def test_a_damaged_file_is_not_other_xml(checkout: Path) -> None:
    (checkout / "domains" / "network.xml").write_text("<network>")
    assert "network.xml:1:10: error: not well-formed XML" in run("--skip-others", "domains").stdout


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ([], ["CT003", "CT150"]),
        (["--select", "CT1"], ["CT150"]),
        (["--select", "ct0,CT150"], ["CT003", "CT150"]),
        (["--select", "CT0", "--select", "CT150"], ["CT003", "CT150"]),
        (["--ignore", "CT150"], ["CT003"]),
        (["--ignore", "CT", "--select", "CT15"], ["CT150"]),
        (["--ignore", "CT1", "--select", "CT150", "--ignore", "CT0"], ["CT150"]),
        (["--ignore", "CT150", "--select", "CT150"], []),
        (["--ignore", "CT"], []),
    ],
)
def test_rules_are_selected_by_the_longest_beginning(options: list[str], reported: list[str], checkout: Path) -> None:
    warned = "<cachetune vcpus='1,9'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune>"
    (checkout / "domains" / "both.xml").write_text(BAD.replace("</cputune>", f"{warned}</cputune>"))
    result = run("--json", *options, "domains/both.xml")
    assert [rule for rule in ("CT003", "CT150") if rule in result.stdout] == reported
    assert result.exit_code == int("CT003" in reported)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--select", "CT9"], "no rule of validate begins with 'CT9'", "use CT0, CT1, CT2, CT3 or CT4, or an id"),
        (["--ignore", "CT2070"], "no rule of validate begins with 'CT2070'", "did you mean CT207?"),
        (["--ignore", "CT2O7"], "no rule of validate begins with 'CT2O7'", "did you mean CT207?"),
        (["--ignore", "levl"], "no rule of validate begins with 'LEVL'", "use CT0, CT1"),
        (["--ignore", "CT150,"], "no rule of validate begins with ''", "use CT0, CT1"),
        (["--select", "CT6"], "no rule of validate begins with 'CT6'", "use CT0, CT1"),
        (["--ignore", "CT001"], "CT001 cannot be ignored", "remove the file from those to check"),
    ],
)
def test_a_rule_that_validate_does_not_have_is_an_error(
    options: list[str], message: str, hint: str, checkout: Path
) -> None:
    error = run(*options, checkout / "domains").exception
    assert isinstance(error, InputError)
    assert message in str(error)
    assert error.hint.startswith(hint)


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_rules_are_the_same_in_every_process(jobs: str, checkout: Path) -> None:
    for number in range(9):
        (checkout / "domains" / f"{number}.xml").write_text(BAD)
    result = run("-j", jobs, "--ignore", "CT003", "domains")
    assert (result.exit_code, result.stderr) == (0, "Found 1 warning in 1 of 12 files; 1 other XML file skipped.\n")


def test_what_ends_the_check_of_a_file_is_always_reported(checkout: Path) -> None:
    (checkout / "domains" / "bad.xml").write_text("<domain>")
    assert "[CT001]" in run("--select", "CT2", "domains").stdout
    assert "[CT001]" in run("--ignore", "CT0", "domains").stdout


def test_errors_that_keep_a_domain_from_its_host_are_reported(checkout: Path) -> None:
    words = ("--host", "sim:skylake-2s", "--select", "CT2")
    assert "[CT003]" in run(*words, checkout / "domains" / "bad.xml").stdout
    shown = run(*words, checkout / "domains" / "warned.xml").stdout
    assert "[CT2" in shown
    assert "[CT150]" not in shown


def test_the_page_describes_every_format() -> None:
    table = (Path(__file__).parents[3] / "docs/how-to/ci.md").read_text().partition("| format | read by |")[2]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == list(formats.NAMES)
