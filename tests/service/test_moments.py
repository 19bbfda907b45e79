"""Moments as journalctl takes them."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.errors import InputError
from cachetune.service.moments import parse_moment, parse_span

NOW = datetime(2026, 11, 30, 10, 30, 15, tzinfo=UTC)
VIENNA = "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture(autouse=True)
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone with a summer time, whatever the machine has."""
    monkeypatch.setenv("TZ", VIENNA)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "in_utc"),
    [
        ("now", "2026-11-30 10:30:15"),
        ("today", "2026-11-29 23:00:00"),
        ("yesterday", "2026-11-28 23:00:00"),
        ("tomorrow", "2026-11-30 23:00:00"),
        ("2026-11-30", "2026-11-29 23:00:00"),
        ("2026-07-01", "2026-06-30 22:00:00"),
        ("2026-11-30 10:00", "2026-11-30 09:00:00"),
        ("2026-11-30T10:00:05.5", "2026-11-30 09:00:05.500000"),
        ("2026-11-30 10:00:00Z", "2026-11-30 10:00:00"),
        ("2026-11-30 10:00:00 UTC", "2026-11-30 10:00:00"),
        ("2026-11-30T10:00:00+05:30", "2026-11-30 04:30:00"),
        ("09:15", "2026-11-30 08:15:00"),
        ("09:15:30", "2026-11-30 08:15:30"),
        ("@0", "1970-01-01 00:00:00"),
        ("@1764498600.5", "2025-11-30 10:30:00.500000"),
        ("10min", "2026-11-30 10:20:15"),
        ("10 min", "2026-11-30 10:20:15"),
        ("10min ago", "2026-11-30 10:20:15"),
        ("-10min", "2026-11-30 10:20:15"),
        ("+10min", "2026-11-30 10:40:15"),
        ("15s", "2026-11-30 10:30:00"),
        ("1h 30min", "2026-11-30 09:00:15"),
        ("1h30m", "2026-11-30 09:00:15"),
        ("2 days ago", "2026-11-28 10:30:15"),
        ("1.5d", "2026-11-28 22:30:15"),
        ("1week", "2026-11-23 10:30:15"),
        ("1y", "2025-11-30 04:30:15"),
    ],
)
def test_a_moment_is_read(text: str, in_utc: str) -> None:
    assert parse_moment(text, NOW).astimezone(UTC) == datetime.fromisoformat(f"{in_utc}+00:00")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian package systemd)"
)
@pytest.mark.parametrize("text", ["2026-11-30", "2026-07-01 10:00", "2026-11-30 10:00:00 UTC", "@1764498600", "today"])
def test_a_moment_is_that_of_systemd(text: str) -> None:
    words = ["systemd-analyze", "timestamp", text]
    # systemd looks for the zone's file, and does not know this form of TZ
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    (seconds,) = (line.split("@")[1] for line in said.splitlines() if "UNIX seconds" in line)
    os.environ["TZ"] = "UTC"
    time.tzset()
    assert parse_moment(text, datetime.now(UTC)).timestamp() == float(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "10 parsecs", "-10min ago", "15", "1h 30", "1:2", "25:00", "2026-13-01", "2026-11-30 25:00"),
        *("@", "@x", "@1e400", "@-1e18", "\u0661min", "99999999999y", "999999999y", "9" * 5000),
        *("9999-12-31 23:59:59-23:59", "0001-01-01 00:00:00+23:59"),
    ],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="is not a point in time") as refused:
        parse_moment(text, NOW)
    assert "journalctl" in refused.value.hint


@given(st.text(max_size=30) | st.from_regex(r"[-+@]?[0-9 .:TZ+-]{0,24}(min|h|d| ago)?", fullmatch=True))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_moment(text, NOW).tzinfo is not None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("0.5", 0.5), ("3min", 180), ("1h 30min", 5400), ("24h", 86400), ("7d", 604800)],
)
def test_a_span_has_a_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1h", "+1h", "1h ago", "soon", "10 parsecs", "1h 30", "nan", "inf", "9" * 400]
)
def test_what_is_no_span_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="is not a span of time") as refused:
        parse_span(text)
    assert "90s" in refused.value.hint
