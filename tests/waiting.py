"""Wait for as long as something makes progress, however slow the machine is.

A fixed number of seconds is wrong on a loaded machine: what takes 20 s alone takes minutes beside five busy processes.
What holds on any machine is that work shows: a process uses a CPU or queues for one, its output grows, its state
changes. So a wait ends when its condition holds, when nothing has moved for STALL_SECONDS, or when the processes have
used up a limit of CPU time, which catches an endless loop and does not depend on the load either.
"""

import contextlib
import math
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

STALL_SECONDS = 180.0
LEAST_SHARE = 0.02  # of one CPU: what counts as work; a busy process has more even beside fifty others
CPU_LIMIT_SECONDS = 600.0
_LOOK_SECONDS = 0.5  # between two looks at all of /proc
_POLL_SECONDS = 0.01
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Sign = Callable[[], object]


class StalledError(AssertionError):
    """What was waited for makes no progress, or has used more CPU time than it may."""


class Progress:
    """Watches one wait: ``check`` raises StalledError once nothing moves.

    ``signs`` are functions whose value changes with progress. ``pids`` are processes which, with their descendants,
    make progress when they use, or wait for, at least ``least_share`` of one CPU; they may use ``cpu_limit`` seconds.
    """

    def __init__(
        self,
        what: str,
        *signs: Sign,
        pids: Collection[int] = (),
        stall: float = STALL_SECONDS,
        least_share: float = LEAST_SHARE,
        cpu_limit: float = CPU_LIMIT_SECONDS,
    ) -> None:
        self._what, self._signs, self._pids = what, signs, pids
        self._stall, self._least_share, self._cpu_limit = stall, least_share, cpu_limit
        self._used_before: float | None = None
        self._next_look = time.monotonic() + _LOOK_SECONDS  # most waits are over by then, and need no look at /proc
        self._moved(0.0)

    def _moved(self, demand: float) -> None:
        self._since, self._seen, self._demand = time.monotonic(), [sign() for sign in self._signs], demand

    def check(self) -> None:
        """Look for progress, now and then; cheap enough to be called in a loop."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        used, queued = cpu_seconds(self._pids)
        if self._used_before is None:
            self._used_before = used
            self._moved(used + queued)
        if used - self._used_before > self._cpu_limit:
            raise StalledError(f"{self._what} used {used - self._used_before:.0f} s of CPU time and has not finished")
        still = now - self._since
        demand = used + queued - self._demand  # below 0 when a process with much of it has ended
        if demand < 0 or demand > self._least_share * still or [sign() for sign in self._signs] != self._seen:
            self._moved(used + queued)
        elif still > self._stall:
            raise StalledError(f"{self._what} has made no progress for {still:.0f} s")


def until(
    condition: Callable[[], object], what: str, *signs: Sign, pids: Collection[int] = (), stall: float = STALL_SECONDS
) -> None:
    """Wait until the condition holds. Raises StalledError."""
    progress = Progress(what, *signs, pids=pids, stall=stall)
    while not condition():
        progress.check()
        time.sleep(_POLL_SECONDS)


def finish(
    process: subprocess.Popen[Any],
    data: Any = None,
    *,
    also: Collection[int] = (),
    stall: float = STALL_SECONDS,
    cpu_limit: float = CPU_LIMIT_SECONDS,
) -> tuple[Any, Any]:
    """Popen.communicate without a fixed timeout; ``also`` are other processes that work for this one.

    Raises StalledError, with the process killed.
    """
    progress = Progress(_name(process), pids=(process.pid, *also), stall=stall, cpu_limit=cpu_limit)
    if data is not None:  # communicate() forgets what it has not yet written when it times out
        threading.Thread(target=_feed, args=(process.stdin, data), daemon=True).start()
        process.stdin = None
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            try:
                progress.check()
            except StalledError as error:
                process.kill()
                out, err = process.communicate()
                raise StalledError(f"{error}\n{out or ''}{err or ''}") from None


def _feed(stdin: Any, data: Any) -> None:
    """Write all of a process's input, unless the process ends first."""
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(data)


def run(
    command: Sequence[str | Path],
    *,
    input: Any = None,  # noqa: A002 - as subprocess.run has it
    capture_output: bool = False,
    check: bool = False,
    also: Collection[int] = (),
    stall: float = STALL_SECONDS,
    cpu_limit: float = CPU_LIMIT_SECONDS,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """subprocess.run without a fixed timeout. Raises StalledError, with the process killed."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with subprocess.Popen(command, **options) as process:
        try:
            out, err = finish(process, input, also=also, stall=stall, cpu_limit=cpu_limit)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def readline(stream: Any, what: str, *, pids: Collection[int] = ()) -> Any:
    """The next line of an unbuffered pipe or socket, or the first of a buffered one. Raises StalledError."""
    readable(stream, what, pids=pids)
    return stream.readline()


def readable(source: Any, what: str, *, pids: Collection[int] = ()) -> None:
    """Wait until a file, pipe or socket can be read without blocking. Raises StalledError."""
    progress = Progress(what, pids=pids)
    while not select.select([source], [], [], _LOOK_SECONDS)[0]:
        progress.check()


def ended(pid: int, *, pids: Collection[int] = ()) -> None:
    """Wait until a process that need not be a child has ended. Raises StalledError."""
    until(lambda: not Path(f"/proc/{pid}").exists(), f"the end of process {pid}", pids=pids)


def cpu_seconds(pids: Collection[int]) -> tuple[float, float]:
    """The CPU time of these processes and their descendants, and the time that they have waited for a CPU, so far.

    The second is what a busy machine costs them; it is 0 where the kernel does not count it.
    """
    if not pids:
        return 0.0, 0.0
    used: dict[int, float] = {}
    parent: dict[int, int] = {}
    with os.scandir("/proc") as entries:
        numbers = [entry.name for entry in entries if entry.name.isdecimal()]
    for number in numbers:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
            parent[int(number)] = int(fields[1])
            used[int(number)] = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND  # with children that have ended
    ours = [pid for pid in used if _is_below(pid, parent, pids)]
    return math.fsum(used[pid] for pid in ours), math.fsum(map(_queued, ours))


def _queued(pid: int) -> float:
    """The seconds that the threads of a process were ready to run and had no CPU."""
    nanoseconds = 0
    with contextlib.suppress(OSError):
        for task in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                nanoseconds += int(Path(task.path, "schedstat").read_text().split()[1])
    return nanoseconds / 1e9


def _is_below(pid: int, parent: dict[int, int], pids: Collection[int]) -> bool:
    while pid not in pids:
        if pid not in parent:
            return False
        pid = parent[pid]
    return True


def _name(process: subprocess.Popen[Any]) -> str:
    words = process.args if isinstance(process.args, (list, tuple)) else [process.args]
    return " ".join(map(str, words))[:200]
