"""A report of the history as one HTML page: no script, no font, no image, nothing that is loaded from elsewhere.

The template escapes all values, and a name is printable text before it gets there: guests choose their names.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cachetune import __version__
from cachetune.apply.state.change_log import Change
from cachetune.cli.show import chart
from cachetune.cli.show.changes import guests_of, user_of
from cachetune.cli.show.chart import Chart, bytes_chart, time_axis, ways_chart
from cachetune.cli.show.noisy import paragraph
from cachetune.errors import MissingExtraError
from cachetune.host.model import DEFAULT_GROUP
from cachetune.picture import legend, letter_of, owners_picture
from cachetune.service.history_report import CacheCourse, HistoryReport, Tenant, display_name
from cachetune.text import count, printable
from cachetune.units import about

MOST_CHARTED = 40
"""Tenants with charts: those with the most bandwidth. The table has all."""
_MOST_CHANGES, _MOST_GAPS = 200, 10


class WayMap(msgspec.Struct, frozen=True):
    """The ways of a cache, the highest first, each with the letter of its owner; ``key`` names the letters."""

    title: str
    ways: str
    key: tuple[tuple[str, str, str], ...]


class Row(msgspec.Struct, frozen=True):
    """A line of the table of guests; ``full`` is the part of its ways that is occupied, from 0 to 1."""

    name: str
    cache_id: int
    cells: tuple[str, ...]
    full: float | None


class Card(msgspec.Struct, frozen=True):
    """The charts of one tenant."""

    name: str
    charts: tuple[Chart, ...]


def history_html(report: HistoryReport, source: str) -> bytes:
    """The page; ``source`` is the database. Raises MissingExtraError."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("report", "jinja2", "an HTML report") from None
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    changes = report.changes[-_MOST_CHANGES:]
    names = list(dict.fromkeys(tenant.name for tenant in report.tenants))
    maps = [way_map(cache) for cache in report.caches if cache.cache.ways]
    text = environment.get_template("history.html.jinja").render(
        axis=time_axis(report.period, [change.time.timestamp() for change in changes]),
        cards=[_card(name, report) for name in names[:MOST_CHARTED]],
        changes=[_change(number, change) for number, change in enumerate(changes, start=1)],
        changes_left_out=len(report.changes) - len(changes),
        chart=chart,
        findings=[*findings_of(report)],
        free=[_free_chart(cache, report) for cache in report.caches if cache.cache.ways],
        maps=maps,
        legend=legend((each.ways for each in maps), "group below"),
        notes=[*_notes(report, len(names))],
        period=period_text(report),
        noisy=[*_ranked(report)],
        noisy_lines=[*noisy_lines(report)],
        rows=[_row(tenant) for tenant in report.tenants],
        source=printable(source),
        version=__version__,
    )
    return text.encode("utf-8", "backslashreplace")


def period_text(report: HistoryReport) -> str:
    """The period in words."""
    period = report.period
    used = "" if period.used == period.moments else f", of which {period.used:,} are shown"
    zone = f"{datetime.fromtimestamp(period.until, UTC).astimezone():%Z}"
    return f"{_time(period.since)} to {_time(period.until)} {zone}, {period.moments:,} moments{used}"


def findings_of(report: HistoryReport) -> Iterator[str]:
    """The findings, and when nothing was recorded."""
    yield from map(printable, report.findings)
    gaps = report.period.gaps
    for start, end in gaps[:_MOST_GAPS]:
        yield f"nothing was recorded from {_time(start)} to {_time(end)}"
    if len(gaps) > _MOST_GAPS:
        yield f"and at {count(len(gaps) - _MOST_GAPS, 'other time')}"


def noisy_lines(report: HistoryReport) -> Iterator[str]:
    """Who takes from others, with the evidence; or that none does."""
    if report.ranking is None:
        return
    for one in report.ranking.noisy:
        yield from paragraph(one)
    if not report.ranking.noisy:
        yield "No guest or group takes from others."
    yield from (f"Without evidence: {printable(line)}." for line in report.ranking.without)


