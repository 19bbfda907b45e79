"""Read the groups of a host, including those of other programs.

Groups can disappear during the read; such a group is left out, as if it had been removed a moment earlier. Whatever
else is wrong with a file of a group (another program's damage, a copy that lacks it, a kernel that has more to say than
we know) must not make the host unreadable: it becomes a ``Problem``, and the rest is read.
"""

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator, KeysView, Sequence
from typing import Annotated

import msgspec
from msgspec.structs import replace

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.errors import ResctrlError
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Problem, file_of, is_monitor
from cachetune.host.owners import owner_of
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.host.resctrl.port import GONE, Resctrl
from cachetune.host.resctrl.schemata import Schemata, format_entry, parse
from cachetune.idset import numbered, parse_cpu_list
from cachetune.text import listed, printable

# Entries of the root that are not groups.
NOT_GROUPS = frozenset(
    {
        *("cpus", "cpus_list", "info", "mode", "mon_data", "mon_groups", "schemata", "size", "tasks"),
        *("ctrl_hw_id", "mon_hw_id", "mba_MBps_event", "mbm_L3_assignments"),
    }
)
# Without monitoring these names are free, so mkdir of a monitor group there creates a control group.
STRAY = frozenset({"mon_data", "mon_groups"})
ASSIGNED_MODES = frozenset({"shareable", "exclusive"})
MODES = ASSIGNED_MODES | {"pseudo-locksetup", "pseudo-locked"}

_DEVICE = re.compile(r"[a-z_]+:[0-9]+", re.ASCII)
_LARGEST_BANDWIDTH = (1 << 32) - 1
# Three times as fast as int() of each line, and it checks the range.
_TIDS = msgspec.json.Decoder(tuple[Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)], ...])
_EMPTY = "the file is empty; a copy by tar or rsync loses the content of kernel files"


