"""Take one step on resctrl and verify it, or undo it.

``take`` raises ResctrlError or StepError. ``undo`` restores the previous state whether the step was taken completely,
in part or not at all, and can be repeated.
"""

import contextlib
import errno
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import assert_never

from cachetune.errors import ResctrlError, StepError
from cachetune.guests import is_same_thread
from cachetune.guests.model import Guest, Thread
from cachetune.host.bandwidth import shows
from cachetune.host.model import DEFAULT_GROUP, BandwidthControl, file_of, parent_of
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.model import PlanGuest
from cachetune.plan.settings import ASSIGNMENTS, format_value, group_of_file, parse_value
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata

# The kernel takes one page per write; a tid has at most 7 digits and a comma.
_TIDS_PER_WRITE = 500
# With these the kernel, or the file system before it, refuses a command before it changes anything. Other errnos, such
# as EIO, can come at any time.
_REFUSALS = {
    *(
        errno.EPERM,
        errno.EACCES,
        errno.EROFS,
        errno.ENOENT,
        errno.ENODEV,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    ),
    *(errno.EINVAL, errno.ERANGE, errno.EOVERFLOW, errno.E2BIG, errno.ENOSPC, errno.EBUSY, errno.ESRCH),
}
# Those of a command that takes its entries one after the other.
_PART_WAY = {errno.EPERM, errno.EINVAL, errno.ESRCH, errno.ENOSPC}
# Once a second the kernel checks whether a freed RMID still has cache lines.
_LIMBO_SECONDS = 1.1


