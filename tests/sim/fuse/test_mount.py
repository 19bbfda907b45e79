"""The mount as used by shells and system calls."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachetune import documents
from cachetune.errors import LockTimeoutError
from cachetune.host import SysfsResctrl, read_host
from cachetune.host.model import Host, Topology
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests import waiting
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run
from tests.sim.kernel.asking import ask, attempt

pytestmark = pytest.mark.slow

# For each line of its stdin this process starts a thread or a child and prints its tid.
PARENT = """
import subprocess, sys, threading
def sleep():
    print(threading.get_native_id(), flush=True)
    threading.Event().wait()
for line in sys.stdin:
    if line == "thread\\n":
        threading.Thread(target=sleep, daemon=True).start()
    else:
        child = subprocess.Popen(["/bin/sleep", "1000"], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
"""

# Locks a directory until its stdin ends.
HOLDER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[Mounted]:
    """A mount with the group g1."""
    with mounted(tmp_path) as mount:
        mount.mkdir("g1")
        yield mount


def _shell(script: str, directory: Path) -> str:
    """Run a shell script and return its output."""
    command = ["/bin/sh", "-c", f"exec 2>&1; {script}"]
    said: str = waiting.run(command, capture_output=True, text=True, cwd=directory).stdout
    return said


def test_shell_tools_work_on_the_mount(fs: Mounted) -> None:
    said = _shell("mkdir g2 && echo 'L3:0=f;1=3' >g2/schemata && cat g2/schemata g2/mode", fs.root)
    assert said == "    MB:0=100;1=100\n    L3:0=00f;1=003\nshareable\n"
    said = _shell("echo 'L3:0=5' >>g2/schemata; cat info/last_cmd_status", fs.root)
    assert "Invalid argument" in said or "I/O error" in said, "dash has a different message"
    assert said.endswith("The mask 5 has non-consecutive 1-bits\n")
    assert _shell("echo $$ >g2/tasks; grep -cx $$ g2/tasks; grep -cx $$ tasks", fs.root) == "1\n0\n"
    assert _shell("ls", fs.root).split() == sorted(
        [*SimulatedResctrl(load_profile("cascade-lake")).listdir(""), "g1", "g2"]
    )
    found = _shell("find . -type f -name llc_occupancy", fs.root).split()
    places = [f"{group}/mon_data/mon_L3_0{i}/llc_occupancy" for group in (".", "./g1", "./g2") for i in (0, 1)]
    assert sorted(found) == sorted(places)
    assert (
        _shell("mkdir mon_groups/a; mv mon_groups/a mon_groups/b; ls mon_groups; rmdir mon_groups/b g2", fs.root)
        == "b\n"
    )
    assert "Operation not permitted" in _shell("rmdir info", fs.root)
    assert not fs.exists("g2")


CALLS: list[tuple[str, str, Callable[[Mounted], object]]] = [
    ("truncate", "ok", lambda fs: fs.call(os.truncate, "g1/schemata", 0)),
    ("O_APPEND", "ok", lambda fs: fs.write("g1/schemata", "L3:0=f\n", os.O_APPEND)),
    ("O_TRUNC", "ok", lambda fs: fs.write("g1/schemata", "L3:0=ff\n", os.O_TRUNC | os.O_CREAT)),
    ("chmod", "ok", lambda fs: fs.chmod("g1/schemata", 0o600)),
    ("chown", "ok", lambda fs: fs.call(os.chown, "g1/schemata", os.getuid(), os.getgid())),
    ("chmod of the group", "ok", lambda fs: fs.chmod("g1", 0o700)),
    ("utime", "ok", lambda fs: fs.call(os.utime, "g1/schemata")),
    ("unlink", "EPERM", lambda fs: fs.call(os.unlink, "g1/schemata")),
    ("create in a group", "EACCES", lambda fs: fs.write("g1/new", "1", os.O_CREAT)),
    ("create in the root", "EACCES", lambda fs: fs.write("new", "1", os.O_CREAT)),
    ("write to size", "EACCES", lambda fs: fs.write("g1/size", "1\n")),
    ("write to last_cmd_status", "EACCES", lambda fs: fs.write("info/last_cmd_status", "1\n")),
    ("symlink", "EPERM", lambda fs: fs.call(Path.symlink_to, "g2", "g1")),
    ("link", "EPERM", lambda fs: fs.call(Path.hardlink_to, "g2", fs.path("g1/schemata"))),
    ("mknod", "EPERM", lambda fs: fs.call(os.mkfifo, "g2")),
    ("open a directory to write", "EISDIR", lambda fs: fs.write("g1", "1")),
]


def test_other_system_calls_are_answered_as_recorded(fs: Mounted) -> None:
    for what, result, call in CALLS:
        assert ask(fs, attempt, call, fs)[1] == "ok\n", what
        assert attempt(call, fs) == result, what
    assert "L3:0=0ff" in fs.read("g1/schemata")
    assert (fs.stat_mode("g1/schemata") & 0o777, fs.stat_mode("g1") & 0o777) == (0o600, 0o700)


def test_open_files_of_a_removed_group_return_enodev(fs: Mounted) -> None:
    fd = os.open(fs.path("g1/schemata"), os.O_RDWR)
    try:
        assert os.pread(fd, 7, 0) == b"    MB:"
        fs.rmdir("g1")
        fs.mkdir("g1")
        for call in (lambda: os.pread(fd, 7, 0), lambda: os.write(fd, b"L3:0=f\n")):
            with pytest.raises(OSError, match="No such device") as caught:
                call()
            assert caught.value.errno == errno.ENODEV
    finally:
        os.close(fd)
    assert "L3:0=7ff" in fs.read("g1/schemata")


def test_open_files_of_a_renamed_group_stay_valid(fs: Mounted) -> None:
    fs.mkdir("mon_groups/a")
    with fs.path("mon_groups/a/tasks").open("r+b", buffering=0) as file:
        fs.rename("mon_groups/a", "mon_groups/b")
        file.write(b"%d\n" % os.getpid())
    assert fs.read("mon_groups/b/tasks") == f"{os.getpid()}\n"


def test_a_read_at_offset_0_returns_the_current_content(fs: Mounted) -> None:
    fd = os.open(fs.path("g1/schemata"), os.O_RDONLY)
    try:
        assert os.read(fd, 19) == b"    MB:0=100;1=100\n"
        fs.write("g1/schemata", "L3:0=1;1=1\n")
        assert os.read(fd, 100) == b"    L3:0=7ff;1=7ff\n", "the rest of the text at the first read"
        assert b"L3:0=001" in os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def test_each_write_is_one_command(fs: Mounted) -> None:
    with fs.path("g1/schemata").open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="Invalid argument"):
            file.write(b"L3:0=")
        file.write(b"L3:0=f\n")
        file.write(b"L3:1=f\n")
    assert "L3:0=00f;1=00f" in fs.read("g1/schemata")


def test_a_lock_works_between_processes_and_its_holder_is_reported(fs: Mounted) -> None:
    with SysfsResctrl(fs.root).lock(exclusive=True, timeout=1):
        assert _shell("flock -n . true; echo $?; flock -ns g1 true; echo $?", fs.root) == "1\n0\n"
    command = [sys.executable, "-c", HOLDER, fs.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LockTimeoutError) as caught, SysfsResctrl(fs.root).lock(exclusive=False, timeout=0.05):
            pass
        assert caught.value.holder == holder.pid
        assert attempt(fs.mkdir, "g2") == "ok", "the lock is advisory"
    del caught
    assert _shell("flock -n . true; echo $?", fs.root) == "0\n"


def _born(process: subprocess.Popen[str], what: str) -> str:
    """Let PARENT start a thread or a child and return its tid."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_new_threads_and_children_inherit_the_group_of_their_creator(fs: Mounted) -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        before = _born(process, "thread")
        fs.write("g1/tasks", f"{process.pid}\n")
        assert fs.read("g1/tasks").split() == [str(process.pid)], "the thread was there before and stays where it was"
        assert before in fs.read("tasks").split()
        thread, child = _born(process, "thread"), _born(process, "child")
        assert set(fs.read("g1/tasks").split()) == {str(process.pid), thread, child}
        fs.write("tasks", f"{process.pid}\n")
        assert set(fs.read("g1/tasks").split()) == {thread, child}
        os.kill(int(child), signal.SIGKILL)
        process.kill()
    waiting.until(lambda: not fs.read("g1/tasks"), "the end of the processes")
    assert ask(fs, fs.write, "g1/tasks", f"{process.pid}\n")[0] == "ESRCH"


def test_with_tids_any_every_number_is_a_task(tmp_path: Path) -> None:
    with mounted(tmp_path, "--tids", "any") as fs:
        fs.mkdir("g1")
        fs.write("g1/tasks", "4711,4194305\n")
        assert (fs.read("g1/tasks"), fs.read("tasks")) == ("4711\n4194305\n", "1\n")


def test_counters_advance_while_a_group_has_tasks(fs: Mounted) -> None:
    path = "g1/mon_data/mon_L3_00/mbm_total_bytes"
    assert fs.read(path) == "0\n"
    fs.write("g1/tasks", "0\n")
    time.sleep(0.05)
    first = int(fs.read(path))
    time.sleep(0.05)
    assert 0 < first < int(fs.read(path))


def test_faults_occur_as_requested(tmp_path: Path) -> None:
    faults = ("mkdir:ENOSPC:3", "write@g1/tasks:ESRCH", "rmdir:EBUSY:1:after", "read@/g1/size:EIO", "listdir@g1:EIO")
    with mounted(tmp_path, *(word for fault in faults for word in ("--fault", fault))) as fs:
        assert [attempt(fs.mkdir, name) for name in ("g1", "g2", "g3", "g4")] == ["ok", "ok", "ENOSPC", "ok"]
        assert [attempt(fs.write, "g1/tasks", "0\n") for _ in range(2)] == ["ESRCH", "ok"]
        assert attempt(fs.rmdir, "g2") == "EBUSY"
        assert not fs.exists("g2")
        assert [attempt(fs.read, "g1/size") for _ in range(2)] == ["EIO", "ok"]
        assert [attempt(fs.listdir, "g1") for _ in range(2)] == ["EIO", "ok"]


@pytest.mark.parametrize(
    "fault",
    ["chdir:EIO", "mkdir", "mkdir:EWRONG", "mkdir:28", "mkdir:EIO:0", "mkdir:EIO:x", "mkdir:EIO:1:2", "lock:EIO"],
)
def test_a_malformed_fault_is_refused(tmp_path: Path, fault: str) -> None:
    done = run("sim", "mount", tmp_path, "--profile", "icelake", "--fault", fault)
    assert done.returncode == 2
    assert f"'{fault}'" in done.stderr


def _read(root: Path, sysfs: Path) -> Host:
    """Read the host as the command does; nothing stays open."""
    assert SysfsResctrl(root).is_live
    return read_location(Location(resctrl=root, sysfs=sysfs)).host


def _comparable(host: Host) -> Host:
    """Return the host without its name, its tasks, and what only sysfs has."""
    groups = tuple(msgspec.structs.replace(group, tids=()) for group in host.groups)
    return msgspec.structs.replace(host, source="", groups=groups, topology=Topology())


@pytest.mark.parametrize("name", profile_names())
def test_a_mounted_host_reads_like_the_simulated_one(tmp_path: Path, name: str) -> None:
    sim = SimulatedResctrl(load_profile(name))
    with mounted(tmp_path, "--sysfs", tmp_path / "sys", profile=name) as fs:
        for path in ("g1", "qemu-1-web-vcpus_0-1", "mon_groups/m", "g1/mon_groups/n"):
            assert attempt(fs.mkdir, path) == attempt(sim.mkdir, path)
        as_it_is, with_sizes = _read(fs.root, Path("/sys")), _read(fs.root, tmp_path / "sys")
    assert _comparable(as_it_is) == _comparable(read_host(sim))
    exact = {cache.level: cache.size_of(i) for cache in sim.profile.caches for i in cache.ids}
    assert {c.level: size for c in with_sizes.caches for size in c.size_bytes.values()}.items() <= exact.items()
    assert with_sizes.topology.caches.items() <= sim.topology.caches.items()


def test_a_mounted_snapshot_has_its_groups_and_masks(tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile("sapphire-rapids-cdp"))
    sim.mkdir("g1")
    sim.write("g1/schemata", "L3CODE:0=f\n")
    file = tmp_path / "node7.json"
    file.write_bytes(documents.encode(read_host(sim)))
    with mounted(tmp_path / "mount", "--tids", "any", profile=file) as fs:
        assert fs.read("g1/schemata") == sim.read("g1/schemata")
        assert _comparable(_read(fs.root, Path("/sys"))) == _comparable(read_host(sim))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda host: host["caches"][0].update(cbm_mask="0"), "L3: cbm_mask is 0"),
        (lambda host: host["groups"].pop(1), "group 'g1/mon_groups/m' has no control group 'g1'"),
        (
            lambda host: host.update(snc_nodes=5),
            "it cannot be simulated: sub_numa_nodes: 5 is not one of 1, 2, 3, 4, 6",
        ),
        (lambda host: host["monitors"].clear(), "group 'g1/mon_groups/m' is a monitor group"),
    ],
)
def test_a_snapshot_that_contradicts_itself_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], said: str
) -> None:
    sim = SimulatedResctrl(load_profile("cascade-lake"))
    sim.mkdir("g1")
    sim.mkdir("g1/mon_groups/m")
    host = json.loads(documents.encode(read_host(sim)))
    damage(host)
    (tmp_path / "host.json").write_text(json.dumps(host))
    (tmp_path / "resctrl").mkdir()
    refused = run("sim", "mount", tmp_path / "resctrl", "--profile", tmp_path / "host.json", "--run", tmp_path / "run")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
