"""Run the operations on files: in the virtual machine, or on any other mounted resctrl.

It runs there as a program and only needs a small part of the standard library, because Python is slow in the machine.
``python3 -I -S on_files.py ROOT FILE`` reads the operations from a JSON file and prints one line of JSON for each,
``[result, last_cmd_status, changes]``: "ok" or the errno's name, the text of the file, and the changes in the tree
(path to text, null for a removed path). Before them it prints the kernel's release and, on its own line, the initial
tree.

In texts, ``{A}`` is the tid of process A and ``{A:#x}`` the same in hexadecimal; the tids of known processes are
printed in that form again. A to D are sleeping processes, W is the process that does all operations.
"""

import _thread
import errno
import fcntl
import json
import os
import re
import signal
import sys
import time

COUNTERS = {"llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"}
SLEEPERS = "ABCD"
KTHREADD = 2
# Tids unlike any other number in a message, so that they can be distinguished.
FIRST_TID = 20001
STATUS = "info/last_cmd_status"


class Files:
    """A mounted resctrl at ``root``, and the processes that are moved in it."""

    def __init__(self, root: str, tids: dict[str, int]) -> None:
        self._root = root.encode()
        self.tids = tids
        self._held: dict[str, int] = {}
        self._asleep = _thread.allocate_lock()
        self._asleep.acquire()

    def do(self, operation: tuple[str, ...]) -> str:
        """Run one operation and return "ok" or the errno's name; the word that a counter has in place of a number."""
        kind, *words = operation
        try:
            result: str | None = getattr(self, f"_{kind}")(*words)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return result or "ok"

    def status(self) -> str:
        """Return the text of info/last_cmd_status."""
        return self.named(self._text(self._path(STATUS)))

    def tree(self) -> dict[str, str]:
        """Return every path with permissions and content: none for a counter, only known tids for tasks."""
        found: dict[str, str] = {}
        self._walk(os.open(self._root, os.O_RDONLY), "", found)
        return found

    def named(self, text: str) -> str:
        """Replace tids in the text by the names of their processes."""
        names = {str(tid): name for name, tid in self.tids.items() if tid >= FIRST_TID}
        return re.sub(r"\d+", lambda found: f"{{{names[found[0]]}}}" if found[0] in names else found[0], text)

    def _walk(self, directory: int, prefix: str, found: dict[str, str]) -> None:
        """Add everything below an open directory and close it. Lookups are relative to it, not to the root."""
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                mode = f"{entry.stat(follow_symlinks=False).st_mode & 0o7777:o}"
                if entry.is_dir(follow_symlinks=False):
                    found[f"{prefix}{name}/"] = mode
                    self._walk(os.open(name, os.O_RDONLY, dir_fd=directory), f"{prefix}{name}/", found)
                elif name in COUNTERS or name == "last_cmd_status":
                    found[prefix + name] = mode
                else:
                    found[prefix + name] = f"{mode} {self._content(name, directory)}"
        os.close(directory)

    def _content(self, name: str, directory: int) -> str:
        try:
            text = self._text(name, directory)
        except OSError as error:
            return f"<{errno.errorcode[error.errno or 0]}>"
        if name == "tasks":
            there = set(text.split())
            return " ".join(sorted(name for name, tid in self.tids.items() if str(tid) in there))
        return text

    def _path(self, path: str) -> bytes:
        return self._root + b"/" + path.encode("utf-8", "surrogateescape")

    def _bytes(self, text: str) -> bytes:
        return (text.format_map(self.tids) if "{" in text else text).encode("utf-8", "surrogateescape")

    def _text(self, path: bytes | str, directory: int | None = None) -> str:
        """Return the content; the kernel generates a whole file on the first read."""
        fd = os.open(path, os.O_RDONLY, dir_fd=directory)
        try:
            return os.read(fd, 65536).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)

    # -- the operations -----------------------------------------------------------------------------------------

    def _mkdir(self, path: str, mode: str = "755") -> None:
        os.mkdir(self._path(path), int(mode, 8))

    def _rmdir(self, path: str) -> None:
        os.rmdir(self._path(path))

    def _rename(self, old: str, new: str) -> None:
        os.rename(self._path(old), self._path(new))

    def _read(self, path: str) -> str | None:
        return word_of(path, self._text(self._path(path)))

    def _list(self, path: str) -> None:
        os.listdir(self._path(path))

    def _write(self, path: str, *texts: str, flags: int = os.O_WRONLY) -> None:
        """Write each text with one write(2) to the same open file; the last result counts."""
        fd = os.open(self._path(path), flags)
        try:
            for number, text in enumerate(texts, start=1):
                try:
                    os.write(fd, self._bytes(text))
                except OSError:
                    if number == len(texts):
                        raise
        finally:
            os.close(fd)

    def _append(self, path: str, text: str) -> None:
        self._write(path, text, flags=os.O_WRONLY | os.O_APPEND)

    def _chmod(self, path: str, mode: str) -> None:
        os.chmod(self._path(path), int(mode, 8))

    def _lock(self, path: str) -> None:
        self._hold(path, os.O_RDONLY)
        fcntl.flock(self._held[path], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(self, path: str) -> None:
        os.close(self._fd(path))
        del self._held[path]

    def _fork(self, name: str) -> None:
        """Start a child of W that sleeps."""
        self.tids[name] = sleeper()

    def _thread(self, name: str) -> None:
        """Start a second thread of W that sleeps."""
        started = _thread.allocate_lock()
        started.acquire()

        def sleep() -> None:
            self.tids[name] = _thread.get_native_id()
            started.release()
            self._asleep.acquire()

        _thread.start_new_thread(sleep, ())
        started.acquire()

    def _kill(self, name: str) -> None:
        """End a child of W, which becomes a zombie."""
        os.kill(self.tids[name], signal.SIGKILL)
        os.waitid(os.P_PID, self.tids[name], os.WEXITED | os.WNOWAIT)

    def _reap(self, name: str) -> None:
        """Reap a zombie."""
        os.waitpid(self.tids[name], 0)

    def _wait(self, seconds: str) -> None:
        time.sleep(float(seconds))

    # -- what only files have -----------------------------------------------------------------------------------

    def _truncate(self, path: str) -> None:
        os.truncate(self._path(path), 0)

    def _chown(self, path: str) -> None:
        os.chown(self._path(path), 0, 0)

    def _unlink(self, path: str) -> None:
        os.unlink(self._path(path))

    def _create(self, path: str) -> None:
        os.close(os.open(self._path(path), os.O_WRONLY | os.O_CREAT, 0o644))

    def _symlink(self, path: str) -> None:
        os.symlink("schemata", self._path(path))

    def _chdir(self, path: str) -> None:
        os.chdir(self._path(path) if path else b"/")

    def _hold(self, path: str, flags: int = os.O_RDWR) -> None:
        self._held[path] = os.open(self._path(path), flags)

    def _read_held(self, path: str) -> None:
        os.read(self._fd(path), 4096)

    def _write_held(self, path: str, text: str) -> None:
        os.write(self._fd(path), self._bytes(text))

    def _fd(self, path: str) -> int:
        if path not in self._held:
            raise OSError(errno.EBADF, "was not opened", path)
        return self._held[path]


def word_of(path: str, text: str) -> str | None:
    """Return what a counter says in place of a number, such as "Unassigned"."""
    return text.strip() if path.rpartition("/")[2] in COUNTERS and text.strip().isalpha() else None


def sleeper() -> int:
    """Start a process that only sleeps and return its tid."""
    pid = os.fork()
    if not pid:
        while True:
            signal.pause()
    return pid


Answer = tuple[str, str, dict[str, str | None]]


def perform(files: Files, operations: list[tuple[str, ...]]) -> tuple[dict[str, str], list[Answer]]:
    """Yield the initial tree, then the answer to each operation: result, last_cmd_status, changes."""
    first = last = files.tree()
    answers: list[Answer] = []
    for operation in operations:
        result, status, now = files.do(operation), files.status(), files.tree()
        changes: dict[str, str | None] = {path: None for path in last if path not in now}
        changes |= {path: text for path, text in now.items() if last.get(path) != text}
        answers.append((result, status, changes))
        last = now
    return first, answers


def main() -> None:
    """Run as described in the module's docstring, in a child with a predefined tid."""
    with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
        file.write(str(FIRST_TID - 1))
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with open(sys.argv[2], encoding="ascii") as file:
        operations = [tuple(operation) for operation in json.load(file)]
    sleepers = {name: sleeper() for name in SLEEPERS}
    files = Files(sys.argv[1], {"W": os.getpid(), **sleepers, "K": KTHREADD})
    sys.stdout.write(os.uname().release + "\n")
    first, answers = perform(files, operations)
    for line in (first, *answers):
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()
    os._exit(0)  # do not wait for threads that sleep


if __name__ == "__main__":
    main()