class StepRunner:
    """Takes and undoes steps. ``guests`` have the threads that may be moved, each bound to its process and start time.

    The kernel takes plain thread ids, and an id may belong to another thread by the time of the write, so each is
    checked right before. ``proc`` is None for simulated threads. ``bandwidths`` are the host's: they say how it rounds.

    ``vanished`` collects threads that ended before they could be moved. ``changed`` is whether the step that was last
    taken, or failed, can have had an effect: if not, undoing it would only change what others have done.
    """

    def __init__(
        self,
        resctrl: Resctrl,
        proc: Path | None,
        guests: Iterable[PlanGuest | Guest] = (),
        bandwidths: Sequence[BandwidthControl] = (),
    ) -> None:
        self._resctrl, self._proc, self._bandwidths = resctrl, proc, bandwidths
        self._bound: dict[int, tuple[Thread, int | None]] = {}
        for guest in guests:
            self.bind(guest)
        self._lists = True
        self.changed = False
        self.vanished: list[int] = []

    def bind(self, guest: PlanGuest | Guest) -> None:
        """Move these threads only while they are still the same. Existing bindings are kept."""
        for thread in guest.threads:
            self._bound.setdefault(thread.tid, (thread, guest.pid))

    def take(self, step: Step) -> None:
        """Take a step and verify it."""
        self.changed = False
        match step:
            case CreateGroup(path):
                self._create(path)
            case WriteSchemata(path, _, after):
                self._write_schemata(path, after)
            case WriteFile(path, _, after):
                self._write_file(path, after)
            case MoveTasks(path, _, tids):
                self._move(path, tids)
            case RemoveGroup(path):
                self._remove(path)
            case _:
                assert_never(step)

    def undo(self, step: Step, made: Collection[str]) -> None:
        """Restore what was there before the step; safe to repeat after a failure.

        ``made`` are the groups that the run created. Once one is removed again, there is nothing to restore in it.
        """
        match step:
            case CreateGroup(path):
                if self._resctrl.exists(path):
                    self._remove(path)
            case WriteSchemata(path, before):
                if before and not self._reads(path, before):
                    self._write_schemata(path, before)
            case WriteFile(path, before):
                if self._remains(group_of_file(path), made) and self._value(path) != before:
                    self._write_file(path, before)
            case MoveTasks(path, source, tids):
                if self._remains(source, made):
                    self._move_back(path, source, tids)
            case RemoveGroup():
                self._make_again(step)
            case _:
                assert_never(step)

    def _remains(self, group: str | None, made: Collection[str]) -> bool:
        """False for a group that the run created and that is already removed again. None, the host, always remains."""
        return group is None or group not in made or self._resctrl.exists(group)

    def _make_again(self, step: RemoveGroup) -> None:
        if not self._resctrl.exists(step.path):
            self._create(step.path)
        if step.schemata:
            self._write_schemata(step.path, step.schemata)
        if step.cpus:
            self._write(file_of(step.path, "cpus_list"), f"{step.cpus}\n")
        if step.mode != "shareable":
            self._write(file_of(step.path, "mode"), f"{step.mode}\n")
        counters = file_of(step.path, ASSIGNMENTS)
        if step.assignments and self._value(counters) != step.assignments:
            self._write_file(counters, step.assignments)

    def _mkdir(self, path: str) -> None:
        self._resctrl.mkdir(path)  # all or nothing, as is rmdir
        self.changed = True

    def _write(self, file: str, text: str) -> None:
        try:
            self._resctrl.write(file, text)
        except ResctrlError as error:
            self.changed |= not _refused_all_of_it(error, self._resctrl.mount_options)
            raise
        self.changed = True

    def _create(self, path: str) -> None:
        try:
            self._mkdir(path)
        except ResctrlError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(_LIMBO_SECONDS)
            self._mkdir(path)
        if not self._resctrl.exists(path):
            raise StepError(path, "mkdir succeeded, but the group does not exist")

    def _remove(self, path: str) -> None:
        with _tolerated(errno.ENOENT):
            self._resctrl.rmdir(path)
            self.changed = True
        if self._resctrl.exists(path):
            raise StepError(path, "rmdir succeeded, but the group still exists")

    def _write_schemata(self, path: str, text: str) -> None:
        file = file_of(path, "schemata")
        self._write(file, text)
        if not self._reads(path, text):
            found = self._resctrl.read(file)
            raise StepError(file, f"wrote {text!r} but read {found!r}", hint="another program changes it too")

    def _reads(self, path: str, text: str) -> bool:
        """Whether the group's schemata has these values, as far as the host can keep them."""
        return shows(self._bandwidths, parse(self._resctrl.read(file_of(path, "schemata"))), parse(text))

    def _write_file(self, path: str, value: str) -> None:
        self._write(path, format_value(path, value))
        if (found := self._value(path)) != value:
            raise StepError(path, f"wrote {value!r} but read {found!r}", hint="another program changes it too")

    def _value(self, path: str) -> str:
        return parse_value(path, self._resctrl.read(path))

    def _move(self, path: str, tids: Iterable[int]) -> None:
        present = [tid for tid in tids if self._is_same(tid)]
        ended = set(tids).difference(present)
        file = file_of(path, "tasks")
        try:
            for start in range(0, len(present), _TIDS_PER_WRITE):
                ended |= self._write_tids(file, present[start : start + _TIDS_PER_WRITE])
        except ResctrlError:
            self.changed = self.changed and self._holds_any(path, present)
            raise
        missing = set(present).difference(ended, self._tids_in(path))
        for tid in sorted(missing):
            if self._proc and self._is_same(tid):
                raise StepError(file, f"wrote thread {tid}, but it is not in the group")
        self.vanished += sorted(ended | missing)

    def _holds_any(self, path: str, tids: Collection[int]) -> bool:
        """Whether any of the threads is in the group; True if that cannot be read."""
        try:
            return not self._tids_in(path).isdisjoint(tids)
        except ResctrlError:
            return True

    def _tids_in(self, path: str) -> set[int]:
        """The threads of a group. Lines for devices ("iommu_group:17") are left out."""
        lines = self._resctrl.read(file_of(path, "tasks")).split()
        return {int(line) for line in lines if line.isascii() and line.isdigit()}

    def _write_tids(self, file: str, tids: list[int]) -> set[int]:
        """One write if the kernel takes lists (6.12 does, 6.1 does not), else one per thread; returns those that ended.

        The kernel stops a list at the first failure, so after one each thread is written alone. Writing a thread that
        is already in the group changes nothing.
        """
        ended: set[int] = set()
        if self._lists and len(tids) > 1:
            try:
                self._write(file, ",".join(map(str, tids)) + "\n")
            except ResctrlError as error:
                if error.errno not in (errno.EINVAL, errno.ESRCH):
                    raise
                self._lists = error.errno == errno.ESRCH
            else:
                return ended
        for tid in tids:
            try:
                self._write(file, f"{tid}\n")
            except ResctrlError as error:
                if error.errno != errno.ESRCH:
                    raise
                ended.add(tid)
        return ended

    def _move_back(self, path: str, source: str, tids: Iterable[int]) -> None:
        """Move back the threads that the step, or an interrupted undo, left in ``path`` or in the groups around it.

        A thread that another program has moved elsewhere since is not ours to move.
        """
        control = parent_of(source)
        around: set[int] = set()
        for group in {path, parent_of(path), control, DEFAULT_GROUP}:
            with _tolerated(errno.ENOENT, errno.ENODEV):
                around |= self._tids_in(group)
        home = self._tids_in(source)
        with _tolerated(errno.ENOENT, errno.ENODEV):
            home -= self._tids_in(path)  # a control group lists the threads of its monitor groups, too
        back = [tid for tid in tids if tid in around and tid not in home]
        if source != control:
            inside = self._tids_in(control)
            self._move(control, [tid for tid in back if tid not in inside])
        self._move(source, back)

    def _is_same(self, tid: int) -> bool:
        if self._proc is None or tid not in self._bound:
            return True
        thread, pid = self._bound[tid]
        return is_same_thread(thread, self._proc, pid)


def _refused_all_of_it(error: ResctrlError, mount_options: Collection[str]) -> bool:
    """Whether a write that failed with this error had no effect at all.

    schemata is checked as a whole before anything is set, except for bandwidths in MiB/s. A list of thread ids is taken
    from left to right, as are counters.
    """
    written, name = error.written or "", error.path.rpartition("/")[2]
    one_by_one = "," in written if name == "tasks" else "MB:" in written and "mba_MBps" in mount_options
    one_by_one |= name == ASSIGNMENTS
    return error.errno in (_REFUSALS - _PART_WAY if one_by_one else _REFUSALS)


@contextlib.contextmanager
def _tolerated(*errnos: int) -> Iterator[None]:
    try:
        yield
    except ResctrlError as error:
        if error.errno not in errnos:
            raise
