"""Workloads of a simulated host: what its threads do to the caches, and which threads do it.

A workload accesses data at a constant rate, the same in each of its caches. ``reuse`` returns to its working set, so
that it misses less the more of it the cache holds; ``streaming`` never does. ``contention`` says what follows for
occupancy and memory traffic. None of this resembles a program on a real processor.

A workload is run by threads (of a guest, or given by their ids), which do equal parts of it, or by all other threads of
a group. The threads of any other group run one default workload each; those of the default group one together.
"""

import difflib
import math
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from cachetune.errors import DocumentError, UnreadableFileError
from cachetune.units import Rate, Size

_MIB = 1 << 20
_LARGEST_FILE = 1 << 20
_HINT = "docs/how-to/simulation.md describes the file"
_MOST_DEFAULT_TASKS = 32


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What the threads of one program do to each of ``caches`` (None: all), together.

    ``bytes_per_second`` is what they access, found in the cache or not. ``working_set_bytes`` None has no end, which
    only ``streaming`` can have. ``fresh`` is the part of the accesses of ``reuse`` that is never found, ``local`` the
    part of the memory traffic to the local node.
    """

    kind: Literal["reuse", "streaming"]
    bytes_per_second: float
    working_set_bytes: int | None = None
    fresh: float = 0.1
    local: float = 0.75
    caches: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for values that contradict each other."""
        if self.kind == "reuse" and self.working_set_bytes is None:
            raise ValueError("reuse needs a working_set")
        if self.working_set_bytes is not None and self.working_set_bytes < 1:
            raise ValueError("working_set must not be empty")
        if not math.isfinite(self.bytes_per_second) or self.bytes_per_second < 0:
            raise ValueError("accesses must be a rate of at least 0")
        for name in ("fresh", "local"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1")

    @property
    def working_set(self) -> float:
        """The working set in bytes; infinite without an end."""
        return math.inf if self.working_set_bytes is None else float(self.working_set_bytes)

    @property
    def never_found(self) -> float:
        """The part of the accesses that misses whatever the cache holds."""
        return 1.0 if self.kind == "streaming" else self.fresh


OF_A_TASK = Workload(kind="reuse", bytes_per_second=256 * _MIB, working_set_bytes=2 * _MIB, fresh=0.25)
"""What a task of a group does by default; a group is as busy as at most 32 of them."""
OF_THE_DEFAULT_GROUP = Workload(kind="reuse", bytes_per_second=128 * _MIB, working_set_bytes=4 * _MIB, fresh=0.25)
"""What the tasks of the default group do together by default."""


class WorkloadEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A workload and who runs it: either the threads of guests or groups; ``guest``, ``group`` and ``threads`` are
    patterns as in a shell.

    Of a guest, the threads named like ``threads`` run it, or all if none is. A pattern of groups has the parts of a
    path: ``web*`` does not match monitor groups, ``*/mon_groups/*`` does.
    """

    workload: Workload
    guest: str | None = None
    group: str | None = None
    threads: str = "CPU *"


class Load(NamedTuple):
    """What runs in a group: ``times`` a workload. ``name`` is unique within the group."""

    name: str
    workload: Workload
    times: float


class ThreadName(NamedTuple):
    """The guest that a thread belongs to, and its own name."""

    guest: str
    thread: str


class _Running(NamedTuple):
    workload: Workload
    tids: set[int]


class Workloads:
    """Which thread runs what. ``entries`` in their order: the first that matches counts."""

    def __init__(self, entries: Sequence[WorkloadEntry] = ()) -> None:
        self._entries = tuple(entries)
        self._running: dict[str, _Running] = {}
        self._run_by: dict[int, str] = {}

    @property
    def names_guests(self) -> bool:
        """Whether it depends on the names of guests and threads."""
        return any(entry.guest is not None for entry in self._entries)

    def run(self, name: str, workload: Workload, tids: Iterable[int]) -> None:
        """Let these threads run a workload, in equal parts, in place of what they or this name ran before."""
        for tid in self._running.pop(name, _Running(workload, set())).tids:
            del self._run_by[tid]
        mine = set(tids)
        for tid in mine:
            self.forget(tid)
            self._run_by[tid] = name
        self._running[name] = _Running(workload, mine)

    def forget(self, tid: int) -> None:
        """A thread has ended, or runs something else."""
        name = self._run_by.pop(tid, None)
        if name is not None:
            self._running[name].tids.discard(tid)

    def plan_of(self, threads: Mapping[int, ThreadName]) -> dict[str, tuple[Workload, frozenset[int]]]:
        """Return what these threads of guests would run, by name; ``run`` takes each that ``is_running`` denies."""
        guests: dict[str, dict[int, str]] = {}
        for tid, (guest, thread) in threads.items():
            guests.setdefault(guest, {})[tid] = thread
        found = {}
        for guest, names in guests.items():
            for number, entry in enumerate(self._entries):
                if entry.guest is None or not fnmatchcase(guest, entry.guest):
                    continue
                some = {tid for tid, name in names.items() if fnmatchcase(name, entry.threads)}
                found[f"guest {guest} {number}"] = entry.workload, frozenset(some or names)
                break
        return found

    def is_running(self, name: str, tids: Collection[int]) -> bool:
        """Whether exactly these threads run the workload of this name."""
        running = self._running.get(name)
        return running is not None and running.tids == tids

    def loads_of(self, path: str, tids: set[int]) -> list[Load]:
        """Return what the tasks of the group at a path ("." is the default group) run."""
        counts = Counter(self._run_by[tid] for tid in tids & self._run_by.keys())
        loads = []
        for name, count in sorted(counts.items()):
            workload, everywhere = self._running[name]
            loads.append(Load(name, workload, count / len(everywhere)))
        rest = len(tids) - counts.total()
        return [*loads, self._rest_of(path, rest)] if rest else loads

    def _rest_of(self, path: str, tasks: int) -> Load:
        """What the tasks that run nothing else run in a group."""
        for entry in self._entries:
            if entry.group is not None and _matches(path, entry.group):
                return Load("group", entry.workload, 1.0)
        if path == ".":
            return Load("default", OF_THE_DEFAULT_GROUP, 1.0)
        return Load("default", OF_A_TASK, float(min(tasks, _MOST_DEFAULT_TASKS)))


def _matches(path: str, pattern: str) -> bool:
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


# -- the file ---------------------------------------------------------------------------------------------------


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[workload]]`` of the file."""

    kind: Literal["reuse", "streaming"]
    accesses: str
    guest: str | None = None
    group: str | None = None
    threads: str = "CPU *"
    working_set: str | None = None
    fresh: float = 0.1
    local: float = 0.75
    caches: tuple[int, ...] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    workload: tuple[_Table, ...]


def read_workloads(path: Path) -> tuple[WorkloadEntry, ...]:
    """Read a file of workloads. Raises UnreadableFileError, and DocumentError with the table at fault."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UnreadableFileError(path, error.strerror) from None
    return parse_workloads(data, str(path))


def parse_workloads(data: bytes, name: str) -> tuple[WorkloadEntry, ...]:
    """The workloads in a file's content. Raises DocumentError with the table at fault."""
    if len(data) > _LARGEST_FILE:
        raise DocumentError(name, "it is too large for workloads", hint=_HINT)
    try:
        raw = tomllib.loads(data.decode())
        _refuse_unknown_keys(raw)
        tables = msgspec.convert(raw, _File).workload
        return tuple(_entry(f"workload {number}", table) for number, table in enumerate(tables, start=1))
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, msgspec's and ours are all ValueErrors
        raise DocumentError(name, str(error), hint=_HINT) from None


def _refuse_unknown_keys(raw: dict[str, object]) -> None:
    tables = raw.get("workload")
    for number, table in enumerate(tables if isinstance(tables, list) else (), start=1):
        for key in table if isinstance(table, dict) else ():
            if key not in _Table.__struct_fields__:
                near = difflib.get_close_matches(key, _Table.__struct_fields__, 1)
                known = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_Table.__struct_fields__)}"
                raise ValueError(f"workload {number}: unknown key {key!r}; {known}")


def _entry(where: str, table: _Table) -> WorkloadEntry:
    if (table.guest is None) == (table.group is None):
        raise ValueError(f"{where}: either guest or group says who runs it")
    try:
        workload = Workload(
            kind=table.kind,
            bytes_per_second=_rate(table.accesses),
            working_set_bytes=None if table.working_set is None else _size(table.working_set),
            fresh=table.fresh,
            local=table.local,
            caches=table.caches,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return WorkloadEntry(workload=workload, guest=table.guest, group=table.group, threads=table.threads)


def _rate(text: str) -> float:
    rate = Rate.parse(text)
    factors = {"MiB/s": _MIB, "GB/s": 10**9}
    if rate.unit not in factors:
        raise ValueError(f"accesses: {text!r} is not a rate such as 500MiB/s or 2GB/s")
    return float(rate.number) * factors[rate.unit]


def _size(text: str) -> int:
    size = Size.parse(text)
    if size.unit != "B":
        raise ValueError(f"working_set: {text!r} is not a size in bytes, such as 6MiB")
    return int(size.number)
