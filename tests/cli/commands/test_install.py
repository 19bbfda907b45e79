"""``install`` and ``uninstall``: what they print, their documents and exit codes, as root and as another user."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.errors import InputError, UnwritableFileError
from tests.install.conftest import tree

PROGRAM = ("--program", "/usr/bin/cachetune")
NOBODY = 65534


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, words)])


def test_each_file_has_a_line(tmp_path: Path) -> None:
    result = run("install", "--agent", "--mount", "--prefix", tmp_path, *PROGRAM)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"created {tmp_path}/etc/systemd/system/cachetune-agent.service",
        f"created {tmp_path}/etc/systemd/system/sys-fs-resctrl.mount",
        f"created {tmp_path}/etc/default/cachetune",
    ]
    assert run("uninstall", "--prefix", tmp_path).output.count("removed ") == 3
    assert run("uninstall", "--prefix", tmp_path).output == "nothing is installed\n"
    assert tree(tmp_path) == {}


def test_options_of_the_mount_may_follow_or_be_missing(tmp_path: Path) -> None:
    run("install", "--mount", "--agent", "--prefix", tmp_path, *PROGRAM)
    unit = tmp_path / "etc/systemd/system/sys-fs-resctrl.mount"
    assert "Options=" not in unit.read_text()
    assert run("install", "--mount", "cdp,mba_MBps", "--prefix", tmp_path, *PROGRAM).exit_code == 0
    assert "\nOptions=cdp,mba_MBps\n" in unit.read_text()


def test_a_dry_run_shows_a_diff_and_exits_with_0(tmp_path: Path) -> None:
    result = run("install", "--hook", "--dry-run", "--prefix", tmp_path, *PROGRAM)
    assert result.exit_code == 0
    assert f"would create {tmp_path}/etc/libvirt/hooks/qemu.d/cachetune\n" in result.output
    assert "    +#!/bin/sh\n" in result.output
    assert tree(tmp_path) == {}


def test_an_edited_file_is_named_with_the_way_to_replace_it(tmp_path: Path) -> None:
    run("install", "--agent", "--prefix", tmp_path, *PROGRAM)
    unit = tmp_path / "etc/systemd/system/cachetune-agent.service"
    unit.write_text(unit.read_text().replace("RestartSec=5", "RestartSec=9"))
    result = run("install", "--agent", "--prefix", tmp_path, *PROGRAM)
    assert result.exit_code == 1
    assert f"kept {unit}: it was edited; --force replaces it, --dry-run shows the difference\n" in result.output
    shown = run("install", "--agent", "--dry-run", "--prefix", tmp_path, *PROGRAM)
    assert (shown.exit_code, "    -RestartSec=9\n    +RestartSec=5\n" in shown.output) == (0, True)
    assert run("install", "--agent", "--force", "--prefix", tmp_path, *PROGRAM).exit_code == 0
    assert "RestartSec=5" in unit.read_text()


def test_the_document_has_every_file_and_the_next_commands(tmp_path: Path) -> None:
    result = run("install", "--agent", "--json", "--prefix", tmp_path, *PROGRAM)
    document: dict[str, Any] = json.loads(result.output)
    assert [(each["part"], each["action"]) for each in document["files"]] == [
        ("agent", "create"),
        ("options", "create"),
    ]
    assert (document["program"], document["prefix"], document["next"]) == ("/usr/bin/cachetune", str(tmp_path), [])


def test_without_a_part_the_help_says_what_there_is() -> None:
    result = CliRunner().invoke(command, ["install"])
    assert "--exporter" in result.output
    assert isinstance(result.exception, InputError)


@pytest.mark.parametrize("unit_dir", ["lib/systemd", "/lib/../../etc"])
def test_the_directory_of_units_is_absolute(tmp_path: Path, unit_dir: str) -> None:
    result = run("install", "--agent", "--prefix", tmp_path, "--unit-dir", unit_dir, *PROGRAM)
    assert (result.exit_code, "is not an absolute path" in result.output) == (2, True)


def test_a_prefix_that_is_missing_has_nothing_to_uninstall(tmp_path: Path) -> None:
    result = run("uninstall", "--prefix", tmp_path / "missing")
    assert isinstance(result.exception, InputError)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_than_root_gets_one_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    for directory in tmp_path.parents:
        if directory.stat().st_uid == 0 and len(directory.parts) > 2:
            directory.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        result = run("install", "--agent", "--prefix", tmp_path, *PROGRAM)
    finally:
        os.seteuid(0)
    error = result.exception
    assert isinstance(error, UnwritableFileError)
    assert str(error) == f"cannot write {tmp_path}/etc/systemd/system/cachetune-agent.service: Permission denied"
    assert error.hint == "run it as root, or pass --prefix DIR to write below DIR"
    assert set(tree(tmp_path)) == {"etc"}


def on_a_host(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a separate /etc, which is empty but for systemd and logrotate."""
    text = f"mount -t tmpfs tmpfs /etc && mkdir -p /etc/systemd/system /etc/logrotate.d && {script}"
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", text]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


VERB = f"{sys.executable} -m cachetune install"


def test_the_next_commands_are_those_of_this_host() -> None:
    done = on_a_host(f"{VERB} --mount --logrotate; {VERB} --mount cdp")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "created /etc/systemd/system/sys-fs-resctrl.mount",
        "created /etc/logrotate.d/cachetune",
        "Next:",
        "    systemctl daemon-reload",
        "    systemctl enable --now sys-fs-resctrl.mount",
        "updated /etc/systemd/system/sys-fs-resctrl.mount",
        "Next:",
        "    systemctl daemon-reload",
        "    systemctl enable --now sys-fs-resctrl.mount",
    ]


def test_a_host_without_libvirt_or_systemd_is_an_error() -> None:
    done = on_a_host(f"{VERB} --hook")
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            "error: libvirt is not installed on this host: there is no /etc/libvirt",
            "    hint: omit --hook, or pass --prefix DIR to write below DIR",
        ],
    )
    done = on_a_host(f"rm -r /etc/systemd; {VERB} --mount")
    assert "systemd is not installed on this host: there is no /etc/systemd" in done.stderr
