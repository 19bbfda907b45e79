"""Read counters again and again, with one system call for each: descriptors are kept open, nothing is opened twice.

A counter belongs to the group in which it was opened. If that group is removed, reading fails, even if there is another
of its name by now; the sampler then looks for groups again. So two values of one ``Column`` in one ``SampledGroup`` are
always from one counter, and ``rates`` compares nothing else.
"""

import errno
import operator
import resource
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from typing import Self

import msgspec

from cachetune.errors import ResctrlError
from cachetune.host.groups import NOT_GROUPS
from cachetune.host.model import DEFAULT_GROUP, file_of
from cachetune.host.resctrl.port import GONE, OpenFile, Resctrl
from cachetune.watch.counters import counter_files, state_in, value_in
from cachetune.watch.model import Column, Counter, State

_GONE = GONE | {errno.ENOTCONN}

Value = int | Decimal | State
Choice = Callable[[Resctrl, tuple[str, ...]], Collection[str]]

RESCAN_SECONDS = 5.0
"""How often groups are looked for if nothing shows that there are new ones.

A new control group is noticed at the next sample, a new monitor group in an old control group at the next scan.
"""


class SampledGroup(msgspec.Struct, frozen=True, eq=False):
    """A group from its discovery to its end; another one at the same path is another value.

    ``counts`` is whether each column counts, so that it has a rate; the others are current values.
    """

    path: str
    columns: tuple[Column, ...]
    counts: tuple[bool, ...]


class GroupSample(msgspec.Struct, frozen=True):
    """The values of one group, in the order of its columns, read at ``seconds`` of the monotonic clock."""

    group: SampledGroup
    seconds: float
    values: tuple[Value, ...]


class Sample(msgspec.Struct, frozen=True):
    """One reading of all groups, started at ``time``, in seconds since 1970; ``groups`` by path."""

    time: float
    groups: Mapping[str, GroupSample]


class _Open(msgspec.Struct):
    """A group with its open files."""

    group: SampledGroup
    files: tuple[OpenFile, ...]
    reads: tuple[Callable[[], bytes], ...]

    def close(self) -> None:
        for file in self.files:
            file.close()


