"""A report of the history in a terminal: the same as the page, with bars and a row of small columns for each course."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cachetune.cli.show.changes import Changes
from cachetune.cli.show.history_html import findings_of, noisy_lines, period_text, way_map
from cachetune.cli.show.table import Table, names, numbers, unbroken
from cachetune.picture import LEVELS, bar, legend
from cachetune.service.history_report import Course, HistoryReport, Tenant, display_name
from cachetune.text import printable
from cachetune.units import about

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

_WIDTH, _NARROW = 24, 8
_BAR = 10


def history_page(report: HistoryReport, source: str) -> Iterator["RenderableType"]:
    """The report as tables."""
    yield unbroken(f"Report of {printable(source)}", "bold")
    yield period_text(report)
    yield from (f"- {finding}" for finding in findings_of(report))
    for course in report.caches:
        if course.cache.ways:
            found = way_map(course)
            yield ""
            yield unbroken(f"{found.title}  {found.ways}  free {columns(course.free, course.cache.ways)}")
            yield "  " + ", ".join(f"{letter} {name} ({ways})" for letter, name, ways in found.key)
    if maps := [way_map(course).ways for course in report.caches if course.cache.ways]:
        yield legend(maps, "group above")
    yield ""
    yield _Tenants(report.tenants)
    if report.ranking:
        yield ""
        yield from noisy_lines(report)
    if report.changes:
        yield ""
        yield Changes(report.changes)


def columns(course: Course, top: float | None = None, width: int = _WIDTH) -> str:
    """A course in a row of characters, each as high as its part of the highest value; blank where it is unknown."""
    top = top or max((value for value in course.spans if value is not None), default=0.0)
    return "".join(_column(value, top) for value in _fewer(course.spans, width))


def _column(value: float | None, top: float) -> str:
    if value is None:
        return " "
    return LEVELS[min(round(value / top * (len(LEVELS) - 1)), len(LEVELS) - 1) if top else 0]


def _fewer(values: tuple[float | None, ...], most: int) -> Iterator[float | None]:
    """At most that many means of neighbors."""
    size = -(-len(values) // most)
    for start in range(0, len(values), size):
        known = [value for value in values[start : start + size] if value is not None]
        yield sum(known) / len(known) if known else None


class _Tenants:
    """The tenants as a table; a narrow terminal gets narrower courses, and no bars."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self._tenants = tenants

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        wide = self._table(_WIDTH, bars=True)
        yield wide if wide.least_width <= options.max_width else self._table(_NARROW, bars=False)

    def _table(self, width: int, *, bars: bool) -> Table:
        highest = [numbers("highest")] if bars else []
        table = Table(
            *(
                names("guest or group"),
                numbers("cache", right=False),
                numbers("allotted"),
                numbers("full", right=False),
            ),
            *(numbers("occupancy"), numbers("", right=False), numbers("bandwidth"), *highest, numbers("", right=False)),
        )
        for tenant in self._tenants:
            occupancy, allotted, total = tenant.occupancy, tenant.allotted.last, tenant.total
            table.add_row(
                *(display_name(tenant.name), str(tenant.cache_id), _amount(allotted) if tenant.is_present else "ended"),
                _bar(occupancy.last, allotted, _BAR if bars else 0),
                *(_amount(occupancy.mean), columns(occupancy, allotted, width), _amount(total.mean, "/s")),
                *([_amount(total.highest, "/s")] if bars else []),
                columns(total, None, width),
            )
        return table


def _bar(value: float | None, top: float | None, width: int) -> str:
    if value is None or not top:
        return ""
    return f"{bar(value / top, width)} {value / top:.0%}".lstrip()


def _amount(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{about(round(value))}{unit}"
