"""Real files; small fakes take the kernel's part (errnos and messages)."""

import errno
import fcntl
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cachetune.errors import LockTimeoutError, NotMountedError, ResctrlError
from cachetune.host import SysfsResctrl
from cachetune.host.resctrl import files as resctrlfs
from tests.host.trees import SKYLAKE, make


@pytest.fixture
def fs(tmp_path: Path) -> SysfsResctrl:
    return SysfsResctrl(make(tmp_path, SKYLAKE))


def refuse(monkeypatch: pytest.MonkeyPatch, function: str, number: int) -> None:
    """Make a system call fail."""

    def failing(*_args: object, **_kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(resctrlfs.os, function, failing)


def test_a_tree_without_info_is_not_a_resctrl(tmp_path: Path) -> None:
    with pytest.raises(NotMountedError, match="no info directory"):
        SysfsResctrl(tmp_path)


def test_a_missing_directory_is_not_a_resctrl(tmp_path: Path) -> None:
    with pytest.raises(NotMountedError, match="No such file") as caught:
        SysfsResctrl(tmp_path / "nowhere")
    assert "pass the directory" in caught.value.hint


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (True, ("mount -t resctrl resctrl", "rdt=l3cat", "BIOS")),
        (False, ("CONFIG_X86_CPU_RESCTRL", "CONFIG_ARM64_MPAM", "BIOS", "virtual machine")),
    ],
)
def test_the_hint_says_how_to_mount_where_the_kernel_has_it(
    there: bool, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: there)
    hint = resctrlfs._hint_to_mount(Path("/sys/fs/resctrl"))
    assert [word for word in words if word not in hint] == []


def test_a_plain_copy_is_not_live_and_has_no_options(fs: SysfsResctrl) -> None:
    assert (fs.is_live, fs.fs_type, fs.mount_options) == (False, "", ())


MOUNTS = """\
22 28 0:21 / /sys rw,nosuid - sysfs sysfs rw
31 22 0:27 / /sys/fs/resctrl rw,relatime shared:9 - {} {} {}
"""


@pytest.mark.parametrize(
    ("kind", "options", "live", "kept"),
    [
        ("resctrl", "rw,seclabel,cdp,mba_MBps", True, ("cdp", "mba_MBps")),
        ("resctrl", "rw,something_new", True, ("something_new",)),
        ("fuse.sim", "rw,user_id=0,group_id=0,cdp", True, ("cdp",)),
        ("tmpfs", "rw,size=1k", False, ()),
    ],
)
def test_the_mount_gives_the_type_and_the_options(
    kind: str, options: str, live: bool, kept: tuple[str, ...], fs: SysfsResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: MOUNTS.format(kind, kind, options))
    monkeypatch.setattr(resctrlfs.os.path, "realpath", str)
    fs.fs_type, fs.mount_options = resctrlfs._mount_of(Path("/sys/fs/resctrl"))
    assert (fs.is_live, fs.mount_options) == (live, kept)


def test_a_mount_point_with_blanks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "31 22 0:27 / /tmp/a\\040b rw - resctrl resctrl rw,cdp\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: line)
    assert resctrlfs._mount_of(Path("/tmp/a b")) == ("resctrl", ("cdp",))  # noqa: S108 - not opened


def test_files_are_listed_read_and_found(fs: SysfsResctrl) -> None:
    assert fs.listdir("info") == ["L3", "L3_MON", "MB", "last_cmd_status"]
    assert fs.listdir("") == fs.listdir(".")
    assert fs.read("mode") == "shareable\n"
    assert fs.exists("info/L3")
    assert not fs.exists("info/L2")
    assert not fs.exists("mode/below")


def test_a_long_file_is_read_to_its_end(fs: SysfsResctrl, tmp_path: Path) -> None:
    text = "".join(f"{tid}\n" for tid in range(100_000))
    (tmp_path / "tasks").write_text(text)
    assert fs.read("tasks") == text


