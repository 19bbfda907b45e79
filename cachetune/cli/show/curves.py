"""What was measured, as text: a chart for each group, what it says, and how several groups divide a cache."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Table, names, numbers, words
from cachetune.picture import FILLED
from cachetune.plan.partition import KNEE_TOLERANCE
from cachetune.service.suggest import Measured
from cachetune.text import count, printable
from cachetune.units import about
from cachetune.watch.curve import Curve

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 30


def measured_page(measured: Measured) -> Iterator["RenderableType"]:
    """The curves, and what is suggested; without the plan of several groups, which is shown as plans are."""
    for number, curve in enumerate(measured.curves):
        if number:
            yield ""
        yield f"{_name(curve)}: memory traffic by ways of {curve.resource} cache {curve.cache_id}"
        yield _chart(curve)
        yield _conclusion(curve)
        yield _confidence(curve)
    if measured.divided_ways is not None:
        yield ""
        yield from _division(measured, measured.divided_ways)
    for guest in measured.xml:
        if guest.xml:
            yield ""
            yield f"XML of {printable(guest.guest)}:"
            yield _printable_lines(guest.xml)
    yield ""
    for each in measured.suggestions:
        yield f"To apply it: {printable(each.command)}"


def _conclusion(curve: Curve) -> str:
    """What the curve says, in a sentence."""
    ways = f"{count(curve.knee_ways, 'way')}{_size(curve, curve.knee_ways)}"
    least, most = curve.points[0], curve.points[-1]
    tolerance = KNEE_TOLERANCE * least.bytes_per_second
    if abs(most.bytes_per_second - least.bytes_per_second) <= tolerance:
        return f"Its memory traffic hardly depends on its ways: {ways} would do."
    if curve.knee_ways == most.ways:
        return f"It uses all of the {ways} that could be measured; more may save more."
    return f"{ways} would do: more ways save almost no traffic."


def _printable_lines(text: str) -> str:
    """The text, with its lines."""
    return "\n".join(map(printable, text.rstrip("\n").split("\n")))


def _chart(curve: Curve) -> Table:
    sizes = [numbers("size")] if curve.way_bytes else []
    table = Table(numbers("ways"), *sizes, numbers("occupancy"), numbers("per second"), words(""), words(""))
    most = max((point.bytes_per_second for point in curve.points), default=0.0) or 1.0
    for point in curve.points:
        bar = FILLED * round(_BAR * point.bytes_per_second / most)
        marks = ["has now"] if point.ways == curve.before_ways else []
        marks += ["knee"] if point.ways == curve.knee_ways else []
        size = [about(point.size_bytes or 0)] if curve.way_bytes else []
        occupancy = "unknown" if point.occupancy_bytes is None else about(point.occupancy_bytes)
        rate = about(round(point.bytes_per_second))
        table.add_row(f"{point.ways}", *size, occupancy, rate, bar or "▏", ", ".join(marks))
    return table


def _confidence(curve: Curve) -> str:
    why = f": {'; '.join(curve.reasons)}" if curve.reasons else ""
    return f"Confidence: {curve.confidence}{why}."


def _division(measured: Measured, ways: int) -> Iterator["RenderableType"]:
    yield f"Division of {count(ways, 'way')} with the least memory traffic"
    table = Table(names("group"), numbers("now"), numbers("suggested"), numbers("size"), numbers("per second"))
    for curve, each in zip(measured.curves, measured.suggestions, strict=True):
        size = about(each.size_bytes) if each.size_bytes else "unknown"
        rate = about(round(each.bytes_per_second))
        table.add_row(_name(curve), f"{curve.before_ways}", f"{each.ways}", size, rate)
    yield table
    now, then = (about(round(v)) for v in (measured.before_bytes_per_second, measured.bytes_per_second))
    yield f"Together {then}/s instead of {now}/s."


def _name(curve: Curve) -> str:
    whom = f", vCPUs {curve.vcpus}" if curve.vcpus else f", {curve.threads}" if curve.threads else ""
    return f"{printable(curve.guest)}{whom}"


def _size(curve: Curve, ways: int) -> str:
    return f" ({about(ways * curve.way_bytes)})" if curve.way_bytes else ""
