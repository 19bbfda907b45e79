"""The agent's files in the run directory: the lock that excludes a second agent, and the status document.

The lock is an flock on ``agent.lock``, which the kernel releases when the process ends. The status is replaced
atomically.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cachetune import documents
from cachetune.agent.model import AgentStatus, status_problems
from cachetune.errors import AlreadyRunningError, DocumentError, StateFileError
from cachetune.files import replace_file
from cachetune.guests import find_process
from cachetune.guests.model import Thread
from cachetune.guests.proc.threads import is_same_thread

_STATUS = "agent.json"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PROC = Path("/proc")  # for the agent's own process; --proc is for guests


@contextlib.contextmanager
def only_agent(run: Path) -> Iterator[None]:
    """Be the only agent in this run directory. Raises AlreadyRunningError and StateFileError."""
    try:
        run.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(run / "agent.lock", _FLAGS, 0o644)
    except OSError as error:
        hint = "run as root, or pass --run DIR"
        raise StateFileError(run / "agent.lock", error.strerror, operation="write", hint=hint) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        yield
    except BlockingIOError:
        pid = os.pread(fd, 20, 0).strip()
        raise AlreadyRunningError(run, int(pid) if pid.isdigit() else None) from None
    finally:
        os.close(fd)


def own_start_time() -> int:
    """The start time of this process, in clock ticks after boot."""
    return next(thread.start_time for thread in find_process(os.getpid(), _PROC).threads if thread.tid == os.getpid())


def is_alive(status: AgentStatus) -> bool:
    """Whether the agent that wrote the status is still running."""
    return status.running and is_same_thread(Thread(status.pid, status.start_time), _PROC)


def write(status: AgentStatus, run: Path) -> None:
    """Replace the status document. Raises OSError."""
    replace_file(run / _STATUS, documents.encode(status), sole_writer=True)


def read(run: Path) -> AgentStatus | None:
    """The status of the last agent; None without a status file. Raises StateFileError."""
    path = run / _STATUS
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateFileError(path, error.strerror) from None
    try:
        return documents.decode(data, AgentStatus, str(path), status_problems)
    except DocumentError as error:
        raise StateFileError(path, error.reason, hint=error.hint) from None