def test_reading_a_named_pipe_does_not_wait(fs: SysfsResctrl, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert fs.read("pipe") == ""


def test_groups_are_made_written_and_removed(fs: SysfsResctrl, tmp_path: Path) -> None:
    fs.mkdir("g")
    (tmp_path / "g/schemata").write_text("")
    fs.write("g/schemata", "L3:0=f\n")
    assert fs.read("g/schemata") == "L3:0=f\n"
    (tmp_path / "g/schemata").unlink()
    fs.rmdir("g")
    assert not fs.exists("g")


def test_a_write_is_one_system_call(fs: SysfsResctrl, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = os.write
    monkeypatch.setattr(resctrlfs.os, "write", lambda fd, data: (calls.append(data), real(fd, data))[1])
    fs.write("schemata", "L3:0=f\nMB:0=50\n")
    assert calls == [b"L3:0=f\nMB:0=50\n"]


def test_a_short_write_is_an_error(fs: SysfsResctrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resctrlfs.os, "write", lambda _fd, data: len(data) - 1)
    with pytest.raises(ResctrlError, match="EIO"):
        fs.write("schemata", "L3:0=f\n")


@pytest.mark.parametrize("path", ["../x", "g/../x", "/etc", "g//x", "a\0b", "g/./x", "g/", ".."])
@pytest.mark.parametrize("operation", ["listdir", "read", "write", "mkdir", "rmdir", "exists"])
def test_a_path_cannot_leave_the_root(operation: str, path: str, fs: SysfsResctrl) -> None:
    with pytest.raises(ResctrlError, match="EINVAL"):
        getattr(fs, operation)(path, *(["x"] if operation == "write" else []))


@pytest.mark.parametrize("operation", ["write", "mkdir", "rmdir"])
@pytest.mark.parametrize("path", ["link/new", "link"])
def test_a_symbolic_link_is_never_followed(operation: str, path: str, tmp_path: Path) -> None:
    root, outside = make(tmp_path / "root", SKYLAKE), tmp_path / "outside"
    outside.mkdir()
    (outside / "new").write_text("untouched")
    (root / "link").symlink_to(outside)
    fs = SysfsResctrl(root)
    with pytest.raises(ResctrlError) as caught:
        getattr(fs, operation)(path, *(["x"] if operation == "write" else []))
    assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR, errno.EEXIST}
    assert [(p.name, p.read_text()) for p in outside.iterdir()] == [("new", "untouched")]


def test_a_refused_write_carries_what_the_kernel_says(
    fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "info/last_cmd_status").write_text("No task 7\nError while processing task 7\n")
    refuse(monkeypatch, "write", errno.ESRCH)
    with pytest.raises(ResctrlError) as caught:
        fs.write("tasks", "7\n")
    error = caught.value
    assert (error.errno, error.path, error.written) == (errno.ESRCH, "tasks", "7\n")
    assert error.kernel_says == "No task 7; Error while processing task 7"


def test_a_failed_open_has_no_kernel_message(fs: SysfsResctrl, tmp_path: Path) -> None:
    (tmp_path / "info/last_cmd_status").write_text("Mask out of range\n")
    with pytest.raises(ResctrlError, match="ENOENT") as caught:
        fs.write("nowhere/schemata", "L3:0=f\n")
    assert caught.value.kernel_says == ""


@pytest.mark.parametrize("status", ["ok\n", ""])
def test_ok_is_not_a_kernel_message(
    status: str, fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "info/last_cmd_status").write_text(status)
    refuse(monkeypatch, "write", errno.EINVAL)
    with pytest.raises(ResctrlError) as caught:
        fs.write("schemata", "L3:9=f\n")
    assert caught.value.kernel_says == ""


def test_an_older_message_is_not_attributed_to_a_write_without_newline(
    fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "info/last_cmd_status").write_text("Mask out of range\n")
    refuse(monkeypatch, "write", errno.EINVAL)
    with pytest.raises(ResctrlError) as caught:
        fs.write("schemata", "L3:0=f")
    assert caught.value.kernel_says == ""


# Since Linux 7.3 any process that reads a file of a group clears the text.
def answer_as_7_3(monkeypatch: pytest.MonkeyPatch, root: Path, number: int, says: str, *, reader: bool) -> None:
    """Refuse writes and mkdir with this errno and text; a ``reader`` reads a group's file right after."""
    status, really_open = root / "info/last_cmd_status", os.open

    def refusing(*_args: object, **_kwargs: object) -> int:
        status.write_text(f"{says}\n")
        if reader:
            os.close(resctrlfs.os.open(root / "schemata", os.O_RDONLY))
        raise OSError(number, os.strerror(number))

    def opening(path: str | Path, flags: int, **options: int) -> int:
        if flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_DIRECTORY and Path(path).name != status.name:
            status.write_text("ok\n")
        return really_open(path, flags, **options)

    monkeypatch.setattr(resctrlfs.os, "write", refusing)
    monkeypatch.setattr(resctrlfs.os, "mkdir", refusing)
    monkeypatch.setattr(resctrlfs.os, "open", opening)


class Refused(NamedTuple):
    """An operation with the kernel's answer, and words of the hint."""

    operation: str
    arguments: tuple[str, ...]
    errno: int
    says: str
    hint: str


REFUSED = (
    Refused("write", ("schemata", "L3:0=0\n"), errno.EINVAL, "Mask out of range", "within info/*/cbm_mask"),
    Refused("write", ("tasks", "7\n"), errno.ESRCH, "No task 7", "the thread has ended"),
    Refused("write", ("mode", "exclusive\n"), errno.EINVAL, "Schemata overlaps", "cannot share ways"),
    Refused("mkdir", ("g",), errno.ENOSPC, "Out of CLOSIDs", "show' to see their owners"),
    Refused("mkdir", ("g",), errno.EBUSY, "Out of RMIDs", "max_threshold_occupancy"),
)


def refusal(
    fs: SysfsResctrl, root: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, *, reader: bool
) -> ResctrlError:
    """The error of an operation that Linux 7.3 refuses."""
    fs.fs_type = "resctrl"
    answer_as_7_3(monkeypatch, root, refused.errno, refused.says, reader=reader)
    with pytest.raises(ResctrlError) as caught:
        getattr(fs, refused.operation)(*refused.arguments)
    return caught.value


@pytest.mark.parametrize("refused", REFUSED)
def test_no_file_of_a_group_is_read_before_the_reason(
    refused: Refused, fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refusal(fs, tmp_path, monkeypatch, refused, reader=False)
    assert (error.kernel_says, error.reason_lost) == (refused.says, False)
    assert refused.hint in error.hint


@pytest.mark.parametrize("refused", REFUSED)
def test_where_a_reader_took_the_reason_the_error_says_so_and_the_hint_is_by_errno(
    refused: Refused, fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refusal(fs, tmp_path, monkeypatch, refused, reader=True)
    of_schemata = refused.arguments[0] == "schemata"  # an unknown cache id has no reason anyway
    assert (error.kernel_says, error.reason_lost) == ("", not of_schemata)
    assert "another program" in (error.hint if of_schemata else str(error))
    assert of_schemata or refused.hint in error.hint


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("schemata", "L3:9=f\n", "cache id"),
        ("schemata", "L3:0=f", "newline"),
        ("mode", "shareable", "newline"),
        ("tasks", "1,2\n", "one thread id"),
    ],
)
def test_a_refusal_without_a_kernel_message_has_a_hint(
    path: str, text: str, words: str, fs: SysfsResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.fs_type = "resctrl"
    refuse(monkeypatch, "write", errno.EINVAL)
    with pytest.raises(ResctrlError) as caught:
        fs.write(path, text)
    assert words in caught.value.hint


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "Out of CLOSIDs"), (errno.EBUSY, "Out of CLOSIDs"), (errno.EPERM, "")]
)
def test_a_refused_mkdir_carries_the_last_line(
    number: int, says: str, fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "info/last_cmd_status").write_text("Unknown or unsupported mode\nOut of CLOSIDs\n")
    refuse(monkeypatch, "mkdir", number)
    with pytest.raises(ResctrlError) as caught:
        fs.mkdir("g")
    assert caught.value.kernel_says == says


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOSPC, "Out of CLOSIDs", "every control group"),
        (errno.ENOSPC, "Out of RMIDs", "can monitor"),
        (errno.EBUSY, "Out of RMIDs", "max_threshold_occupancy"),
        (errno.ENOSPC, "No space on L3:0", "exclusive"),
        (errno.EPERM, "ok", "root"),
        (errno.EACCES, "ok", "root"),
        (errno.EROFS, "ok", "read-only"),
        (errno.ENODEV, "ok", "removed in the meantime"),
        (errno.EEXIST, "ok", "another program"),
    ],
)
def test_each_refusal_has_a_hint(
    number: int, status: str, words: str, fs: SysfsResctrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "info/last_cmd_status").write_text(f"{status}\n")
    fs.fs_type = "resctrl"
    refuse(monkeypatch, "mkdir", number)
    with pytest.raises(ResctrlError) as caught:
        fs.mkdir("g")
    assert words in caught.value.hint


