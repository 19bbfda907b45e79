"""A mount that is read-only, used with the command: it says that nothing was changed, and means it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import waiting
from tests.sim.fuse.mounted import ROOT, Mounted, mounted, need_fuse

pytestmark = pytest.mark.slow

GUEST = """\
<domain type='kvm'>
  <name>web</name><memory>1024</memory><vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>
  </cputune>
  <os><type>hvm</type></os>
</domain>
"""


@contextlib.contextmanager
def sleeping() -> Iterator[int]:
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def read_only(mount: Mounted, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where the mount is read-only; an unprivileged user is root there."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'mount --bind "$0" "$0" && mount -i -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
    command = ["/usr/bin/unshare", *as_root, "--mount", "/bin/sh", "-c", script, str(mount.root)]
    command += [sys.executable, "-m", "cachetune.cli.main", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return waiting.run(command, capture_output=True, text=True, env=environment)


def test_apply_and_remove_change_nothing_on_a_read_only_mount_and_say_so(tmp_path: Path) -> None:
    need_fuse()
    guest, run_directory = tmp_path / "guest.xml", tmp_path / "run"
    guest.write_text(GUEST)
    with sleeping() as first, sleeping() as second, mounted(tmp_path / "mount", profile="skylake-2s") as mount:
        where = ("--resctrl", mount.root, "--run", run_directory, "--yes")
        threads = ("--vcpu", f"0={first}", "--vcpu", f"1={second}")
        applied = read_only(mount, "apply", *where, *threads, "--shrink-default", guest)
        assert mount.read("schemata").split() == ["MB:0=100;1=100", "L3:0=7ff;1=7ff"]

        mount.mkdir("cachetune-web-vcpus_0-1")
        mount.write("cachetune-web-vcpus_0-1/tasks", f"{first}\n")
        removed = read_only(mount, "remove", *where, guest)
        assert mount.read("cachetune-web-vcpus_0-1/tasks") == f"{first}\n"
    for ended in (applied, removed):
        assert (ended.returncode, ended.stdout.splitlines()[-1]) == (1, "Failed: nothing was changed.")
        assert "EROFS" in ended.stderr
        assert "resctrl is mounted read-only; run mount -i -o remount,rw on its directory" in ended.stderr
        assert "undone" not in ended.stderr
    assert [path.name for path in run_directory.iterdir() if "journal" in path.name] == []
