"""The port (port.py) on real files: a mounted resctrl, or a plain copy of one."""

import contextlib
import errno
import fcntl
import functools
import os
import re
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from cachetune.errors import LockTimeoutError, NotMountedError, ResctrlError
from cachetune.host.model import Topology
from cachetune.host.resctrl.hints import hint_for
from cachetune.host.resctrl.port import (
    NOTICE_SECONDS,
    SIMULATED_TYPE,
    LockWait,
    OnWait,
    OpenFile,
    Resctrl,
    in_silence,
)
from cachetune.host.resctrl.reasons import reason_in, silence_about

_CHUNK = 1 << 14
_VALUE = 64
_PAGE = 4096
_LARGEST = 1 << 26
_POLL_SECONDS = 0.005
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a named pipe in a copy must not block us forever
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN_OPTIONS = ("cdp", "cdpl2", "mba_MBps", "debug")
_OF_ANY_MOUNT = {"rw", "ro", "seclabel"}


class SysfsResctrl:
    """The real files below ``root``: a mounted resctrl, or a plain copy of one, which can only be read.

    ``fs_type`` and ``mount_options`` come from mountinfo and are empty for a copy. Raises NotMountedError if there is
    no resctrl. The directory stays open as long as the object exists; symbolic links below it are never followed.
    """

    def __init__(self, root: Path) -> None:
        """Open the directory and look at its mount."""
        self.source = str(root)
        self.topology = Topology()
        self.fs_type, self.mount_options = _mount_of(root)
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            dead = error.errno == errno.ENOTCONN
            hint = f"run 'cachetune sim unmount {root}' to remove the dead mount" if dead else _hint_to_mount(root)
            raise NotMountedError(root, error.strerror or str(error), hint=hint) from None
        weakref.finalize(self, os.close, self._root)
        if not self.exists("info"):
            raise NotMountedError(root, "no info directory", hint=_hint_to_mount(root))
        self._status: int | None = None
        with contextlib.suppress(OSError):  # a copy may not have it
            self._status = os.open("info/last_cmd_status", _READ, dir_fd=self._root)
            weakref.finalize(self, os.close, self._status)

    @property
    def is_simulated(self) -> bool:
        """Whether this is a simulated resctrl, which does not control this machine's caches."""
        return self.fs_type == SIMULATED_TYPE

    @property
    def is_live(self) -> bool:
        """Whether a kernel answers, real or simulated (FUSE); if not, this is a plain copy."""
        return self.fs_type == "resctrl" or self.fs_type.startswith("fuse")

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        try:
            fd = os.open(_checked(path, "open"), _LIST, dir_fd=self._root)
            try:
                return sorted(os.listdir(fd))  # noqa: PTH208 - pathlib cannot list an open directory
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(error, "list", path) from None

    def read(self, path: str) -> str:
        """The content of a file. Bytes that are not UTF-8 become U+FFFD."""
        try:
            fd = os.open(_checked(path, "read"), _READ, dir_fd=self._root)
            try:
                data = chunk = os.read(fd, _CHUNK)
                while len(chunk) == _CHUNK and len(data) < _LARGEST:
                    data += (chunk := os.read(fd, _CHUNK))
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(error, "read", path) from None
        return data.decode("utf-8", "replace")

    def count_directories(self, path: str) -> int:
        """The link count of a directory. Some file systems for copies have always 1."""
        try:
            return os.stat(_checked(path, "look at"), dir_fd=self._root, follow_symlinks=False).st_nlink
        except OSError as error:
            raise self._failure(error, "look at", path) from None

    def open(self, path: str) -> OpenFile:
        """A file to read again and again; it keeps a descriptor, and the mount busy, until it is closed."""
        try:
            fd = os.open(_checked(path, "read"), _READ, dir_fd=self._root)
        except OSError as error:
            raise self._failure(error, "read", path) from None
        return OpenFile(functools.partial(os.pread, fd, _VALUE, 0), functools.partial(os.close, fd))

    @property
    def is_current(self) -> bool:
        """Whether the path still leads to the directory that was opened, not to another mount or to none."""
        try:
            return os.path.samestat(Path(self.source).stat(), os.fstat(self._root))
        except OSError:
            return False

    def write(self, path: str, text: str) -> None:
        """One write(2) of the whole text. A short write counts as EIO."""
        data = text.encode()
        try:
            with self._parent(path) as (parent, name):
                fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            raise self._failure(error, "write", path, written=text) from None
        try:
            written = os.write(fd, data)
        except OSError as error:
            raise self._refusal(error, "write", path, text) from None
        finally:
            os.close(fd)
        if written != len(data):
            raise self._failure(OSError(errno.EIO, "short write"), "write", path, written=text)

    def mkdir(self, path: str) -> None:
        """Create a group."""
        try:
            with self._parent(path) as (parent, name):
                try:
                    os.mkdir(name, 0o755, dir_fd=parent)
                except OSError as error:
                    raise self._refusal(error, "mkdir", path) from None
        except OSError as error:
            raise self._failure(error, "mkdir", path) from None

    def rmdir(self, path: str) -> None:
        """Remove a group; the kernel moves its tasks to the parent."""
        try:
            with self._parent(path) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except OSError as error:
            raise self._failure(error, "rmdir", path) from None

    def exists(self, path: str) -> bool:
        """Whether a file or directory exists at the path."""
        path = _checked(path, "look at")
        try:
            os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENODEV}:
                return False
            raise self._failure(error, "look at", path) from None
        return True

    @contextlib.contextmanager
    def lock(self, *, exclusive: bool, timeout: float, on_wait: OnWait = in_silence) -> Iterator[None]:
        """flock on the root directory, through a new descriptor. Raises LockTimeoutError after ``timeout`` seconds.

        Polls instead of blocking, so that a lock that is never released cannot hold this process in the kernel.
        """
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        try:
            self._wait_for_lock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, timeout, on_wait)
            yield
        finally:
            os.close(fd)

    def _wait_for_lock(self, fd: int, how: int, timeout: float, on_wait: OnWait) -> None:
        began = time.monotonic()
        told = False
        while True:
            try:
                return fcntl.flock(fd, how | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - began
                if waited >= timeout:
                    raise LockTimeoutError(self.source, timeout, _holder(fd)) from None
                if waited >= NOTICE_SECONDS and not told:
                    told = True
                    on_wait(_wait_for(self.source, _holder(fd)))
            except OSError as error:
                raise self._failure(error, "lock", ".") from None
            time.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the directory that holds ``path``, component by component: none may be a symbolic link."""
        *above, name = _checked(path, "change").split("/")
        fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        try:
            for step in above:
                below = os.open(step, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd, name
        finally:
            os.close(fd)

    def _refusal(self, error: OSError, operation: str, path: str, written: str | None = None) -> ResctrlError:
        """The error for an operation that the kernel refused, with its reason.

        Nothing may be read before this: since Linux 7.3 reading a group's file clears the reason.
        """
        status = self._last_cmd_status()
        number = error.errno or errno.EIO
        says = reason_in(status, operation, path, number, written)
        lost = not says and silence_about(operation, path, number, written) == "lost" and self.is_live
        return self._failure(error, operation, path, written, says, lost=lost)

    def _failure(
        self,
        error: OSError,
        operation: str,
        path: str,
        written: str | None = None,
        says: str = "",
        *,
        lost: bool = False,
    ) -> ResctrlError:
        number = error.errno or errno.EIO
        hint = hint_for(number, operation, path, says, written, live=self.is_live)
        return ResctrlError(
            number, operation, path or ".", written=written, kernel_says=says, reason_lost=lost, hint=hint
        )

    def _last_cmd_status(self) -> str:
        """The file is open already: each system call before this is time in which another program can clear it."""
        if self._status is None:
            return ""
        try:
            return os.pread(self._status, _PAGE, 0).decode("utf-8", "replace")
        except OSError:
            return ""  # this must not hide the original error


def is_kernels(resctrl: Resctrl) -> bool:
    """Whether this is the kernel's own resctrl, which controls this machine's caches."""
    return isinstance(resctrl, SysfsResctrl) and resctrl.fs_type == "resctrl"


def _checked(path: str, operation: str) -> str:
    if path in {"", "."}:
        return "."
    parts = f"/{path}/"
    if "//" in parts or "/./" in parts or "/../" in parts or "\0" in parts:
        raise ResctrlError(
            errno.EINVAL,
            operation,
            repr(path),
            hint="pass a path relative to the resctrl root that stays inside it",
        )
    return path


def _mount_of(root: Path) -> tuple[str, tuple[str, ...]]:
    """File system type and resctrl options of the mount exactly at ``root``; empty if it is not a mount.

    A simulated resctrl has its options in its source name (resctrl+cdp), because FUSE accepts only its own options.
    """
    place, found = os.path.realpath(root), ("", tuple[str, ...]())
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        if _unescaped(line.split(" ", 5)[4]) == place:  # the last mount is on top
            fs_type, source, options = line.partition(" - ")[2].split(" ")[:3]
            names = source.split("+") if fs_type == SIMULATED_TYPE else options.split(",")
            keep = fs_type == "resctrl"
            found = fs_type, tuple(o for o in names if o in _OWN_OPTIONS or (keep and o not in _OF_ANY_MOUNT))
    return found


def _unescaped(text: str) -> str:
    """A path as it is, from mountinfo, which has octal numbers for blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text) if "\\" in text else text


