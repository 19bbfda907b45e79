"""cachetune validate: its output, its streams and its exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.errors import CachetuneError, InputError
from cachetune.findings import Findings

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
GROUP = "<cachetune vcpus='0'><monitor level='3'/></cachetune>"
GOOD = f"<domain type='kvm'><name>g</name><vcpu>4</vcpu><cputune>{GROUP}</cputune></domain>"
WARNED = GOOD.replace("vcpus='0'", "vcpus='0-9'")
BAD = GOOD.replace("level='3'", "levl='3'")
BAD_LINE = "attribute 'levl' is not allowed on <monitor>; did you mean 'level'? [CT003]"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, ["validate", *arguments], input=stdin)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a valid file, one with a warning, an invalid one, another in a subdirectory, and a text file."""
    for name, text in {"b-good.xml": GOOD, "a-bad.xml": BAD, "c-warned.xml": WARNED, "notes.txt": "x"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "bad.xml").write_text(BAD)
    return tmp_path


def test_a_valid_file_prints_only_a_summary(files: Path) -> None:
    result = run(str(files / "b-good.xml"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 file checked, valid.\n")


def test_a_finding_is_one_line_that_editors_parse_and_a_hint(files: Path) -> None:
    path = str(files / "a-bad.xml")
    result = run(path)
    column = BAD.index("levl") + 1
    assert result.exit_code == 1
    assert result.stdout == f"{path}:1:{column}: error: {BAD_LINE}\n    hint: allowed on <monitor>: level, vcpus\n"
    assert result.stderr == "Found 1 error.\n"


def test_warnings_do_not_make_a_file_invalid(files: Path) -> None:
    result = run(str(files / "c-warned.xml"))
    assert result.exit_code == 0
    assert ": warning: " in result.stdout
    assert result.stderr == "Found 1 warning.\n"


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_directories_are_searched_in_order(files: Path, jobs: str) -> None:
    result = run("-j", jobs, str(files))
    reported = [line.split(":")[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert reported == [str(files / name) for name in ("a-bad.xml", "c-warned.xml", "deeper/bad.xml")]
    assert result.stderr == "Found 2 errors and 1 warning in 3 of 4 files.\n"
    assert result.exit_code == 1


def test_several_valid_files_are_all_valid(files: Path) -> None:
    path = str(files / "b-good.xml")
    assert run(path, path).stderr == "2 files checked, all valid.\n"


def test_standard_input_is_called_stdin() -> None:
    result = run("-", stdin=BAD)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:1:")


def test_unreadable_files_are_reported_and_the_rest_is_checked(files: Path) -> None:
    (files / "empty").mkdir()
    result = run(str(files / "none.xml"), str(files / "a-bad.xml"), str(files / "empty"))
    assert result.exit_code == 2
    assert BAD_LINE in result.stdout
    assert f"error: cannot read {files / 'none.xml'}: No such file or directory" in result.stderr
    assert f"error: no *.xml files in {files / 'empty'}" in result.stderr
    assert result.stderr.endswith("Found 1 error; 2 paths not checked.\n")


def test_json_is_one_document_of_the_documented_form(files: Path) -> None:
    (files / "empty").mkdir()
    result = run("--json", str(files), str(files / "none.xml"), str(files / "empty"))
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    assert [(Path(file["file"]).name, file["valid"]) for file in document["files"]] == [
        ("a-bad.xml", False),
        ("b-good.xml", True),
        ("c-warned.xml", True),
        ("bad.xml", False),
        ("none.xml", False),
        ("empty", False),
    ]
    (finding,) = document["files"][0]["findings"]
    assert finding == {
        "rule": "CT003",
        "severity": "error",
        "line": 1,
        "column": BAD.index("levl") + 1,
        "path": "/domain/cputune/cachetune[1]/monitor[1]/@levl",
        "message": BAD_LINE.removesuffix(" [CT003]"),
        "hint": "allowed on <monitor>: level, vcpus",
    }
    missing, empty = (file["findings"] for file in document["files"][-2:])
    assert [(f["rule"], f["severity"], f["line"], f["message"]) for f in missing] == [
        ("CT013", "error", 0, f"cannot read {files / 'none.xml'}: No such file or directory")
    ]
    assert [f["message"] for f in empty] == [f"no *.xml files in {files / 'empty'}"]
    assert f"error: cannot read {files / 'none.xml'}" in result.stderr
    assert msgspec.json.decode(result.stdout, type=Findings).files[0].valid is False
    assert "checked" not in result.stderr


def test_json_is_another_name_of_a_format(files: Path) -> None:
    assert run("--json", str(files)).stdout == run("--format", "json", str(files)).stdout
    assert run("--json", "--format", "json", str(files)).exit_code == 1
    result = run("--json", "--format", "sarif", str(files))
    assert result.exit_code == 2
    assert "--json and --format sarif exclude each other" in result.stderr


def test_both_engines_print_the_same(files: Path) -> None:
    assert run("--engine", "xsd", str(files)).stdout == run(str(files)).stdout


def test_libvirt_adds_what_that_version_refuses() -> None:
    text = GOOD.replace(" level='3'", " vcpus='0'")
    result = run("--libvirt", "12.8", "-", stdin=text)
    assert result.exit_code == 1
    assert "libvirt 12.8 refuses a cache monitor without level [CT305]" in result.stdout
    assert run("-", stdin=text).exit_code == 0


def test_an_invalid_libvirt_version_exits_2() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "cachetune.cli.main", "validate", "--libvirt", "new", "-"],
        input=GOOD,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert result.returncode == 2
    assert "unknown libvirt version 'new'" in result.stderr


@pytest.mark.parametrize("spelled", [["--libvirt-schema"], ["--libvirt-schema=SCHEMA"], ["--libvirt-schema", "SCHEMA"]])
def test_libvirt_schema_checks_against_the_installed_libvirt(
    spelled: list[str], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = files / "domain.rng"
    schema.write_text(
        "<element name='domain' xmlns='http://relaxng.org/ns/structure/1.0'><attribute name='type'/>"
        "<element name='name'><text/></element><element name='vcpu'><text/></element></element>"
    )
    monkeypatch.setattr("cachetune.cli.commands.validate.LIBVIRT_SCHEMA", str(schema))
    result = run(*(word.replace("SCHEMA", str(schema)) for word in spelled), str(files / "b-good.xml"))
    assert result.exit_code == 1
    assert "libvirt's schema refuses the document: Did not expect element cputune there [CT012]" in result.stdout


@pytest.mark.parametrize("text", [None, "<not-a-grammar/>", "<"])
def test_an_unusable_libvirt_schema_is_an_input_error(text: str | None, files: Path) -> None:
    schema = files / "domain.rng"
    if text is not None:
        schema.write_text(text)
    result = run(f"--libvirt-schema={schema}", str(files / "b-good.xml"))
    assert isinstance(result.exception, InputError)  # main() exits 2 for it
    assert "not libvirt's schema" in str(result.exception)


def test_host_adds_whether_the_domain_fits_there() -> None:
    path = str(EXAMPLES / "domains" / "cachetune-cdp.xml")
    assert run(path).exit_code == 0
    result = run("--host", "sim:skylake-2s", path)
    assert result.exit_code == 1
    assert "[CT2" in result.stdout
    assert run("--host", "sim:skylake-2s", "-", stdin=BAD).stdout == run("-", stdin=BAD).stdout


def test_shrink_default_makes_room_on_the_host_as_in_plan() -> None:
    words = ("--host", "sim:skylake-2s", str(EXAMPLES / "web.xml"))
    assert "[CT207]" in run(*words).stdout
    result = run("--shrink-default", *words)
    assert (result.exit_code, result.stdout) == (0, "")


def test_no_file_is_a_usage_error() -> None:
    result = run()
    assert result.exit_code == 2
    assert "give a FILE" in result.stderr


def test_libvirt_schema_alone_still_needs_a_file() -> None:
    assert run("--libvirt-schema").exit_code == 2


def test_control_characters_in_a_file_name_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n.xml"
    path.write_text(BAD)
    result = run(str(path), str(tmp_path / "\x1b.xml"))
    assert "\x1b" not in result.stdout + result.stderr
    assert "a\\x1b[31m\\n.xml:1:" in result.stdout


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """The output of the command with stdout and stderr on a terminal."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "cachetune.cli.main", "validate", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
    ):
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # the other end of the terminal is closed
            pass
    os.close(ours)
    return b"".join(parts).decode()


def test_only_a_terminal_gets_colours_and_no_color_turns_them_off(files: Path) -> None:
    path = str(files / "a-bad.xml")
    assert "\x1b[31m\x1b[1merror:\x1b[0m" in on_a_terminal(path)
    assert "\x1b" not in on_a_terminal(path, NO_COLOR="1")
    assert "\x1b" not in run(path).stdout


def test_many_files_show_progress_only_on_a_terminal(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number}.xml").write_text(GOOD)
    assert "Checking" in on_a_terminal(str(tmp_path), "-j", "2")
    assert "Checking" not in on_a_terminal(str(tmp_path / "7.xml"))
    assert run(str(tmp_path)).stderr == "400 files checked, all valid.\n"


def test_checking_a_valid_file_imports_only_what_it_needs() -> None:
    code = (
        "import sys\nfrom cachetune.cli.main import command\n"
        f"command(['validate', {str(EXAMPLES / 'web.xml')!r}], standalone_mode=False)"
    )
    probe = f"try:\n    exec({code!r})\nexcept SystemExit:\n    print(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{probe}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    loaded = set(result.stdout.split())
    assert "lxml.etree" in loaded
    assert not loaded & {
        "msgspec",
        "rich",
        "xmlschema",
        "pathlib",
        "multiprocessing",
        "difflib",
        "cachetune.domain.rules",
    }


def test_a_killed_worker_is_an_error(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def die(_path: str) -> bytes:
        if os.getpid() != parent:
            os._exit(9)
        return GOOD.encode()

    monkeypatch.setattr("cachetune.service.validation.read_file", die)
    result = run("-j", "2", str(files))
    assert isinstance(result.exception, CachetuneError)
    assert "a worker process ended early" in str(result.exception)