def _ranked(report: HistoryReport) -> Iterator[tuple[str, ...]]:
    for one in report.ranking.ranked if report.ranking else ():
        for cache in one.caches:
            share = "unknown" if cache.bandwidth_share is None else f"{cache.bandwidth_share:.0%}"
            sizes = (_size(cache.occupancy_bytes), _size(cache.equal_share_bytes))
            taken = sum(each.lost_bytes_per_second or 0.0 for each in cache.neighbors)
            yield (printable(one.title), str(cache.cache_id), share, *sizes, _rate(taken) if taken else "none")


def _notes(report: HistoryReport, tenants: int) -> Iterator[str]:
    """How to read the charts."""
    if report.changes:
        yield "Numbered vertical lines are the changes below."
    if report.period.gaps:
        yield "Where it is hatched, nothing was recorded."
    if tenants > MOST_CHARTED:
        yield f"{tenants - MOST_CHARTED} more, with less bandwidth, are in the table only."


def way_map(course: CacheCourse) -> WayMap:
    """The map of a cache with the names of its letters."""
    cache = course.cache
    owners = sorted(course.owners, key=lambda owner: owner[0] != DEFAULT_GROUP)
    first = 0 if owners and owners[0][0] == DEFAULT_GROUP else 1
    letters = [(letter_of(index), name, mask) for index, (name, mask) in enumerate(owners, start=first)]
    size = "" if cache.size_bytes is None else f" of {about(cache.size_bytes // cache.ways)}"
    key = tuple((letter, display_name(name), count(mask.bit_count(), "way")) for letter, name, mask in letters)
    picture = owners_picture([(letter, int(mask)) for letter, _, mask in letters], cache.ways)
    return WayMap(f"L3 cache {cache.id}: {count(cache.ways, 'way')}{size}", picture, key)


def _row(tenant: Tenant) -> Row:
    """The row of a tenant; of one that has ended, there is only a past."""
    occupancy, allotted = tenant.occupancy, tenant.allotted.last
    full = occupancy.last / allotted if occupancy.last is not None and allotted else None
    cells = (
        "" if tenant.ways is None else str(tenant.ways.bit_count()),
        *(_size(value) if tenant.is_present else "ended" for value in (allotted, occupancy.last)),
        _size(occupancy.mean),
        _size(occupancy.highest),
        _rate(tenant.total.mean),
        _rate(tenant.total.highest),
        _rate(tenant.local.mean),
    )
    return Row(display_name(tenant.name), tenant.cache_id, cells, full)


def _card(name: str, report: HistoryReport) -> Card:
    return Card(
        display_name(name), tuple(chart for t in report.tenants if t.name == name for chart in _charts(t, report))
    )


def _charts(tenant: Tenant, report: HistoryReport) -> Iterator[Chart]:
    where = f"cache {tenant.cache_id}"
    occupancy, allotted, total, local = tenant.occupancy, tenant.allotted, tenant.total, tenant.local
    of = "" if allotted.last is None else f" of {_size(allotted.last)} allotted"
    last = f"last {_size(occupancy.last)}{of}" if tenant.is_present else "ended before the end of the period"
    yield bytes_chart(
        f"Occupancy, {where}",
        f"mean {_size(occupancy.mean)}, highest {_size(occupancy.highest)}, {last}",
        report.period,
        [(occupancy, "area"), (allotted, "dashed")],
    )
    yield bytes_chart(
        f"Bandwidth, {where}",
        f"total: mean {_rate(total.mean)}, highest {_rate(total.highest)}; local: mean {_rate(local.mean)}",
        report.period,
        [(total, "area"), (local, "dotted")],
        "/s",
    )


def _free_chart(course: CacheCourse, report: HistoryReport) -> Chart:
    least = min((value for value in course.free.spans if value is not None), default=0)
    last = "unknown" if course.free.last is None else f"{course.free.last:g}"
    summary = f"last {last}, fewest {least:.3g}, of {count(course.cache.ways, 'way')}"
    return ways_chart(f"Free ways, cache {course.cache.id}", summary, report.period, course.free, course.cache.ways)


def _change(number: int, change: Change) -> tuple[str, ...]:
    words = (change.plan, change.error)
    text = " ".join(printable(word) for word in words if word)
    who = (printable(change.program), printable(user_of(change.user)), printable(guests_of(change)))
    return (str(number), _time(change.time.timestamp()), *who, change.outcome, text)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _size(value: float | None) -> str:
    return "unknown" if value is None else about(round(value))


def _rate(value: float | None) -> str:
    return "unknown" if value is None else f"{about(round(value))}/s"
