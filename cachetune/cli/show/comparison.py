"""The differences of two hosts in two columns, and the sizes that are not whole ways on both."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from cachetune.cli.show.host import snapshot_of
from cachetune.cli.show.table import Table, numbers, unbroken, words
from cachetune.fleet.compare import ComparedHost, Comparison, Unit, Value
from cachetune.fleet.sizes import SizeStep
from cachetune.text import count, printable
from cachetune.units import about

if TYPE_CHECKING:
    from rich.console import RenderableType

_NOTHING = "-"


def comparison_page(comparison: Comparison, *, show_all: bool) -> Iterator["RenderableType"]:
    """Which hosts they are, their facts in two columns, the sizes, and what the differences mean."""
    for letter, host in (("A", comparison.a), ("B", comparison.b)):
        yield unbroken(f"{letter}  {title_of(host)}")
    facts = comparison.facts if show_all else comparison.differences
    if facts:
        yield ""
        table = Table(words(""), words("A"), words("B"))
        for fact in facts:
            table.add_row(printable(fact.what), _text(fact.a, fact.unit), _text(fact.b, fact.unit))
        yield table
    yield from _sizes(comparison.sizes)
    if comparison.notes:
        yield ""
        yield from comparison.notes
    yield ""
    differences = len(comparison.differences)
    yield f"{count(differences, 'difference')}." if differences else "No difference for tuning."


def title_of(host: ComparedHost) -> str:
    """Which host it is, and when its snapshot was taken."""
    name = "<stdin>" if host.source == "-" else printable(host.source)
    if host.hostname:
        name = f"{printable(host.hostname)} ({name})"
    return name if host.taken is None else f"{name}, {snapshot_of(host.taken)}"


def _text(value: Value, unit: Unit) -> str:
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and unit == "bytes":
        return about(value)
    return printable(str(value))


def _sizes(steps: Iterable[SizeStep]) -> Iterator["RenderableType"]:
    """A table for each pair of unlike ways."""
    for (resource, way, other), of_pair in groupby(steps, _pair_of):
        rows = list(of_pair)
        exact = [step for step in rows if step.is_exact]
        yield ""
        yield (
            f"{resource}: of {count(len(rows), 'size')} in ways of {about(way)}, {len(exact)} "
            f"{'is' if len(exact) == 1 else 'are'} whole ways of {about(other)}:"
        )
        rounded = (numbers(title, right=False) for title in ("B (--round down)", "(--round up)"))
        table = Table(numbers("A"), numbers(""), *rounded)
        for step in rows:
            down, up = (_ways(ways, step.b_way_bytes) for ways in (step.b_ways_down, step.b_ways_up))
            table.add_row(count(step.a_ways, "way"), about(step.size_bytes), down, "=" if step.is_exact else up)
        yield table


def _pair_of(step: SizeStep) -> tuple[str, int, int]:
    return step.resource, step.size_bytes // step.a_ways, step.b_way_bytes


def _ways(ways: int | None, way_bytes: int) -> str:
    return _NOTHING if ways is None else f"{count(ways, 'way')} ({about(ways * way_bytes)})"