def _holder(fd: int) -> int | None:
    """The process that holds a flock on the directory, from /proc/locks; None if it is not listed.

    Every FUSE mount has the same inode numbers, so the device counts, too.
    """
    status = os.fstat(fd)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == file:
                return int(fields[4]) or None
    return None


def _wait_for(source: str, holder: int | None) -> LockWait:
    program = ""
    with contextlib.suppress(OSError):
        program = Path(f"/proc/{holder}/comm").read_text(errors="replace").strip() if holder else ""
    return LockWait(source, holder, program)


def _hint_to_mount(root: Path) -> str:
    if root != Path("/sys/fs/resctrl"):
        return "pass the directory where resctrl is mounted, or a copy of it that includes info/"
    if not root.is_dir():
        return (
            "this kernel has no resctrl: it needs CONFIG_X86_CPU_RESCTRL (Arm: CONFIG_ARM64_MPAM) and a processor with "
            "RDT, PQoS or MPAM that the BIOS has not turned off; a virtual machine has none; "
            "try a simulated host: --host sim:skylake-2s"
        )
    return (
        "mount it: mount -t resctrl resctrl /sys/fs/resctrl; if that fails, turn RDT on in the BIOS, or request it "
        "with rdt= on the kernel's command line, such as rdt=l3cat"
    )
