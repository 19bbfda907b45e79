"""Moments as people and journalctl write them: '2026-11-30 10:00', 'yesterday', '10min', '2 days ago', '@1764500000'.

A moment without a time zone is local time. A span without a sign lies in the past.
Source: systemd.time(7).
"""

import re
from datetime import UTC, datetime, time, timedelta

from cachetune.errors import InputError

_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hr", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
    **dict.fromkeys(("M", "month", "months"), timedelta(days=30.44)),
    **dict.fromkeys(("y", "year", "years"), timedelta(days=365.25)),
}
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) *([A-Za-z]+) *", re.ASCII)
_SPAN = re.compile(rf"([-+]?) *((?:{_PART.pattern})+?)( ago)?", re.ASCII)
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?", re.ASCII)
_HINT = "write it as journalctl does: '2026-11-30 10:00', '10:00', 'yesterday', '10min' or '2 days ago'"


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that a text means at ``now``, which has a time zone. Raises InputError."""
    try:
        return _parsed(text.strip(), now)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{text!r} is not a point in time", hint=_HINT) from None


def parse_span(text: str) -> float:
    """The seconds that a span means: '90', '90s', '3min', '1h 30min'. Raises InputError, also for a span of nothing."""
    match = re.fullmatch(rf"({_PART.pattern})+", text.strip())
    try:
        parts = [(text.strip(), "s")] if match is None else [found[-2:] for found in _PART.findall(text)]
        seconds = sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta()).total_seconds()
    except (KeyError, ValueError, OverflowError):
        seconds = 0.0
    if seconds <= 0:
        raise InputError(f"{text!r} is not a span of time", hint="write it as 90s, 3min or '1h 30min'")
    return seconds


def _parsed(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if text in _DAYS:
        return _local(now, _DAYS[text], time())
    if text.startswith("@"):
        return datetime.fromtimestamp(float(text[1:]), UTC)
    if _CLOCK.fullmatch(text):
        return _local(now, 0, time.fromisoformat(text))
    if _DATE.fullmatch(text):
        # A date with a zone keeps it; astimezone takes one without as local time, in summer and in winter.
        return datetime.fromisoformat(
            text.removesuffix(" UTC") + ("+00:00" if text.endswith(" UTC") else "")
        ).astimezone()
    return _relative(text, now)


def _local(now: datetime, days: int, clock: time) -> datetime:
    """A time of the day, some days from today. A day can have 23 or 25 hours, so hours are not added."""
    return datetime.combine(now.astimezone().date() + timedelta(days=days), clock).astimezone()


def _relative(text: str, now: datetime) -> datetime:
    match = _SPAN.fullmatch(text)
    if match is None or (match[1] and match[5]):
        raise ValueError(text)
    parts = _PART.findall(match[2])
    if any(unit not in _UNITS for _, unit in parts):
        raise ValueError(text)
    span = sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    return now + span if match[1] == "+" else now - span