def test_the_hint_for_writing_to_a_copy_names_the_copy(fs: SysfsResctrl) -> None:
    with pytest.raises(ResctrlError) as caught:
        fs.write("nowhere/schemata", "L3:0=f\n")
    assert "copy" in caught.value.hint


def test_shared_locks_do_not_exclude_each_other(fs: SysfsResctrl) -> None:
    with fs.lock(exclusive=False, timeout=0), fs.lock(exclusive=False, timeout=0):
        pass


def test_a_lock_is_free_again_after_its_block(fs: SysfsResctrl) -> None:
    for _ in range(2):
        with fs.lock(exclusive=True, timeout=0):
            pass


HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_timeout_names_the_holder(fs: SysfsResctrl, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockTimeoutError) as caught, fs.lock(exclusive=False, timeout=0.05):
            pass
        other.communicate()
    assert caught.value.holder == other.pid
    assert str(other.pid) in str(caught.value)


def test_the_lock_is_the_flock_that_other_programs_take(fs: SysfsResctrl, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with fs.lock(exclusive=True, timeout=0), pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(fd)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    make(tmp_path, SKYLAKE)
    gc.collect()  # do not count what earlier tests left
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    fs = SysfsResctrl(tmp_path)
    for path in ("mode", "nowhere", "link"):
        with pytest.raises(ResctrlError):
            fs.write(f"{path}/x", "1\n")
        with pytest.raises(ResctrlError):
            fs.listdir(f"{path}/x")
    with fs.lock(exclusive=True, timeout=0):
        fs.read("mode")
    del fs
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
