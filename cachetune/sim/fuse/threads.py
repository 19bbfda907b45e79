"""The threads of this machine as the tasks of a simulated resctrl.

The kernel puts a new thread into the group of the thread that made it. /proc does not tell who that was, so a thread
that is seen for the first time goes where its process's main thread is, and a new process where its parent's main
thread is, or to the default group when the parent has gone. ``look`` is called ahead of everything that depends on
it, and now and then, so what was there before a move is not taken for what came after it.
"""

import os
import threading
from pathlib import Path
from typing import Literal

from cachetune.sim.kernel.resctrl import SimulatedResctrl

Tids = Literal["real", "any"]
_SECONDS_BETWEEN_LOOKS = 0.5


class RealThreads:
    """Keeps the tasks of ``sim`` in step with the threads in ``proc``. May be used from several threads."""

    def __init__(self, sim: SimulatedResctrl, proc: Path = Path("/proc")) -> None:
        self._sim, self._proc = sim, proc
        self._mutex = threading.Lock()

    def look(self) -> None:
        """Take in the threads that are new and let go of those that have ended."""
        with self._mutex:
            there = self._threads()
            for tid in there.keys() - self._sim.state.tasks.keys():
                self._take_in(tid, there)
            for tid in self._sim.state.tasks.keys() - there.keys():
                self._sim.end_task(tid)

    def keep_looking(self) -> None:
        """Look twice a second from now on, in a thread that ends with the process."""
        threading.Thread(target=self._look_for_ever, daemon=True).start()

    def _look_for_ever(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS_BETWEEN_LOOKS):
            self.look()

    def _threads(self) -> dict[int, int]:
        """Thread to process, of all threads there are."""
        found: dict[int, int] = {}
        for name in _names(self._proc):
            found.update(dict.fromkeys(map(int, _names(self._proc / name / "task")), int(name)))
        return found

    def _take_in(self, tid: int, there: dict[int, int]) -> None:
        """Add a thread, after those that it descends from."""
        tasks, line = self._sim.state.tasks, [tid]
        while line[-1] not in tasks and line[-1] in there:
            line.append(self._maker(line[-1], there[line[-1]]))
        while len(line) > 1:
            parent = line.pop()
            if line[-1] not in tasks:
                self._sim.add_task(line[-1], parent if parent in tasks else None)

    def _maker(self, tid: int, process: int) -> int:
        return process if tid != process else stat_of(tid, self._proc)[0]


def stat_of(pid: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """A process's parent and the time of its start in clock ticks since boot; zeros when it has gone."""
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
