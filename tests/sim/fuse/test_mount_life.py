"""The life of a mount: refused, in the background, in the foreground, killed, by an unprivileged user."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.errors import MissingExtraError
from cachetune.extras import how_to_install
from cachetune.sim.fuse import serve
from tests import waiting
from tests.sim.fuse.mounted import CACHETUNE, ROOT, mounted, need_fuse, run

pytestmark = pytest.mark.slow

# /dev/fuse with the permissions of most distributions, and an interpreter that may be in another user's home.
UNPRIVILEGED = """
set -e
mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse; chown 65534 "$1"
shift
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
"""
# Such a user mounts, uses, lists and unmounts.
USER = """
cd "$1"; mkdir d; shift
"$@" sim mount d --profile skylake-2s --background
mkdir d/g1 && echo 'L3:0=f' >d/g1/schemata && cat d/g1/schemata
echo 1 >d/size
"$@" sim list
"$@" sim unmount d
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


def _row(listed: str, place: Path) -> list[str]:
    """Return the other columns of a mount in a list, which may contain mounts of other tests."""
    lines = (line.split() for line in listed.splitlines())
    return next((words for first, *words in filter(None, lines) if first == str(place)), [])


def test_two_mounts_are_listed_and_a_second_mount_at_one_place_is_refused(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "a", profile="milan") as a,
        mounted(tmp_path / "b", "--tids", "any", profile="icelake") as b,
    ):
        b.mkdir("g1")
        assert not a.exists("g1")
        listed = run("sim", "list", "--run", a.run_directory).stdout
        assert _row(listed, a.root) == ["running", "milan", "6.12", "real", str(a.server)]
        again = run("sim", "mount", a.root, "--profile", "milan", "--run", a.run_directory)
        assert (again.returncode, "already" in again.stderr) == (2, True)
        assert f"cachetune sim unmount {a.root}" in again.stderr


def test_a_killed_server_is_listed_as_dead_and_can_be_unmounted(tmp_path: Path) -> None:
    with mounted(tmp_path) as fs:
        server = fs.server
        os.kill(server, signal.SIGKILL)
        waiting.ended(server)
        assert _row(run("sim", "list", "--run", fs.run_directory).stdout, fs.root)[:2] == ["dead", "cascade-lake"]
        for words in (("sim", "mount", fs.root, "--profile", "icelake"), ("show", "--resctrl", fs.root)):
            said = run(*words)
            assert said.returncode == 2
            assert f"cachetune sim unmount {fs.root}" in said.stderr
        ended = run("sim", "unmount", fs.root, "--run", fs.run_directory)
        assert (ended.returncode, ended.stdout) == (0, f"{fs.root} is unmounted; its server was dead.\n")
        assert list(fs.root.iterdir()) == []
        assert list(fs.run_directory.iterdir()) == []
        again = run("sim", "unmount", fs.root, "--run", fs.run_directory)
        assert (again.returncode, "no simulated resctrl is mounted" in again.stderr) == (2, True)


def test_a_stale_record_of_a_killed_server_is_removed(tmp_path: Path) -> None:
    with mounted(tmp_path) as fs:
        server = fs.server
        os.kill(server, signal.SIGKILL)
        waiting.ended(server)
        subprocess.run(["/usr/bin/fusermount3", "-u", fs.root], check=True)
        assert _row(run("sim", "list", "--run", fs.run_directory).stdout, fs.root) == []
        assert list(fs.run_directory.iterdir()) == []


def test_a_mount_in_use_is_not_unmounted(tmp_path: Path) -> None:
    with mounted(tmp_path) as fs:
        with fs.path("schemata").open():
            refused = run("sim", "unmount", fs.root, "--run", fs.run_directory)
            assert refused.returncode == 2
            assert "fuser -m" in refused.stderr
        assert fs.exists("info")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_mount_in_the_foreground_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    (tmp_path / "d").mkdir()
    command = [*CACHETUNE, "sim", "mount", "d", "--profile", "icelake", "--run", "run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        assert server.stderr.readline() == f"icelake (kernel 6.12) is mounted at {tmp_path}/d; Ctrl-C ends it.\n"
        assert (tmp_path / "d/info").is_dir()
        server.send_signal(number)
        waiting.finish(server)
        assert server.returncode == 0
    assert list((tmp_path / "d").iterdir()) == []
    assert list((tmp_path / "run").iterdir()) == []


def test_a_mount_that_fails_reports_the_reason_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "full/file").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    cases = (
        (("missing", "--profile", "icelake"), "no such file or directory", "mkdir"),
        (("full", "--profile", "icelake"), "it is not empty", "empty directory"),
        (("file", "--profile", "icelake"), "not a directory", "empty directory"),
        (("empty", "--profile", "ice"), "neither a profile nor a file: 'ice'", "icelake"),
        (("empty", "--profile", "file"), "file is not valid", "edited"),
        (("empty", "--profile", "icelake", "--sysfs", "full"), "full is not empty", "empty directory"),
        (("empty", "--profile", "icelake", "--run", "file", "--background"), "cannot write", "--run"),
    )
    for words, error, hint in cases:
        said = run("sim", "mount", *words, cwd=tmp_path)
        assert said.returncode == 2, words
        assert error in said.stderr, words
        assert hint in said.stderr, words
        assert "Traceback" not in said.stderr, words
    assert list((tmp_path / "empty").iterdir()) == []


def test_without_mfusepy_the_hint_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mfusepy", None)
    with pytest.raises(MissingExtraError, match="mfusepy") as caught:
        serve.load_fuse()
    assert caught.value.hint == how_to_install("sim", "mfusepy")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can change users")
def test_an_unprivileged_user_can_mount(tmp_path: Path) -> None:
    home = Path(f"/tmp/{tmp_path.parent.name}-{tmp_path.name}-{os.getpid()}")  # noqa: S108 - pytest's own is closed
    home.mkdir()
    try:
        become = ["/usr/bin/unshare", "-m", "/bin/sh", "-c", UNPRIVILEGED, "sh", str(home)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(home / "run"), "COLUMNS": "200"}
        command = [*become, "/bin/sh", "-c", USER, "sh", str(home), *CACHETUNE]
        done = waiting.run(command, capture_output=True, text=True, env=environment)
    finally:
        shutil.rmtree(home)
    assert f"is mounted at {home}/d" in done.stdout, done.stderr
    assert "    L3:0=00f;1=7ff\n" in done.stdout
    assert "ermission denied" in done.stderr
    assert _row(done.stdout, home / "d")[:2] == ["running", "skylake-2s"]
    assert done.stdout.endswith(f"{home}/d is unmounted.\n")
