"""Readings as CSV: a row for each group, with the columns of pqos where they mean the same.

As in pqos, KB and MB are 2^10 and 2^20 bytes, and the time is local. A cell is empty where a value is not known,
never 0. Source: pqos/monitor_csv.c and pqos/monitor_utils.c of intel-cmt-cat.
"""

import csv
import io
from collections.abc import Callable, Iterable

from cachetune.text import printable
from cachetune.watch import Counter, Reading, Readings

COLUMNS = ("Time", "Group", "LLC[KB]", "MBL[MB/s]", "MBR[MB/s]")
_KB, _MB = 1 << 10, 1 << 20


def csv_header() -> bytes:
    """The first line."""
    return _lines([COLUMNS])


def csv_rows(readings: Readings, time: str) -> bytes:
    """A line for each group that has counters, with the sums over all caches; ``time`` is that of the reading."""
    return _lines((time, _cell(reading.path), *_values(reading)) for reading in readings.monitors if reading.counters)


def _values(reading: Reading) -> tuple[str, str, str]:
    occupancy = _sum(
        reading, "llc_occupancy", lambda counter: None if counter.number is None else float(counter.number)
    )
    total = _sum(reading, "mbm_total_bytes", lambda counter: counter.per_second)
    local = _sum(reading, "mbm_local_bytes", lambda counter: counter.per_second)
    # The total is read before the local count, which can be ahead of it. pqos has 0 then, too.
    remote = None if total is None or local is None else max(0.0, total - local)
    return _number(occupancy, _KB), _number(local, _MB), _number(remote, _MB)


def _sum(reading: Reading, event: str, value_of: Callable[[Counter], float | None]) -> float | None:
    """The sum over all caches; None if a part is not known, as a sum without it would look like a low value."""
    counters = [counter for counter in reading.counters if counter.event == event and counter.node is None]
    values = [None if counter.partial else value_of(counter) for counter in counters]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _number(value: float | None, unit: int) -> str:
    return "" if value is None else f"{value / unit:.1f}"


def _cell(path: str) -> str:
    """The path of a group, such that no spreadsheet takes it for a formula: it gets a ./ and still is that path."""
    text = printable(path)
    return text if text[:1].isalnum() or text[:1] in ("_", ".") else f"./{text}"


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
