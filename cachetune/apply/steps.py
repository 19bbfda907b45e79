"""Take one step on resctrl, see that it took effect, and take it back.

``take`` raises ResctrlError or StepError; ``undo`` brings back what was there before whether the step was done, half
done or not done at all, and can be repeated.
"""

import contextlib
import errno
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cachetune.errors import CachetuneError, ResctrlError
from cachetune.guests import is_same_thread
from cachetune.guests.model import Thread
from cachetune.host.resctrlfs import Resctrl
from cachetune.host.schemata import covers, parse
from cachetune.host.state import DEFAULT_GROUP
from cachetune.plan.model import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata

# The kernel takes one page per write; a tid has at most 7 digits and a comma.
_TIDS_PER_WRITE = 500
# The kernel looks once a second whether the cache lines of a freed RMID are gone.
_LIMBO_SECONDS = 1.1


class StepError(CachetuneError):
    """A step was carried out but is not what can be read back."""


class Hands:
    """What carries steps out. ``threads`` are those whose start time is known, to tell a reused tid from the guest's.

    ``proc`` is None where threads are simulated. ``vanished`` collects threads that ended before they could be moved.
    """

    def __init__(self, resctrl: Resctrl, proc: Path | None, threads: Iterable[Thread] = ()) -> None:
        self._resctrl, self._proc = resctrl, proc
        self._threads = {t.tid: t for t in threads}
        self._lists = True
        self.vanished: list[int] = []

    def take(self, step: Step) -> None:
        """Carry a step out and verify it."""
        match step:
            case CreateGroup(path):
                self._create(path)
            case WriteSchemata(path, _, after):
                self._write_schemata(path, after)
            case MoveTasks(path, _, tids):
                self._move(path, tids)
            case RemoveGroup(path):
                self._remove(path)

    def undo(self, step: Step) -> None:
        """Bring back what was there before the step."""
        match step:
            case CreateGroup(path):
                if self._resctrl.exists(path):
                    self._remove(path)
            case WriteSchemata(path, before):
                if before:
                    self._write_schemata(path, before)
            case MoveTasks(path, source, tids):
                self._move_back(path, source, tids)
            case RemoveGroup(path, schemata):
                if not self._resctrl.exists(path):
                    self._create(path)
                    if schemata:
                        self._write_schemata(path, schemata)

    def _create(self, path: str) -> None:
        try:
            self._resctrl.mkdir(path)
        except ResctrlError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(_LIMBO_SECONDS)
            self._resctrl.mkdir(path)
        if not self._resctrl.exists(path):
            raise StepError(f"group {path} is not there although it was made")

    def _remove(self, path: str) -> None:
        with _tolerated(errno.ENOENT):
            self._resctrl.rmdir(path)
        if self._resctrl.exists(path):
            raise StepError(f"group {path} is still there although it was removed")

    def _write_schemata(self, path: str, text: str) -> None:
        file = _file(path, "schemata")
        self._resctrl.write(file, text)
        found = self._resctrl.read(file)
        if not covers(parse(found), parse(text)):
            raise StepError(f"{file} was written {text!r} but reads {found!r}", hint="another program changes it too")

    def _move(self, path: str, tids: Iterable[int]) -> None:
        present = [tid for tid in tids if self._is_same(tid)]
        self.vanished += [tid for tid in tids if tid not in present]
        file = _file(path, "tasks")
        for start in range(0, len(present), _TIDS_PER_WRITE):
            self._write_tids(file, present[start : start + _TIDS_PER_WRITE])
        there = set(self._resctrl.read(file).split())
        for tid in present:
            if str(tid) not in there and tid not in self.vanished:
                if self._proc and self._is_same(tid):
                    raise StepError(f"thread {tid} is not in {file} although it was written there")
                self.vanished.append(tid)

    def _write_tids(self, file: str, tids: list[int]) -> None:
        """One write where the kernel takes lists (6.12 does, 6.1 does not), else one for each.

        A list stops at the first failure, so after a failure each thread is written alone; those that are there
        already stay there.
        """
        if self._lists and len(tids) > 1:
            try:
                self._resctrl.write(file, ",".join(map(str, tids)) + "\n")
            except ResctrlError as error:
                if error.errno not in (errno.EINVAL, errno.ESRCH):
                    raise
                self._lists = error.errno == errno.ESRCH
            else:
                return
        for tid in tids:
            try:
                self._resctrl.write(file, f"{tid}\n")
            except ResctrlError as error:
                if error.errno != errno.ESRCH:
                    raise
                self.vanished.append(tid)

    def _move_back(self, path: str, source: str, tids: Iterable[int]) -> None:
        """Only those that are there: a thread that has gone elsewhere since is not ours to move."""
        with _tolerated(errno.ENOENT):
            there = set(self._resctrl.read(_file(path, "tasks")).split())
            back = [tid for tid in tids if str(tid) in there]
            control = source.rpartition("mon_groups/")[0].rstrip("/") or DEFAULT_GROUP
            if back and "mon_groups/" in source:
                self._move(control, back)
            if back:
                self._move(source, back)

    def _is_same(self, tid: int) -> bool:
        thread = self._threads.get(tid)
        return self._proc is None or thread is None or is_same_thread(thread, self._proc)


def _file(path: str, name: str) -> str:
    return name if path == DEFAULT_GROUP else f"{path}/{name}"


@contextlib.contextmanager
def _tolerated(*errnos: int) -> Iterator[None]:
    try:
        yield
    except ResctrlError as error:
        if error.errno not in errnos:
            raise
