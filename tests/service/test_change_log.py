"""The change log is read with what logrotate has moved away; whatever else is in it is named and left out."""

import bz2
import gzip
import io
import lzma
import os
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.apply.state.change_log import LONGEST_LINE, Change, ChangedGuest, append, line_of
from cachetune.errors import UnreadableFileError
from cachetune.service.change_log import ChangeLog, DamagedLine, Wanted, log_files, opened, read_changes
from tests.apply.test_record import CHANGE

EVERY = Wanted()


def change(run_id: str, time: str = "2026-11-30T10:00:00Z", *guests: ChangedGuest) -> Change:
    return msgspec.structs.replace(CHANGE, run_id=run_id, time=datetime.fromisoformat(time), guests=guests)


def read(path: Path, wanted: Wanted = EVERY) -> ChangeLog:
    return read_changes(opened(log_files(path)), wanted)


def ids(log: ChangeLog) -> list[str]:
    return [change.run_id for change in log.changes]


def of_bytes(*lines: bytes) -> ChangeLog:
    return read_changes([("log", io.BytesIO(b"".join(lines)))], EVERY)


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    log = tmp_path / "changes.jsonl"
    for run_id in ("a", "b", "c"):
        append(log, line_of(change(run_id)))
    assert read(log) == ChangeLog(changes=(change("a"), change("b"), change("c")))


def test_rotated_files_are_read_the_oldest_first(tmp_path: Path) -> None:
    log = tmp_path / "changes.jsonl"
    log.write_bytes(line_of(change("now")))
    (tmp_path / "changes.jsonl.1").write_bytes(line_of(change("1")))
    (tmp_path / "changes.jsonl.2.gz").write_bytes(gzip.compress(line_of(change("2"))))
    (tmp_path / "changes.jsonl.10.xz").write_bytes(lzma.compress(line_of(change("10"))))
    (tmp_path / "changes.jsonl-20261101").write_bytes(line_of(change("november")))
    (tmp_path / "changes.jsonl-20261001.bz2").write_bytes(bz2.compress(line_of(change("october"))))
    for other in ("changes.jsonl.bak", "changes.jsonl~", "other.jsonl.1", "changes.jsonl.1.swp"):
        (tmp_path / other).write_bytes(b"not ours\n")
    assert ids(read(log)) == ["october", "november", "10", "2", "1", "now"]
    assert read(log).damaged == ()


def test_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert log_files(tmp_path / "changes.jsonl") == []
    assert log_files(tmp_path / "missing" / "changes.jsonl") == []


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "changes.jsonl")
    with pytest.raises(UnreadableFileError, match="it is not a regular file"):
        read(tmp_path / "changes.jsonl")


def test_changes_are_selected_by_time_guest_and_number() -> None:
    web = ChangedGuest("web", "qemu-3-web", "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10")
    db = ChangedGuest("db", "cachetune-db")
    all_of_them = [
        change("a", "2026-11-29T08:00:00Z", web),
        change("b", "2026-11-30T09:00:00+01:00", db, web),
        change("c", "2026-11-30T09:00:00Z", db),
        change("d", "2026-11-30T10:00:00Z"),
    ]
    lines = b"".join(map(line_of, all_of_them))

    def chosen(**wanted: object) -> str:
        return "".join(ids(read_changes([("log", io.BytesIO(lines))], Wanted(**wanted))))

    eight, nine = (datetime.fromisoformat(f"2026-11-30T0{hour}:00:00Z") for hour in (8, 9))
    assert chosen(since=eight) == "bcd"
    assert chosen(until=nine) == "abc"
    assert chosen(since=eight, until=nine) == "bc"
    assert chosen(guest="web") == chosen(guest=web.uuid) == chosen(guest="qemu-3-web") == "ab"
    assert chosen(guest="we") == ""
    assert chosen(newest=2) == "cd"
    assert chosen(newest=1, guest="db") == "c"


DAMAGE = {
    b"": "Input data was truncated",
    b"\x00\x00": "JSON is malformed",
    b"[]": "Expected `object`, got `array`",
    b"\xff": "JSON is malformed",
    b"[" * 5000: "",
    line_of(CHANGE)[:40]: "JSON",
    line_of(CHANGE).replace(b'"done"', b'"perhaps"').strip(): "Invalid enum value",
    line_of(CHANGE).replace(b"10:00:00Z", b"10:00:00").strip(): "timezone",
    line_of(CHANGE).replace(b"2026", b"9999").strip(): "the year 9999 is impossible",
    line_of(CHANGE).replace(b"2026", b"0001").strip(): "the year 1 is impossible",
    line_of(CHANGE).replace(b'"schema_version":1', b'"schema_version":2').strip(): "schema_version",
    b'"' + b"x" * 3 * LONGEST_LINE + b'"': f"longer than {LONGEST_LINE} bytes",
}


@pytest.mark.parametrize(("line", "reason"), DAMAGE.items(), ids=map(str, range(len(DAMAGE))))
def test_a_damaged_line_is_named_and_its_neighbors_are_read(line: bytes, reason: str) -> None:
    found = of_bytes(line_of(change("a")), line + b"\n", line_of(change("b")))
    assert ids(found) == ["a", "b"]
    (damaged,) = found.damaged
    assert (damaged.file, damaged.line) == ("log", 2)
    assert reason in damaged.reason


def test_a_line_without_its_end_is_incomplete() -> None:
    found = of_bytes(line_of(change("a")), line_of(change("b"))[:100])
    assert ids(found) == ["a"]
    assert found.damaged[0].reason.startswith("incomplete: ")


def test_a_compressed_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "changes.jsonl"
    noise = [os.urandom(32).hex() for _ in range(200)]
    whole = gzip.compress(b"".join(line_of(change(run_id)) for run_id in noise))
    (tmp_path / "changes.jsonl.1.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "changes.jsonl.2.gz").write_bytes(b"not gzip")
    log.write_bytes(line_of(change("now")))
    found = read(log)
    before = ids(found)[:-1]
    assert 0 < len(before) < 200
    assert before == noise[: len(before)]
    assert [damaged.file for damaged in found.damaged] == [f"{log}.2.gz", f"{log}.1.gz"]
    assert all("damaged after line" in damaged.reason for damaged in found.damaged)


def test_most_damaged_lines_are_only_counted() -> None:
    found = of_bytes(*[b"x\n"] * 150, line_of(change("a")))
    assert (len(found.damaged), found.damaged_left_out, ids(found)) == (100, 50, ["a"])


@given(st.lists(st.binary(max_size=60) | st.just(line_of(CHANGE)), max_size=8))
def test_no_content_of_a_log_is_a_traceback(parts: list[bytes]) -> None:
    found = of_bytes(*parts)
    lines = [line for line in b"".join(parts).split(b"\n") if line]
    assert len(found.changes) + len([d for d in found.damaged if isinstance(d, DamagedLine)]) >= len(lines)
