"""The threads of this machine as the tasks of a simulated resctrl.

The kernel puts a new thread into the group of the thread that created it. /proc does not report that thread, so a new
thread goes into the group of its process's main thread, and a new process into that of its parent's main thread, or
into the default group if the parent has ended. ``look`` is called before every operation that depends on the threads
and twice a second, so that threads from before a move are not mistaken for later ones.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.sim.workloads import ThreadName

Tids = Literal["real", "any"]
GuestOf = Callable[[Path], str]
"""From the directory of a process in /proc to the name of the guest that it runs; "" if it runs none."""
_SECONDS_BETWEEN_LOOKS = 0.5


class RealThreads:
    """Synchronizes the tasks of ``sim`` with the threads in ``proc``. May be used from several threads.

    ``guest_of`` finds the guests whose workloads ``sim`` knows by name.
    """

    def __init__(self, sim: SimulatedResctrl, proc: Path = Path("/proc"), guest_of: GuestOf = lambda _: "") -> None:
        self._sim, self._proc, self._guest_of = sim, proc, guest_of
        self._mutex = threading.Lock()

    def look(self) -> None:
        """Add new threads and remove those that have ended."""
        with self._mutex:
            there = self._threads()
            for tid in there.keys() - self._sim.state.tasks.keys():
                self._add(tid, there)
            for tid in self._sim.state.tasks.keys() - there.keys():
                self._sim.end_task(tid)

    def keep_looking(self) -> None:
        """Start a daemon thread that looks twice a second."""
        threading.Thread(target=self._keep_looking, daemon=True).start()

    def _keep_looking(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS_BETWEEN_LOOKS):
            self.look()
            if self._sim.state.workloads.names_guests:
                self._sim.name_threads(dict(self._names_of_threads()))

    def _names_of_threads(self) -> Iterator[tuple[int, ThreadName]]:
        """The threads of all guests. Names are read again and again: a thread takes its own after its start."""
        for name in _names(self._proc):
            guest = self._guest_of(self._proc / name)
            for tid in _names(self._proc / name / "task") if guest else ():
                with contextlib.suppress(OSError):
                    thread = (self._proc / name / "task" / tid / "comm").read_text(errors="replace")
                    yield int(tid), ThreadName(guest, thread.rstrip("\n"))

    def _threads(self) -> dict[int, int]:
        """Return thread to process, for all threads."""
        found: dict[int, int] = {}
        for name in _names(self._proc):
            found.update(dict.fromkeys(map(int, _names(self._proc / name / "task")), int(name)))
        return found

    def _add(self, tid: int, there: dict[int, int]) -> None:
        """Add a thread, after its ancestors."""
        tasks, line = self._sim.state.tasks, [tid]
        while line[-1] not in tasks and line[-1] in there:
            line.append(self._creator(line[-1], there[line[-1]]))
        while len(line) > 1:
            parent = line.pop()
            if line[-1] not in tasks:
                self._sim.add_task(line[-1], parent if parent in tasks else None)

    def _creator(self, tid: int, process: int) -> int:
        return process if tid != process else stat_of(tid, self._proc)[0]


def stat_of(pid: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """Return a process's parent and start time in clock ticks since boot; zeros if it has ended."""
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[19])


def _names(directory: Path) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.isdigit()]  # noqa: PTH208 - a third of the time
    except OSError:
        return []
