"""The history survives what ends its writer: SIGKILL at any moment, and a full disk. Unprivileged users read it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachetune.errors import HistoryError
from cachetune.watch.history import History, Limits, Recorder
from tests.missing import skip_without
from tests.watch.moments import NOON, moments

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534


def in_a_child(work: Callable[[], object]) -> int:
    """A process that does the work; it exits with 0 if the result is true."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        code = 0 if work() else 2
    finally:
        os._exit(code)


def record_for_ever(path: Path, start: float, announce: int) -> None:
    """Open, record twenty moments and close, again and again; announce each moment that has been added."""
    while True:
        with Recorder(path, Limits(keep_seconds=40)) as recorder:
            recorder._db.execute("PRAGMA wal_autocheckpoint = 20")  # so that kills meet checkpoints, too
            os.write(announce, b"open   ")
            for moment in moments(20, groups=15, start=start):
                recorder.add(moment)
                os.write(announce, f"{moment.time - NOON:6.0f} ".encode())
        start += 20


def last_announced(pipe: int, least: int) -> float:
    """The last moment that was announced, once there have been at least that many."""
    text = b""
    while text.count(b" ") < least and (more := os.read(pipe, 7)):
        text += more
    return max((float(word) for word in text.split() if word != b"open"), default=-1.0)


def test_twenty_kills_at_random_points_lose_no_moment_and_damage_nothing(tmp_path: Path) -> None:
    path, start, numbers = tmp_path / "history.db", NOON, random.Random()  # noqa: S311
    for _ in range(20):
        reading, writing = os.pipe()
        child = in_a_child(lambda: record_for_ever(path, start, writing))  # noqa: B023
        os.close(writing)
        last = last_announced(reading, numbers.randrange(60))
        time.sleep(numbers.random() / 500)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last = max(last, last_announced(reading, 1 << 30))  # what it announced until then
        os.close(reading)
        if not path.exists():  # killed before it was there
            assert last < 0
            continue
        with History(path) as history:
            times = [round(moment.time - NOON) for moment in history.moments()]
            assert history._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert times == [*range(times[0], times[-1] + 1)] if times else last < 0
        assert not times or times[-1] >= last
        start = NOON + times[-1] + 1 if times else start
    assert start > NOON + 50


def test_a_full_disk_loses_only_what_is_recorded_while_it_is_full(tmp_path: Path) -> None:
    words = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        skip_without("this user may not make mount namespaces")
    done = subprocess.run(
        [*words, sys.executable, "-m", "tests.watch.on_a_full_disk", tmp_path],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "as many as were recorded" in done.stdout


def as_nobody(work: Callable[[], object]) -> int:
    """The exit code of work that a user does who may not write here."""

    def drop_and_work() -> object:
        if not os.geteuid():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return os.waitstatus_to_exitcode(os.waitpid(in_a_child(drop_and_work), 0)[1])


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that others may read only; those of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def count_in(path: Path) -> int:
    with History(path) as history:
        return sum(1 for _ in history.moments())


def test_an_unprivileged_user_reads_while_it_is_recorded_and_after(closed: Path) -> None:
    path = closed / "history.db"
    with Recorder(path) as recorder:
        for moment in moments(5):
            recorder.add(moment)
        closed.chmod(0o555)
        assert as_nobody(lambda: count_in(path) == 5) == 0, "while it is recorded"
    closed.chmod(0o755)
    with Recorder(path):
        pass
    closed.chmod(0o555)
    assert as_nobody(lambda: count_in(path) == 5) == 0, "after the end"


def test_an_unprivileged_user_reads_what_a_killed_recorder_has_left(closed: Path) -> None:
    path = closed / "history.db"

    def record_and_die() -> None:
        recorder = Recorder(path)
        for moment in moments(7):
            recorder.add(moment)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_a_child(record_and_die), 0)
    assert path.with_name("history.db-wal").exists()
    closed.chmod(0o555)
    assert as_nobody(lambda: count_in(path) == 7) == 0


def test_an_unprivileged_user_cannot_record_where_only_root_may_write(closed: Path) -> None:
    def refused() -> bool:
        with pytest.raises(HistoryError, match="Permission denied") as error:
            Recorder(closed / "history.db")
        return "--db FILE" in error.value.hint

    closed.chmod(0o555)
    assert as_nobody(refused) == 0
    closed.chmod(0o755)


def test_a_journal_of_a_recorder_that_was_killed_while_it_closed_is_no_obstacle(tmp_path: Path) -> None:
    """SQLite leaves such a journal where a kill meets the change of the journal mode."""
    path = tmp_path / "history.db"
    with Recorder(path) as recorder:
        for moment in moments(5):
            recorder.add(moment)

    def die_in_a_transaction() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.executescript("PRAGMA cache_spill = 1; PRAGMA cache_size = 1; BEGIN IMMEDIATE; DELETE FROM moments")
        db.execute("CREATE TABLE more AS SELECT randomblob(900000) AS blob")
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_a_child(die_in_a_transaction), 0)
    assert path.with_name("history.db-journal").stat().st_size > 512
    assert count_in(path) == 5
