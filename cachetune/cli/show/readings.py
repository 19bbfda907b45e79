"""Readings as tables."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.console import table
from cachetune.host.model import Host
from cachetune.text import printable
from cachetune.units import about
from cachetune.watch import Counter, Reading, Readings

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Line = tuple[Reading, str, dict[str, Counter]]


def readings_page(document: Readings, host: Host) -> Iterator["RenderableType"]:
    """One table for each resource with counters, then the groups without."""
    resources = [monitor.name.removesuffix("_MON") for monitor in host.monitors]
    lines_of = {resource: [line for r in document.monitors for line in _lines(r, resource)] for resource in resources}
    for resource, lines in lines_of.items():
        if lines:
            yield _table("package" if resource == "PERF_PKG" else "cache", lines)
    without = [reading.path for reading in document.monitors if not reading.counters]
    if without:
        yield f"No counters, or removed in the meantime: {', '.join(map(printable, without))}"


def _table(what: str, lines: list[Line]) -> "Table":
    """One row for each group and cache, one column for each event. Only the first row of a group has its name."""
    events = list(dict.fromkeys(event for _, _, values in lines for event in values))
    headers = [event.removesuffix("_bytes") for event in events]  # the values carry their units
    rows = table("group", what, *headers, right=headers)
    before = None
    for reading, where, values in lines:
        name = "" if reading is before else _name(reading)
        rows.add_row(name, where, *(_value(values.get(event)) for event in events))
        before = reading
    return rows


def _name(reading: Reading) -> str:
    if reading.owner == "default":
        return ". (default group)"
    return f"  {printable(reading.name)}" if reading.kind == "monitor" else printable(reading.name)


def _lines(reading: Reading, resource: str) -> Iterator[Line]:
    source_options: dict[tuple[int, int | None], dict[str, Counter]] = {}
    for counter in reading.counters:
        if counter.resource == resource:
            source_options.setdefault((counter.id, counter.node), {})[counter.event] = counter
    for (number, node), values in source_options.items():
        yield reading, f"{number}" if node is None else f"{number} node {node}", values


def _value(counter: Counter | None) -> str:
    if counter is None:
        return ""
    if counter.value is None:
        return counter.state
    if isinstance(counter.value, int) and counter.event.startswith(("llc_", "mbm_")):
        return about(counter.value)
    return f"{counter.value}"
