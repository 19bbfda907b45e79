"""Advice from a history: what it says about the size of guests' groups, without touching anything."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.errors import InputError
from cachetune.text import listed
from cachetune.watch.advice import GroupAdvice, advise
from cachetune.watch.history import History

_MOST_MOMENTS = 20_000


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``advise --json`` prints: what the history ``source`` says.

    ``since`` and ``until`` are the first and the last moment that count, in seconds since 1970; None without any.
    """

    schema_version: Literal[1] = 1
    source: str
    since: float | None
    until: float | None
    groups: tuple[GroupAdvice, ...]


def advise_from(db: Path, guests: Collection[str] = (), since: float | None = None) -> Advice:
    """The advice for the groups of these guests, or of all, from the moments since then, in seconds since 1970.

    Of a long history only some moments count, evenly spread. Raises HistoryError, HistoryDamagedError, and InputError
    for a guest that is not in the history's last moment.
    """
    with History(db) as history:
        span = history.span()
        if span is None or (since is not None and since > span[1]):
            return Advice(source=str(db), since=None, until=None, groups=())
        first, last = max(span[0], since or span[0]), span[1]
        groups = advise(history.moments(since=first, every=(last - first) / _MOST_MOMENTS))
    known = {group.guest for group in groups}
    for guest in guests:
        if guest not in known:
            there = f"it has {listed(sorted(known), 8)}" if known else "'cachetune record' records running guests"
            raise InputError(f"{db} has no present groups of guest {guest!r}", hint=there)
    chosen = tuple(group for group in groups if not guests or group.guest in guests)
    return Advice(source=str(db), since=first, until=last, groups=chosen)
