"""The history: what is added is read again, it stays small, and no input makes it fail without a reason."""

import os
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.cbm import Cbm
from cachetune.errors import CachetuneError, HistoryDamagedError, HistoryError, HistoryInUseError
from cachetune.watch.history import History, Limits, Recorder
from cachetune.watch.packing import pack_layout, pack_numbers, unpack, unpack_layout
from cachetune.watch.usage import Cache, Moment, Usage
from tests.watch.moments import NOON, moments

WHOLE = st.none() | st.integers(0, (1 << 63) - 1)
RATES = st.none() | st.integers(0, 1 << 52).map(float)
NAMES = st.text(st.characters(), max_size=20)  # surrogates, too: what a group is called need not be UTF-8
USAGES = st.builds(
    Usage,
    path=NAMES,
    guest=st.none() | NAMES,
    kind=st.sampled_from(("control", "monitor")),
    cache_id=st.integers(0, 1 << 40),
    mask=st.none() | st.integers(0, (1 << 64) - 1).map(Cbm),
    occupancy_bytes=WHOLE,
    total_bytes_per_second=RATES,
    local_bytes_per_second=RATES,
)
CACHES = st.builds(Cache, st.integers(0, 99), st.none() | st.integers(0, 1 << 40), st.integers(0, 64))
MOMENTS = st.builds(
    Moment,
    st.integers(0, 1 << 40).map(lambda millionths: millionths / 1_000_000),
    st.lists(CACHES, max_size=3).map(tuple),
    st.lists(USAGES, max_size=6).map(tuple),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def recorded(path: Path, count: int, limits: Limits = Limits(), **more: float) -> list[Moment]:  # noqa: B008
    made = [*moments(count, **more)]  # type: ignore[arg-type]
    with Recorder(path, limits) as recorder:
        for moment in made:
            recorder.add(moment)
    return made


def read(path: Path) -> list[Moment]:
    with History(path) as history:
        return [*history.moments()]


# ---- what is in it


@given(MOMENTS)
def test_a_moment_is_unpacked_as_it_was_packed(moment: Moment) -> None:
    assert unpack(moment.time, unpack_layout(pack_layout(moment)), pack_numbers(moment)) == moment


def test_what_was_recorded_is_read_in_the_order_of_time(path: Path) -> None:
    made = [*moments(600)]
    with Recorder(path) as recorder:
        for moment in random.Random(1).sample(made, len(made)):  # noqa: S311
            recorder.add(moment)
    assert read(path) == made
    with History(path) as history:
        assert history.span() == (made[0].time, made[-1].time)
        assert history.last() == made[-1]
        assert [*history.moments(NOON + 10, NOON + 12)] == made[10:13]


def test_with_every_at_most_one_moment_of_each_span_is_read(path: Path) -> None:
    made = recorded(path, 100)
    with History(path) as history:
        times = [moment.time for moment in history.moments(every=10)]
        assert [*history.moments(every=0.25)] == made
    assert times == [NOON + 10 * k for k in range(10)]


def test_a_rate_is_rounded_to_whole_bytes_and_an_impossible_number_is_the_nearest_possible(path: Path) -> None:
    (moment,) = moments(1, 1)
    odd = replace(moment.usages[0], occupancy_bytes=1 << 70, total_bytes_per_second=1.6, local_bytes_per_second=-3.0)
    with Recorder(path) as recorder:
        recorder.add(replace(moment, usages=(odd,)))
    (usage,) = read(path)[0].usages
    assert usage == replace(odd, occupancy_bytes=(1 << 63) - 1, total_bytes_per_second=2.0, local_bytes_per_second=0.0)


def test_a_recorder_goes_on_where_the_last_one_stopped_even_if_the_clock_was_set_back(path: Path) -> None:
    first, second = recorded(path, 50), recorded(path, 50, start=NOON - 25.5)
    assert read(path) == sorted((*first, *second), key=lambda moment: moment.time)


def test_a_moment_of_the_same_time_replaces_the_first_one(path: Path) -> None:
    recorded(path, 2)
    (again,) = moments(1, groups=5)
    with Recorder(path) as recorder:
        recorder.add(again)
    assert read(path)[0] == again
    assert len(read(path)) == 2


# ---- its size


def test_moments_that_are_too_old_go_and_with_them_the_groups_that_only_they_had(path: Path) -> None:
    recorded(path, 30, Limits(keep_seconds=20), groups=7)
    assert [moment.time for moment in read(path)] == [NOON + 9 + k for k in range(21)]
    recorded(path, 30, Limits(keep_seconds=20), start=NOON + 100)
    assert [moment.time for moment in read(path)] == [NOON + 109 + k for k in range(21)]
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM layouts").fetchone() == (1,)
    db.close()


def test_it_stays_below_its_largest_size_and_keeps_the_newest(path: Path) -> None:
    most = 1 << 18
    made = recorded(path, 500, Limits(max_bytes=most), groups=40)
    assert most / 2 < path.stat().st_size < most * 1.1
    kept = read(path)
    assert kept == made[-len(kept) :]
    assert 100 < len(kept) < 400


def test_a_smaller_limit_gives_the_space_back_a_little_at_a_time(path: Path) -> None:
    recorded(path, 1000, groups=40)
    large = path.stat().st_size
    recorded(path, 40, Limits(keep_seconds=39), groups=40, start=NOON + 1000)
    assert len(read(path)) == 40
    assert path.stat().st_size < large / 2


def test_the_log_does_not_grow_with_a_reader_that_is_slow(path: Path) -> None:
    with Recorder(path) as recorder:
        recorder.add(next(moments(1, groups=40)))
        with History(path) as history:
            slow = history.moments()
            next(slow)
            recorder._db.execute("PRAGMA wal_autocheckpoint = 50")  # not the usual 1000: the test is to be short
            for moment in moments(300, groups=40, start=NOON + 1):
                recorder.add(moment)
            assert path.with_name("history.db-wal").stat().st_size < 100 * 4096
            assert sum(1 for _ in slow) == 300


# ---- several at a time


def test_a_second_recorder_is_refused_with_the_process_of_the_first(path: Path) -> None:
    with Recorder(path), pytest.raises(HistoryInUseError, match=f"process {os.getpid()}"):
        Recorder(path)
    recorded(path, 1)


def test_readers_see_each_moment_as_a_whole_while_it_is_written(path: Path) -> None:
    made = [*moments(400, groups=20)]
    seen: list[list[Moment]] = []

    def watch() -> None:
        while not seen or len(seen[-1]) < len(made):
            seen.append(read(path))

    with Recorder(path) as recorder:
        watcher = threading.Thread(target=watch)
        watcher.start()
        for moment in made:
            recorder.add(moment)
        watcher.join()
    assert all(part == made[: len(part)] for part in seen)
    assert len(seen) > 1


# ---- what is no history


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE moments (microseconds INTEGER PRIMARY KEY, layout, body)")
    db.close()


def newer(path: Path) -> None:
    recorded(path, 3)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()


def other_tables(path: Path) -> None:
    """A view that never ends, in place of a table."""
    recorded(path, 3)
    with sqlite3.connect(path) as db:
        db.executescript(
            "DROP TABLE moments; CREATE VIEW moments AS WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 "
            "FROM more) SELECT n AS microseconds, 1 AS layout, x'' AS body FROM more"
        )
    db.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("<domain/>\n" * 999), "file is not a database"),
        (other_program, "it is not a history of cachetune"),
        (newer, r"a newer version of cachetune made it \(format 2\)"),
        (other_tables, "its tables are not those of a history"),
        (Path.mkdir, "it is not a regular file"),
        (os.mkfifo, "it is not a regular file"),
    ],
    ids=["text", "other program", "newer", "other tables", "directory", "fifo"],
)
@pytest.mark.parametrize("use", [History, Recorder])
def test_what_is_no_history_is_refused_and_left_as_it_is(
    make: Callable[[Path], object], reason: str, use: Callable[[Path], object], path: Path
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(HistoryDamagedError, match=reason) as error:
        use(path)
    assert error.value.hint
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_without_a_history_reading_says_how_to_begin_one(path: Path) -> None:
    with pytest.raises(HistoryError, match="No such file") as error:
        History(path)
    assert "cachetune record" in error.value.hint
    assert [*path.parent.iterdir()] == []


def test_a_directory_that_cannot_be_made_is_an_error(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(HistoryError, match=r"cannot write history .*Not a directory"):
        Recorder(path / "below" / "history.db")


def test_an_empty_file_becomes_a_history(path: Path) -> None:
    path.touch()
    assert recorded(path, 3) == read(path)


def test_a_damaged_history_is_read_or_reported_whatever_byte_is_wrong(path: Path) -> None:
    made = recorded(path, 120, groups=4)
    whole, reported = path.read_bytes(), 0
    numbers = random.Random(5)  # noqa: S311
    for _ in range(150):
        data = bytearray(whole)
        for place in numbers.sample(range(len(data)), 8):
            data[place] = numbers.randrange(256)
        path.write_bytes(data)
        try:
            found = read(path)
        except CachetuneError as error:
            reported += isinstance(error, HistoryError)
        else:
            assert all(isinstance(moment, Moment) for moment in found)
        assert path.read_bytes() == data
    path.write_bytes(whole)
    assert read(path) == made
    assert reported > 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE moments SET body = x'00'", "moment 1800000000000000: numbers of 0 B instead of 144 B"),
        ("UPDATE moments SET body = 7", "moment 1800000000000000: not a blob"),
        ("UPDATE moments SET layout = 77", "layout 77 is missing"),
        ("DELETE FROM layouts", "layout 1 is missing"),
        ("UPDATE layouts SET body = (SELECT body FROM moments)", "moment 1800000000000000: "),
        ("UPDATE moments SET body = (SELECT body FROM layouts)", "moment 1800000000000000: "),
        ("UPDATE moments SET layout = 'one'", "layout one is missing"),
    ],
)
def test_rows_that_do_not_belong_together_are_reported(change: str, reason: str, path: Path) -> None:
    recorded(path, 1)
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    with pytest.raises(HistoryDamagedError, match=reason):
        read(path)


def test_a_blob_that_unpacks_to_gigabytes_is_not_unpacked(path: Path) -> None:
    import resource
    import zlib

    recorded(path, 1)
    bomb = zlib.compress(bytes(1 << 27), 1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE moments SET body = ?", (bomb,))
    db.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HistoryDamagedError, match="more than 144 bytes"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
