"""Where the program is, and whether the units and the hook can start it there."""

import os
import sys
from pathlib import Path

import pytest

from cachetune.errors import InputError
from cachetune.install import PARTS, Place, Program, find_program, install
from cachetune.install import program as module
from cachetune.install.parts import render, selected

ROOT = Path("/")


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the program, its hook and an interpreter, which is that of this process."""
    monkeypatch.setattr(module, "_HIDDEN", {})
    directory = tmp_path / "venv" / "bin"
    directory.mkdir(parents=True)
    (directory / "python").symlink_to("/bin/sh")
    for name in ("cachetune", "cachetune-hook"):
        (directory / name).write_text(f"#!{directory / 'python'}\n")
        (directory / name).chmod(0o755)
    return directory


def hook_of(program: Program) -> str:
    (part,) = (part for part in PARTS if part.name == "hook")
    (line,) = (line for line in render(part, program).splitlines() if line.endswith('$HOOK_OPTIONS "$@"'))
    return line.removesuffix(' $HOOK_OPTIONS "$@"')


def test_the_program_is_the_one_that_runs(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(venv / "cachetune")])
    assert find_program(None, ROOT).path == str(venv / "cachetune")


def test_the_program_of_a_module_is_beside_the_interpreter(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/cachetune/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(venv / "python"))
    assert find_program(None, ROOT).path == str(venv / "cachetune")
    (venv / "cachetune").unlink()
    with pytest.raises(InputError, match="cannot find the program"):
        find_program(None, ROOT)


def test_a_link_to_the_program_stays_a_link_and_its_hook_is_found_behind_it(venv: Path, tmp_path: Path) -> None:
    link = tmp_path / "cachetune"
    link.symlink_to(venv / "cachetune")
    found = find_program(link, ROOT)
    assert (found.path, found.hook) == (str(link), (str(venv / "python"), str(venv / "cachetune-hook")))
    assert str(venv / "cachetune") in found.files


def test_the_hook_starts_the_interpreter_because_apparmor_denies_scripts_outside_of_usr_bin(venv: Path) -> None:
    assert hook_of(find_program(venv / "cachetune", ROOT)) == f"{venv / 'python'} {venv / 'cachetune-hook'}"


def test_a_script_in_usr_bin_is_started_as_it_is(tmp_path: Path) -> None:
    staged = tmp_path / "usr/bin"
    staged.mkdir(parents=True)
    (staged / "cachetune-hook").write_text("#!/usr/lib/cachetune/bin/python\n")
    assert find_program(Path("/usr/bin/cachetune"), tmp_path).hook == ("/usr/bin/cachetune-hook",)


def test_a_program_below_the_prefix_is_named_as_it_will_be_without_it(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(venv / "cachetune")])
    assert find_program(None, tmp_path).path == "/venv/bin/cachetune"


def test_the_program_that_runs_may_be_outside_of_the_prefix(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(venv / "cachetune")])
    found = find_program(None, tmp_path / "image")
    assert (found.path, found.hook[0]) == (str(venv / "cachetune"), str(venv / "python"))


def test_spaces_are_quoted_for_systemd_and_for_the_shell(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "my 100% tools").symlink_to(venv)
    program = find_program(tmp_path / "my 100% tools" / "cachetune", ROOT)
    (part,) = (part for part in PARTS if part.name == "agent")
    assert f'\nExecStart="{tmp_path}/my 100%% tools/cachetune" agent ' in render(part, program)
    assert hook_of(program) == f"{venv / 'python'} '{tmp_path}/my 100% tools/cachetune-hook'"


@pytest.mark.parametrize("character", ['"', "'", "$", "\\", "\n", "\t", ";"])
def test_a_path_that_systemd_cannot_start_is_refused(tmp_path: Path, character: str) -> None:
    with pytest.raises(InputError, match="systemd cannot start"):
        find_program(tmp_path / f"a{character}b" / "cachetune", tmp_path)


def test_a_program_that_does_not_exist_is_refused_on_a_host_but_not_in_a_prefix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no program /nonexistent/cachetune"):
        find_program(Path("/nonexistent/cachetune"), ROOT)
    assert find_program(Path("/nonexistent/cachetune"), tmp_path).path == "/nonexistent/cachetune"


@pytest.mark.parametrize(
    ("directory", "setting"),
    [("/home/ann", "ProtectHome=yes"), ("/root", "ProtectHome=yes"), ("/tmp", "PrivateTmp=yes")],  # noqa: S108
)
def test_a_program_that_the_service_does_not_see_is_refused(tmp_path: Path, directory: str, setting: str) -> None:
    program = Program("/opt/bin/cachetune", (), ("/opt/bin/cachetune", f"{directory}/venv/bin/python"))
    with pytest.raises(InputError) as caught:
        install(selected(frozenset({"agent"})), program, Place(tmp_path))
    assert str(caught.value) == (
        f"cachetune-agent.service cannot start /opt/bin/cachetune, which needs {directory}/venv/bin/python: "
        f"{setting} hides {directory.replace('/ann', '')}"
    )
    assert "/opt/cachetune" in caught.value.hint


def test_the_interpreter_of_a_program_and_its_target_are_needed(venv: Path) -> None:
    files = find_program(venv / "cachetune", ROOT).files
    assert {str(venv / "cachetune"), str(venv / "python"), os.path.realpath("/bin/sh")} <= set(files)