class Sampler:
    """Samples the groups that ``choose`` picks from all paths, and of their counters those of ``events`` (None: all).

    ``connect`` opens resctrl: at first, and again after a remount. ``features`` gives each resource's events in their
    order, and is called after ``choose``. Close it, or use it in a with statement: open files keep resctrl from being
    unmounted.
    """

    def __init__(
        self,
        connect: Callable[[], Resctrl],
        features: Callable[[], Mapping[str, tuple[str, ...]]],
        choose: Choice = lambda _, paths: paths,
        events: Collection[str] | None = None,
    ) -> None:
        self._connect, self._features, self._choose, self._events = connect, features, choose, events
        self._fs: Resctrl | None = None
        self._open: dict[str, _Open] = {}
        self._directories = 0
        self._domains: list[str] = []
        self._next_scan = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything. The next sample opens it again."""
        self._close_files()
        self._fs = None

    def rescan(self) -> None:
        """Look for groups at the next sample, although nothing shows that there are new ones."""
        self._next_scan = 0.0

    def sample(self) -> Sample:
        """Read every counter once. A group that is removed in the meantime is left out.

        Raises ResctrlError if the groups cannot be listed or too many files are open, NotMountedError.
        """
        began = time.time()
        fs = self._fs or self._connect()
        self._fs = fs
        directories = fs.count_directories("")
        if directories != self._directories or time.monotonic() >= self._next_scan:
            if not fs.is_current:
                self.close()
                return self.sample()
            self._scan_within_limits(fs)
            self._directories = directories
        samples: dict[str, GroupSample] = {}
        removed = []
        for path, opened in self._open.items():
            try:
                samples[path] = _sampled(opened)
            except OSError:
                removed.append(path)
        for path in removed:
            self._open.pop(path).close()
            self._next_scan = 0.0
        return Sample(began, samples)

    def _close_files(self) -> None:
        for opened in self._open.values():
            opened.close()
        self._open, self._next_scan = {}, 0.0

    def _scan_within_limits(self, fs: Resctrl) -> None:
        """Scan; where that takes more descriptors than the soft limit, raise it to the hard limit."""
        try:
            return self._scan(fs)
        except ResctrlError as error:
            if error.errno != errno.EMFILE or not _raised_limit_on_files():
                self.close()
                raise
        return self._scan(fs)

    def _scan(self, fs: Resctrl) -> None:
        """Open the groups that are new, and close those that have been removed."""
        domains = _names_in(fs, "mon_data")
        if domains != self._domains:  # a cache has been added or removed with its CPUs, in every group
            self._close_files()
        chosen = self._choose(fs, tuple(_paths(fs)))
        features = self._features()
        for path in self._open.keys() - set(chosen):
            self._open.pop(path).close()
        for path in chosen:
            if path not in self._open and (opened := self._opened(fs, path, features)):
                self._open[path] = opened
        self._open = {path: self._open[path] for path in chosen if path in self._open}
        self._domains = domains
        self._next_scan = time.monotonic() + RESCAN_SECONDS

    def _opened(self, fs: Resctrl, path: str, features: Mapping[str, tuple[str, ...]]) -> _Open | None:
        """The group with its files; None if it has no counters, or has been removed."""
        columns, files = [], []
        try:
            for column, file in counter_files(fs, file_of(path, "mon_data"), features):
                if self._events is None or column.event in self._events:
                    files.append(fs.open(file))
                    columns.append(column)
        except ResctrlError as error:
            for opened in files:
                opened.close()
            if error.errno in GONE:
                return None
            raise
        group = SampledGroup(path, tuple(columns), tuple(column.counts for column in columns))
        return _Open(group, tuple(files), tuple(file.read for file in files)) if files else None


def rates(before: GroupSample | None, after: GroupSample) -> tuple[float | None, ...]:
    """What each column counted per second between two samples; None where that is not known.

    It is not known at the first sample of a group, for a column that does not count, where a value is missing, and
    where the count fell, because it has been restarted in between.
    """
    if before is None or before.group is not after.group or after.seconds <= before.seconds:
        return (None,) * len(after.values)
    seconds, counts = after.seconds - before.seconds, after.group.counts
    try:
        counted = map(operator.sub, after.values, before.values)
        return tuple(
            [n / seconds if is_count and n >= 0 else None for is_count, n in zip(counts, counted, strict=True)]
        )
    except TypeError:  # a value is missing, or has a decimal point
        pairs = zip(counts, before.values, after.values, strict=True)
        return tuple([_rate(old, new, seconds) if is_count else None for is_count, old, new in pairs])


def rated(before: GroupSample | None, after: GroupSample) -> tuple[Counter, ...]:
    """The values of a sample as counters, with what each counted per second since the one before."""
    return tuple(map(_counter, after.group.columns, after.values, rates(before, after)))


def _counter(column: Column, value: Value, per_second: float | None) -> Counter:
    if isinstance(value, str):
        return Counter(column.resource, column.id, column.event, None, value, column.node)
    number = value if isinstance(value, int) else f"{value:f}"
    return Counter(column.resource, column.id, column.event, number, "ok", column.node, per_second=per_second)


def _rate(before: Value, after: Value, seconds: float) -> float | None:
    if isinstance(before, str) or isinstance(after, str) or after < before:
        return None
    return float(after - before) / seconds


def _sampled(opened: _Open) -> GroupSample:
    """The values of a group now. Raises OSError if the group has been removed."""
    seconds = time.monotonic()
    try:
        texts = [read() for read in opened.reads]
    except OSError as error:
        if error.errno in _GONE:
            raise
        texts = [_text(read) for read in opened.reads]
    try:
        return GroupSample(opened.group, seconds, tuple(map(int, texts)))
    except ValueError:
        return GroupSample(opened.group, seconds, tuple(map(_value, texts)))


def _text(read: Callable[[], bytes]) -> bytes:
    """The content of a file, "Error" if it cannot be read although its group is there."""
    try:
        return read()
    except OSError as error:
        if error.errno in _GONE:
            raise
        return b"Error"


def _value(text: bytes) -> Value:
    """A number, or why there is no number."""
    words = text.decode("utf-8", "replace").strip()
    value = value_in(words)
    return state_in(words) if value is None else value if isinstance(value, int) else Decimal(value)


def _paths(fs: Resctrl) -> Iterator[str]:
    """All groups: the default group first, each control group before its monitor groups."""
    for path in (DEFAULT_GROUP, *(name for name in fs.listdir("") if name not in NOT_GROUPS)):
        yield path
        inside = "mon_groups" if path == DEFAULT_GROUP else f"{path}/mon_groups"
        yield from (f"{inside}/{name}" for name in _names_in(fs, inside))


def _names_in(fs: Resctrl, path: str) -> list[str]:
    """The names in a directory; none without it, or in a pseudo-locked group, where it may not be listed."""
    try:
        return fs.listdir(path)
    except ResctrlError as error:
        if error.errno not in _GONE | {errno.EACCES}:
            raise
        return []


def _raised_limit_on_files() -> bool:
    """Allow this process as many open files as its hard limit; return whether that is more than before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft != hard