class GroupReader:
    """Reads all groups behind ``fs``; then ``problems`` lists what could not be read.

    ``owned`` are paths of groups in our ledger, whatever their names. ``assignments`` is whether each group has a file
    that lists the counters assigned to it, ``allocates`` whether the host has anything to put into ``schemata``.
    """

    def __init__(
        self, fs: Resctrl, owned: Collection[str] = (), *, assignments: bool = False, allocates: bool = True
    ) -> None:
        self._fs, self._owned, self._assignments = fs, frozenset(owned), assignments
        self._allocates = allocates
        self.problems: list[Problem] = []
        # A host that only monitors has no schemata, a copy may lack any file. What the default group lacks, all may.
        self._expected: frozenset[str] = frozenset()

    def groups(self) -> Iterator[Group]:
        """The default group first, then the control groups by name, each followed by its monitor groups.

        Raises ResctrlError if the root or the default group's schemata cannot be read.
        """
        yield self._default_group()
        yield from self._monitor_groups("mon_groups")
        for name in self._fs.listdir(""):
            if (name not in NOT_GROUPS or self._is_stray(name)) and (group := self._control_group(name)):
                yield group
                yield from self._monitor_groups(f"{name}/mon_groups")

    def group(self, path: str) -> Group | None:
        """One group; None if it does not exist. Raises ResctrlError if the default group's schemata cannot be read."""
        return self._monitor_group(path) if is_monitor(path) else self._control_group(path)

    def plausible(self, groups: Iterable[Group], caches: Collection[CacheControl]) -> Iterator[Group]:
        """The groups without values that their host cannot have; those are kept as ``other_lines``.

        It is a problem, too, if a group lacks the mask of a cache: the kernel lists all of them in each group.
        """
        limits = {cache.name: int(cache.cbm_mask) for cache in caches}
        expected = [(cache.name, cache.size_bytes.keys(), int(cache.cbm_mask)) for cache in caches]
        for group in groups:
            if group.kind == "monitor" or _is_sound(group, expected):
                yield group
                continue
            masks = [
                (name, i, mask)
                for name, row in group.masks.items()
                if (limit := limits.get(name)) is not None
                for i, mask in row.items()
                if int(mask) | limit != limit
            ]
            values = [(n, i, v) for n, row in group.bandwidth.items() for i, v in row.items() if v > _LARGEST_BANDWIDTH]
            if masks or values:
                yield self._without(group, masks, values)
            else:
                self._check_complete(group, caches)
                yield group

    def _check_complete(self, group: Group, caches: Collection[CacheControl]) -> None:
        """The ways of a group without a mask are unknown, not free. Pseudo-locked groups list only their own cache."""
        if group.mode not in ASSIGNED_MODES:
            return
        lacking = [c for c in caches if not group.masks.row(c.name).keys() >= c.size_bytes.keys()]
        file = file_of(group.path, "schemata")
        if lacking and not self._has_problem(file):
            ids = ((c.name, c.size_bytes.keys() - group.masks.row(c.name).keys()) for c in lacking)
            missing = [numbered(f"{name} cache", without) for name, without in ids]
            self._problem(file, f"it has no mask of {listed(missing)}")

    def _has_problem(self, path: str) -> bool:
        return any(problem.path in (path, path.rpartition("/")[0]) for problem in self.problems)

    def _without(
        self, group: Group, masks: Sequence[tuple[str, int, Cbm]], bandwidth: Sequence[tuple[str, int, int]]
    ) -> Group:
        lines = [format_entry(name, i, value) for name, i, value in (*masks, *bandwidth)]
        self._problem(file_of(group.path, "schemata"), f"impossible on this host: {', '.join(lines)}")
        wrong = {entry[:2] for entry in (*masks, *bandwidth)}
        return replace(
            group,
            masks=Masks.of(entry for entry in group.masks.entries() if entry[:2] not in wrong),
            bandwidth=Bandwidth.of(entry for entry in group.bandwidth.entries() if entry[:2] not in wrong),
            other_lines=(*group.other_lines, *lines),
        )

    def _default_group(self) -> Group:
        names = ("schemata", "mode", "tasks", "cpus_list")
        self._expected = frozenset(name for name in names if self._fs.exists(name))
        return self._control_group(DEFAULT_GROUP) or Group(path=DEFAULT_GROUP, kind="control", owner="default")

    def _is_stray(self, name: str) -> bool:
        return name in STRAY and self._fs.exists(f"{name}/schemata")

    def _control_group(self, path: str) -> Group | None:
        prefix = "" if path == DEFAULT_GROUP else f"{path}/"
        mode = self._read(f"{prefix}mode")
        schemata = self._read(f"{prefix}schemata")
        tasks = self._read(f"{prefix}tasks")
        cpus = self._read(f"{prefix}cpus_list")
        if None in (schemata, mode, tasks, cpus) and not self._still_there(
            path, schemata=schemata, mode=mode, tasks=tasks, cpus_list=cpus
        ):
            return None
        values = self._schemata(f"{prefix}schemata", schemata)
        tids, others = self._tasks(f"{prefix}tasks", tasks)
        return Group(
            path=_printable(path),
            kind="control",
            owner=owner_of(path, self._owned),
            mode=self._mode(f"{prefix}mode", mode),
            masks=values.masks,
            bandwidth=values.bandwidth,
            other_lines=values.other_lines,
            tids=tids,
            other_tasks=others,
            cpus=self._cpus(f"{prefix}cpus_list", cpus),
            assignments=self._assigned(prefix),
        )

    def _monitor_groups(self, directory: str) -> Iterator[Group]:
        for name in self._names(directory):
            if group := self._monitor_group(f"{directory}/{name}"):
                yield group

    def _monitor_group(self, path: str) -> Group | None:
        tasks, cpus = self._read(f"{path}/tasks"), self._read(f"{path}/cpus_list")
        if None in (tasks, cpus) and not self._still_there(path, tasks=tasks, cpus_list=cpus):
            return None
        tids, others = self._tasks(f"{path}/tasks", tasks)
        return Group(
            path=_printable(path),
            kind="monitor",
            owner=owner_of(path, self._owned),
            tids=tids,
            other_tasks=others,
            cpus=self._cpus(f"{path}/cpus_list", cpus),
            assignments=self._assigned(f"{path}/"),
        )

    def _names(self, directory: str) -> list[str]:
        try:
            return self._fs.listdir(directory)
        except ResctrlError as error:
            if error.errno not in GONE:
                self._problem(directory, os.strerror(error.errno))
            return []

    def _read(self, path: str) -> str | None:
        """The content of a file: None if it does not exist, "" if it cannot be read, which is a problem.

        Not even root may read tasks and cpus_list of a pseudo-locked group (EACCES).
        """
        try:
            return self._fs.read(path)
        except ResctrlError as error:
            if error.errno in GONE:
                return None
            if path == "schemata":
                raise  # all caches follow from the default group's: if that is unreadable, so is the host
            if error.errno != errno.EACCES or path.endswith(("schemata", "mode")):
                self._problem(path, os.strerror(error.errno))
            return ""

    def _still_there(self, path: str, **texts: str | None) -> bool:
        """Whether the group still exists, so that the files that were not found are really missing."""
        try:
            self._fs.listdir(path)
        except ResctrlError as error:
            if error.errno in GONE:
                return False
            self._problem(path, os.strerror(error.errno))
        for name, text in texts.items():
            if text is None and name in self._expected:
                self._problem(file_of(path, name), "the file is missing")
        return True

    def _schemata(self, path: str, text: str | None) -> Schemata:
        if text == "" and self._allocates:
            self._empty(path)
        values = parse(text or "")
        for line in values.malformed:
            self._problem(path, f"not understood: {line[:60]}")
        return values

    def _mode(self, path: str, text: str | None) -> str:
        mode = (text or "").strip()
        if text == "":
            self._empty(path)
        elif mode and mode not in MODES:
            self._problem(path, f"not a mode: {mode[:60]}")
        return mode if mode in MODES else "shareable"

    def _tasks(self, path: str, text: str | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The thread ids, and the lines that are something else."""
        if not text:
            return (), ()
        try:
            return _TIDS.decode(f"[{text.strip().replace(chr(10), ',')}]"), ()
        except msgspec.DecodeError:
            return self._mixed_tasks(path, [line.strip() for line in text.split("\n") if line.strip()])

    def _mixed_tasks(self, path: str, lines: list[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The same for lines that are not all thread ids."""
        tids = {line: _tid(line) for line in lines}
        others = tuple(line for line in lines if tids[line] is None)
        for line in others:
            if not _DEVICE.fullmatch(line):
                self._problem(path, f"not a thread id: {line[:60]}")
        return tuple(tid for tid in tids.values() if tid is not None), others

    def _cpus(self, path: str, text: str | None) -> str:
        cpus = (text or "").strip()
        if not cpus:
            return ""
        try:
            parse_cpu_list(cpus)
        except ValueError:
            self._problem(path, f"not a list of CPUs: {cpus[:60]}")
            return ""
        return cpus

    def _assigned(self, prefix: str) -> dict[str, dict[int, bool]]:
        """The counters of a group, from lines such as ``mbm_total_bytes:0=e;1=_``."""
        if not self._assignments:
            return {}
        path = f"{prefix}mbm_L3_assignments"
        found = parse_assignments(self._read(path) or "")
        for line in found.malformed:
            self._problem(path, f"not understood: {line[:60]}")
        return found.assigned

    def _empty(self, path: str) -> None:
        """A file that always has content is empty. The reason that it cannot be read, if there is one, is enough."""
        if not any(problem.path == _printable(path) for problem in self.problems[-1:]):
            self._problem(path, _EMPTY)

    def _problem(self, path: str, reason: str) -> None:
        self.problems.append(Problem(_printable(path), printable(reason)))


def _is_sound(group: Group, caches: Iterable[tuple[str, KeysView[int], int]]) -> bool:
    """Whether the group has a possible mask of every cache (name, ids, limit) and possible bandwidths, as most do."""
    for name, ids, limit in caches:
        row = group.masks.row(name)
        if row.keys() != ids:
            return False
        for mask in row.values():
            if int(mask) | limit != limit:
                return False
    return all(max(row.values(), default=0) <= _LARGEST_BANDWIDTH for _, row in group.bandwidth.items())


def _tid(text: str) -> int | None:
    """The thread id, None for anything else."""
    number = int(text) if len(text) < 12 and text.isascii() and text.isdigit() else 0
    return number if 0 < number < 1 << 31 else None


def _printable(path: str) -> str:
    """The path as text for JSON: bytes that are not UTF-8 become escapes."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()
