"""The history: an SQLite database with a ``Moment`` for each time that ``cachetune record`` has read the counters.

``Recorder`` writes it, one process at a time, and ``History`` reads it, also while it is written. A moment is one row
and one transaction (write-ahead log, synchronous=NORMAL): a reader sees all of a moment or nothing, also after a
crash. A database is input like any other: one that is damaged, newer, or another program's is reported and left
unchanged.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from cachetune.errors import HistoryDamagedError, HistoryError, HistoryInUseError
from cachetune.watch.packing import Layout, pack_layout, pack_numbers, unpack, unpack_layout
from cachetune.watch.usage import Moment

DEFAULT_DB = Path("/var/lib/cachetune/history.db")
KEEP_SECONDS = 24 * 3600.0
MAX_BYTES = 1 << 30

_APPLICATION, _VERSION = 0x43545548, 1
_TABLES = (
    ("layouts", "CREATE TABLE layouts (id INTEGER PRIMARY KEY, body BLOB NOT NULL)"),
    (
        "moments",
        "CREATE TABLE moments (microseconds INTEGER PRIMARY KEY, layout INTEGER NOT NULL, body BLOB NOT NULL)",
    ),
    ("moments_by_layout", "CREATE INDEX moments_by_layout ON moments (layout)"),
)
_STEP = 64  # moments that are deleted, and pages given back, with one moment
_BATCH = 64  # moments that are read in one transaction
_SECONDS_FOR_LOCK = 5.0
_MICROSECONDS = 1_000_000
_LAYOUTS_KEPT = 16
_LARGEST_BLOB = 4 << 20  # of 170,000 groups and caches


class Limits(msgspec.Struct, frozen=True):
    """How much is kept: moments of the last ``keep_seconds``, and about ``max_bytes`` of them."""

    keep_seconds: float = KEEP_SECONDS
    max_bytes: int = MAX_BYTES


class History:
    """Reads a history. Close it, or use it in a with statement.

    Raises HistoryError, and HistoryDamagedError for what is not a history or cannot be read to its end; so do its
    methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layouts: dict[int, Layout] = {}
        with _errors(path, "read"):
            if _size(path) is None:
                raise HistoryError(path, "No such file", hint="start 'cachetune record', or pass --db FILE")
            try:
                self._db = _opened(path, "ro")
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
                self._db = _opened(path, "rw")  # a recorder was killed while it closed, and left a journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def span(self) -> tuple[float, float] | None:
        """The times of the first and the last moment, in seconds since 1970; None if it is empty."""
        with _errors(self._path, "read"):
            first, last = self._db.execute("SELECT min(microseconds), max(microseconds) FROM moments").fetchone()
        return None if first is None else (first / _MICROSECONDS, last / _MICROSECONDS)

    def moments(
        self, since: float | None = None, until: float | None = None, *, every: float = 0.0
    ) -> Iterator[Moment]:
        """The moments from ``since`` to ``until``, both included, the oldest first.

        Times are in seconds since 1970. With ``every``, at most one moment of each span of that many seconds. Rates
        and sizes are whole numbers of bytes.
        """
        position, end = _microseconds(since, -(1 << 63)), _microseconds(until, (1 << 63) - 1)
        step = round(every * _MICROSECONDS)
        while rows := self._rows(position, end, 1 if step else _BATCH):
            for microseconds, layout, body in rows:
                if microseconds < position:  # pages of the file are in a circle
                    raise HistoryDamagedError(self._path, f"moment {microseconds} is not in order")
                yield self._moment(microseconds, layout, body)
                position = microseconds + 1
            if step:
                position = max(position, (position - 1) // step * step + step)

    def times(self, since: float | None = None, until: float | None = None) -> list[float]:
        """The times of the moments in a period, in order; cheaper than the moments."""
        # The index is smaller than the table: it has no numbers.
        query = "SELECT microseconds FROM moments INDEXED BY moments_by_layout WHERE microseconds BETWEEN ? AND ?"
        bounds = (_microseconds(since, -(1 << 63)), _microseconds(until, (1 << 63) - 1))
        with _errors(self._path, "read"):
            return sorted(row[0] / _MICROSECONDS for row in self._db.execute(query, bounds))

    def last(self) -> Moment | None:
        """The newest moment."""
        span = self.span()
        return None if span is None else next(self.moments(since=span[1]), None)

    def _rows(self, position: int, end: int, most: int) -> list[tuple[int, int, bytes]]:
        """The next rows. Each call is a separate transaction: a slow reader must not keep the log from shrinking."""
        query = "SELECT microseconds, layout, body FROM moments WHERE microseconds BETWEEN ? AND ? ORDER BY 1 LIMIT ?"
        with _errors(self._path, "read"):
            return self._db.execute(query, (position, end, most)).fetchall()

    def _moment(self, microseconds: int, layout: int, body: bytes) -> Moment:
        try:
            return unpack(microseconds / _MICROSECONDS, self._layout(layout), body)
        except ValueError as error:
            raise HistoryDamagedError(self._path, f"moment {microseconds}: {error}") from None

    def _layout(self, number: int) -> Layout:
        if number not in self._layouts:
            with _errors(self._path, "read"):
                row = self._db.execute("SELECT body FROM layouts WHERE id = ?", (number,)).fetchone()
            if row is None:
                raise ValueError(f"layout {number} is missing")
            while len(self._layouts) >= _LAYOUTS_KEPT:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[number] = unpack_layout(row[0])
        return self._layouts[number]


class Recorder:
    """Adds moments to a history, which it creates if it is missing, and deletes what exceeds the limits.

    Use it from one thread at a time. Close it, or use it in a with statement. Raises HistoryInUseError if another
    process records into this file, HistoryError if it cannot be written, and HistoryDamagedError for what is no
    history; such a file is left unchanged.
    """

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self._path, self._limits = path, limits
        self._layout: tuple[int, bytes] | None = None
        self._lock = _locked(path)
        try:
            with _errors(path, "write"):
                self._db = _opened_for_writing(path)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; then all of it is in one file, unless another process reads it."""
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA journal_mode = DELETE").fetchone()
        self._db.close()  # before the lock
        os.close(self._lock)

    def add(self, moment: Moment) -> None:
        """Add a moment; one of the same time is replaced. Old moments are deleted, a few at a time.

        Raises HistoryError, and then nothing is added. It can be called again: there may be room by then.
        """
        with _errors(self._path, "write"):
            body, microseconds = pack_layout(moment), round(moment.time * _MICROSECONDS)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                layout = self._number_of(body)
                row = (microseconds, layout, pack_numbers(moment))
                self._db.execute("INSERT OR REPLACE INTO moments VALUES (?, ?, ?)", row)
                self._delete_old(microseconds)
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has ended the transaction already
                    self._db.execute("ROLLBACK")
                raise
        self._layout = layout, body
        self._give_back()

    def _number_of(self, body: bytes) -> int:
        if self._layout and self._layout[1] == body:
            return self._layout[0]
        number = self._db.execute("INSERT INTO layouts (body) VALUES (?)", (body,)).lastrowid
        return number or 0

    def _delete_old(self, microseconds: int) -> None:
        """Delete the oldest moments if they are too old, or if there are too many bytes."""
        oldest = "SELECT microseconds FROM moments WHERE microseconds < ? ORDER BY 1 LIMIT ?"
        too_old = microseconds - round(self._limits.keep_seconds * _MICROSECONDS)
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        if pages * self._pragma("page_size") > self._limits.max_bytes:
            too_old = microseconds
        deleted = self._db.execute(
            f"DELETE FROM moments WHERE microseconds IN ({oldest})",  # noqa: S608 - no input is in it
            (too_old, _STEP),
        ).rowcount
        if deleted:
            # Numbers of layouts only grow, whatever the clock does.
            self._db.execute("DELETE FROM layouts WHERE id < (SELECT min(layout) FROM moments)")

    def _give_back(self) -> None:
        """Give some of the unused pages back to the file system, at another time if the disk is full."""
        if self._pragma("freelist_count") > _STEP:
            with suppress(sqlite3.OperationalError):
                # Not with execute, which takes the first of its steps only.
                self._db.executescript(f"PRAGMA incremental_vacuum({_STEP})")

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def _microseconds(seconds: float | None, otherwise: int) -> int:
    return otherwise if seconds is None else round(seconds * _MICROSECONDS)


def _size(path: Path) -> int | None:
    """The size of a file that can be a database; None if it does not exist. Raises OSError and HistoryDamagedError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO or a device could block
        raise HistoryDamagedError(path, "it is not a regular file")
    return status.st_size


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Connect to a database of which nothing is trusted."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        timeout=_SECONDS_FOR_LOCK,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_BLOB)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    return db


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    """Connect to a history. Raises HistoryDamagedError for anything else."""
    db = _connect(path, mode)
    try:
        _check(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Raise HistoryDamagedError unless the database is a history that this version reads."""
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    tables = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if application != _APPLICATION:
        raise HistoryDamagedError(path, "it is not a history of cachetune", hint="pass another --db FILE")
    if version > _VERSION:
        hint = "use that version, or pass another --db FILE"
        raise HistoryDamagedError(path, f"a newer version of cachetune made it (format {version})", hint=hint)
    if version != _VERSION or sorted(tables) != sorted(_TABLES):
        raise HistoryDamagedError(path, "its tables are not those of a history")


def _opened_for_writing(path: Path) -> sqlite3.Connection:
    """The database, made if the file is missing or empty. Nothing is written to any other before it is checked."""
    if not _size(path):
        _create(path)
    db = _opened(path, "rw")
    try:
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        db.close()
        raise
    return db


def _create(path: Path) -> None:
    """Put an empty history in place, all at once: a process that is killed here leaves none."""
    new = path.with_name(f"{path.name}.new")
    for left in (new, path.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    db = _connect(new, "rwc")
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("BEGIN IMMEDIATE")
        for _, statement in _TABLES:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    finally:
        db.close()
    new.rename(path)


def _locked(path: Path) -> int:
    """A descriptor with the lock that excludes a second recorder; the kernel releases it when the process ends.

    It is on a separate file: SQLite would lose its locks if another descriptor of the database were closed.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        hint = "run as root, or pass --db FILE"
        raise HistoryError(path, f"{lock.name}: {error.strerror}", operation="write", hint=hint) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        with suppress(OSError):  # a full disk
            os.write(fd, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        pid = os.pread(fd, 20, 0).strip()
        os.close(fd)
        raise HistoryInUseError(path, int(pid) if pid.isdigit() else None) from None
    return fd


@contextmanager
def _errors(path: Path, operation: str) -> Iterator[None]:
    """Make an error of SQLite or of the system one of cachetune's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise HistoryError(path, _reason(error), operation=operation) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise HistoryDamagedError(path, str(error)) from None
    except OverflowError as error:  # an id of a cache that no host has
        raise HistoryError(path, str(error), operation=operation) from None
    except OSError as error:
        raise HistoryError(path, error.strerror, operation=operation) from None


def _reason(error: sqlite3.Error) -> str:
    """SQLite's reason, and its name for it where that says more: "disk I/O error" can be many things."""
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name and name.startswith("SQLITE_IOERR") else str(error)
