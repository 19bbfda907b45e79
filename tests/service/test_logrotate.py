"""Debian's logrotate rotates the change log with the file that is installed, and what it moves away is read."""

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.state.change_log import append, line_of
from cachetune.install.signature import sign
from cachetune.service.change_log import Wanted, log_files, opened, read_changes
from tests.apply.test_record import CHANGE
from tests.missing import skip_without

INSTALLED = Path(__file__).parents[2] / "cachetune" / "install" / "files" / "logrotate"
LOGROTATE = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The file for a log in a directory of this test, which belongs to the user of this process."""
    if LOGROTATE is None:
        skip_without("logrotate is missing (Debian package logrotate)")
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    text = sign(INSTALLED.read_bytes()).decode()
    assert text.count("/var/log/cachetune/changes.jsonl {") == 1
    assert text.count("create 0640 root adm") == 1
    text = text.replace("/var/log/cachetune", str(tmp_path)).replace("0640 root adm", f"0640 {user} {group}")
    file = tmp_path / "logrotate.conf"
    file.write_text(text)
    file.chmod(0o644)
    return file


def logrotate(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LOGROTATE or "", "--state", str(config.with_name("state")), *words, str(config)],
        capture_output=True,
        text=True,
        check=True,
    )


def test_logrotate_accepts_the_file(config: Path) -> None:
    said = logrotate(config, "--debug").stderr
    assert "error" not in said
    assert f"rotating pattern: {config.with_name('changes.jsonl')}  monthly (24 rotations)" in said


def test_what_logrotate_moves_away_is_read_in_order(config: Path) -> None:
    log = config.with_name("changes.jsonl")
    for number in range(4):
        append(log, line_of(msgspec.structs.replace(CHANGE, run_id=str(number))))
        if number < 3:
            logrotate(config, "--force")
            assert log.stat().st_mode & 0o777 == 0o640
    names = [file.name.removeprefix("changes.jsonl") for file in log_files(log)]
    assert names == [".3.gz", ".2.gz", ".1", ""]
    found = read_changes(opened(log_files(log)), Wanted())
    assert [change.run_id for change in found.changes] == ["0", "1", "2", "3"]
    assert found.damaged == ()
