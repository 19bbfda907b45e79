"""Readings as tables: a row for each group and cache, or for each event if the terminal is too narrow for that.

Where rates are known, each value has its rate beside it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cachetune.cli.show.table import Table, names, numbers
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.text import listed, printable
from cachetune.units import about
from cachetune.watch import Counter, Reading, Readings, uncounted, unit_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

SUM = "sum"
_LARGE = 1000
"""Rates from here on are shown without decimals."""


class Place(NamedTuple):
    """A cache or a package, or a node of a cache; ``node`` is "sum" for a cache that also has nodes."""

    number: int
    node: str = ""


class Line(NamedTuple):
    """The counters of one group at one place, by event."""

    reading: Reading
    place: Place
    counters: dict[str, Counter]


def readings_page(document: Readings, host: Host) -> Iterator["RenderableType"]:
    """One table for each resource with counters, then the groups without."""
    resources = [monitor.name.removesuffix("_MON") for monitor in host.monitors]
    tables = {resource: [line for r in document.monitors for line in _lines(r, resource)] for resource in resources}
    filled = [Measured("package" if resource == "PERF_PKG" else "cache", t) for resource, t in tables.items() if t]
    for i, table in enumerate(filled):
        if i:
            yield ""
        yield table
    yield from _partial_sums(document, host)
    without = [reading.path for reading in document.monitors if not reading.counters]
    if without:
        yield f"No counters, or removed in the meantime: {', '.join(map(_named, without))}"


class Figure(NamedTuple):
    """What is shown of a counter: its value, or what it counted per second."""

    event: str
    is_rate: bool = False

    @property
    def title(self) -> str:
        """The event and the unit of its values, unless they show it themselves or the event's name has it."""
        unit = unit_of(self.event)
        if unit == "bytes" or unit in self.event:
            return self.event.removesuffix("_bytes") + "/s" * self.is_rate
        return f"{self.event} ({unit}{'/s' * self.is_rate})"

    def of(self, counter: Counter | None) -> str:
        """The figure as a person reads it, or why it is missing."""
        if counter is None:
            return ""
        return _rate(counter) if self.is_rate else _value(counter)


class Measured:
    """The readings of one resource, in one table or, on a narrow terminal, in several."""

    def __init__(self, what: str, lines: Sequence[Line]) -> None:
        self._what, self._lines = what, lines
        self._figures = list(_figures(counter for line in lines for counter in line.counters.values()))
        self._places = list(dict.fromkeys(line.place for line in lines))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        wide = self._by_place()
        if wide.least_width <= options.max_width:
            yield wide
            return
        for i, places in enumerate(self._fitting(options.max_width)):
            if i:
                yield ""
            yield self._by_event(places)

    def _by_place(self) -> Table:
        """One line for each group and place, one column for each event."""
        nodes = any(place.node for place in self._places)
        where = [numbers(self._what, right=False), *([numbers("node", right=False)] if nodes else [])]
        table = Table(names("group"), *where, *(numbers(figure.title) for figure in self._figures))
        for reading, lines in _by_reading(self._lines).items():
            places = [[f"{line.place.number}", *([line.place.node] if nodes else [])] for line in lines]
            values = [[figure.of(line.counters.get(figure.event)) for figure in self._figures] for line in lines]
            table.add_row(
                _name(reading), *map(_stacked, zip(*places, strict=True)), *map(_stacked, zip(*values, strict=True))
            )
        return table

    def _by_event(self, places: Sequence[Place]) -> Table:
        """One line for each group and event, one column for each place."""
        headers = [f"{self._what} {place.number}" + (f" {_node(place)}" if place.node else "") for place in places]
        table = Table(names("group"), numbers("event", right=False), *map(numbers, headers))
        for reading, lines in _by_reading(self._lines).items():
            at = {line.place: line.counters for line in lines}
            values = [[f.of(at.get(place, {}).get(f.event)) for f in self._figures] for place in places]
            table.add_row(_name(reading), _stacked(f.title for f in self._figures), *map(_stacked, values))
        return table

    def _fitting(self, width: int) -> Iterator[Sequence[Place]]:
        """The places in as few tables as fit, with names in one piece if they can be; a table has at least one."""
        places = self._places
        while places:
            tables = [(n, self._by_event(places[:n])) for n in range(len(places), 0, -1)]
            whole = (n for n, table in tables if table.full_width <= width)
            fitting = next(whole, 0) or next((n for n, table in tables if table.least_width <= width), 1)
            yield places[:fitting]
            places = places[fitting:]


def _lines(reading: Reading, resource: str) -> Iterator[Line]:
    """The counters of a group, those of each cache before those of its nodes."""
    counters = [counter for counter in reading.counters if counter.resource == resource]
    with_nodes = {counter.id for counter in counters if counter.node is not None}
    found: dict[Place, dict[str, Counter]] = {}
    for counter in counters:
        node = f"{counter.node}" if counter.node is not None else SUM if counter.id in with_nodes else ""
        found.setdefault(Place(counter.id, node), {})[counter.event] = counter
    yield from (Line(reading, place, values) for place, values in found.items())


def _by_reading(lines: Iterable[Line]) -> dict[Reading, list[Line]]:
    """The lines of each group."""
    found: dict[Reading, list[Line]] = {}
    for line in lines:
        found.setdefault(line.reading, []).append(line)
    return found


def _stacked(cells: Iterable[str]) -> str:
    """Cells below each other in one row, so that a long name can wrap beside them."""
    return "\n".join(cells)


def _partial_sums(document: Readings, host: Host) -> Iterator[str]:
    """What the marked sums lack."""
    marked = [reading.path for reading in document.monitors if any(counter.partial for counter in reading.counters)]
    lacking = uncounted(host)
    groups = dict.fromkeys(path for of in marked for places in lacking[of].values() for path in places)
    if groups:
        shown = [_short(path) for path in groups]
        yield f"* without {listed(shown, 8)}, which {'has' if len(shown) == 1 else 'have'} no counter"


def _short(path: str) -> str:
    return _named(path if path == DEFAULT_GROUP else path.rpartition("/")[2])


def _named(path: str) -> str:
    return "the default group" if path == DEFAULT_GROUP else printable(path)


def _name(reading: Reading) -> str:
    if reading.owner == "default":
        return ". (default group)"
    return f"  {printable(reading.name)}" if reading.kind == "monitor" else printable(reading.name)


def _node(place: Place) -> str:
    return place.node if place.node == SUM else f"node {place.node}"


def _figures(counters: Iterable[Counter]) -> Iterator[Figure]:
    """What there is to show: each event, followed by its rate if that is known anywhere."""
    rated: dict[str, bool] = {}
    for counter in counters:
        rated[counter.event] = rated.get(counter.event, False) or counter.per_second is not None
    for event, has_rate in rated.items():
        yield Figure(event)
        if has_rate:
            yield Figure(event, is_rate=True)


def _value(counter: Counter) -> str:
    """A size as a person reads it, any other number as the kernel writes it, or why it is missing."""
    if counter.value is None:
        return counter.state
    if isinstance(counter.value, int) and unit_of(counter.event) == "bytes":
        return about(counter.value) + "*" * counter.partial
    return f"{counter.value}"


def _rate(counter: Counter) -> str:
    """Bytes per second in the units of sizes, anything else as a number."""
    rate = counter.per_second
    if rate is None:
        return "-"
    if unit_of(counter.event) == "bytes":
        return f"{about(round(rate))}/s" + "*" * counter.partial
    return f"{rate:.0f}" if rate >= _LARGE else f"{rate:.4g}"
