"""A mount that lasts as long as a test, whatever the test does."""

import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.errors import InputError, MountError, ResctrlError
from cachetune.host import read_host
from cachetune.testing import GuestProcess, MountedResctrl, load_profile, mounted, profile_names
from cachetune.testing.mounting import Setup, _server
from tests import waiting
from tests.sim.fuse.mounted import ROOT, need_fuse

pytestmark = pytest.mark.slow

# Mounts below the directory that it is given, says so, and waits to be killed.
VICTIM = """
import sys, time
from pathlib import Path
from cachetune.testing import mounted
with mounted(Path(sys.argv[1])) as mount:
    print(mount.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


def _is_mounted(root: Path) -> bool:
    return f" {root} " in Path("/proc/self/mountinfo").read_text()


def test_a_mount_has_a_root_a_sysfs_and_a_place_for_state(mounted_resctrl: MountedResctrl) -> None:
    assert _is_mounted(mounted_resctrl.root)
    host = read_host(mounted_resctrl.resctrl, mounted_resctrl.sysfs)
    assert host.caches[0].size_bytes == {0: 25952256, 1: 25952256}
    assert mounted_resctrl.run.is_dir()


@pytest.mark.resctrl(profile="milan", kernel="6.1", options=("cdp",), faults=("mkdir:ENOSPC",), tids="any")
def test_the_marker_chooses_the_mount(mounted_resctrl: MountedResctrl) -> None:
    root = mounted_resctrl.root
    assert "L3CODE" in (root / "schemata").read_text()
    with pytest.raises(OSError, match="No space"):
        (root / "a").mkdir()
    (root / "a").mkdir()
    (root / "a/tasks").write_text("4711\n")
    assert (root / "a/tasks").read_text() == "4711\n"


@pytest.mark.parametrize("mounted_resctrl", profile_names()[:2], indirect=True)
def test_the_fixture_takes_profiles_as_parameters(mounted_resctrl: MountedResctrl) -> None:
    assert mounted_resctrl.profile.name in profile_names()[:2]


def test_a_guest_process_has_threads_that_are_found_and_moved(mounted_resctrl: MountedResctrl) -> None:
    (mounted_resctrl.root / "g").mkdir()
    with GuestProcess("web", vcpus=2) as process:
        tids = [thread.tid for thread in process.guest.threads if thread.vcpu is not None]
        (mounted_resctrl.root / "g/tasks").write_text(f"{tids[1]}\n")
        assert (mounted_resctrl.root / "g/tasks").read_text() == f"{tids[1]}\n"
        assert str(tids[0]) in (mounted_resctrl.root / "tasks").read_text().split()
    assert not Path(f"/proc/{process.pid}").exists()


def test_the_mount_ends_with_a_block_that_fails_and_leaves_a_file_open(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), mounted(tmp_path) as mount:  # noqa: PT012
        file = (mount.root / "schemata").open()
        1 / 0  # noqa: B018
    assert not _is_mounted(mount.root)
    assert list(mount.root.iterdir()) == []
    assert not Path(f"/proc/{mount.pid}").exists()
    with pytest.raises(OSError, match="not connected"):
        file.close()


def test_the_mount_ends_when_its_server_was_killed(tmp_path: Path) -> None:
    with mounted(tmp_path) as mount:
        subprocess.run(["/bin/kill", "-9", str(mount.pid)], check=True)
    assert not _is_mounted(mount.root)


def test_the_mount_ends_when_the_test_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", VICTIM, tmp_path]
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as victim:
        assert victim.stdout is not None
        server = Path("/proc", victim.stdout.readline().strip())
        assert _is_mounted(tmp_path / "resctrl")
        victim.kill()
    waiting.until(lambda: not server.exists() and not _is_mounted(tmp_path / "resctrl"), "the end of the mount")


def test_what_cannot_be_mounted_is_an_error_before_anything_is_made(tmp_path: Path) -> None:
    for arguments, error in (
        ({"profile": "pentium"}, InputError),
        ({"kernel": "2.6"}, InputError),
        ({"options": ("nonsense",)}, ResctrlError),
        ({"faults": ("mkdir",)}, ValueError),
    ):
        with pytest.raises(error), mounted(tmp_path, **arguments):  # type: ignore[arg-type]
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_mount_reports_why(tmp_path: Path) -> None:
    setup = Setup(str(tmp_path), str(tmp_path / "run"), load_profile("milan"), "6.12", "real", ())
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match="it is not empty"), _server(setup):
        pass
