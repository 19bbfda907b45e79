"""Advice from a history, as text: a table of what each group used, then a sentence on each."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Table, names, numbers
from cachetune.host.model import DEFAULT_GROUP
from cachetune.plan.groups.names import scope_of
from cachetune.service.advise import Advice
from cachetune.text import count, printable
from cachetune.units import about, reduce_size
from cachetune.watch.advice import GroupAdvice, span

if TYPE_CHECKING:
    from rich.console import RenderableType


def advice_page(advice: Advice) -> Iterator["RenderableType"]:
    """The table and the sentences, or why they are missing."""
    if advice.since is None or advice.until is None:
        yield f"{printable(advice.source)} has no readings of that time, so nothing can be said."
        return
    if not advice.groups:
        yield f"{printable(advice.source)} has no groups of guests in its last moment, so nothing can be said."
        return
    yield f"{span(advice.until - advice.since)} of {printable(advice.source)}"
    yield _table(advice)
    for group in advice.groups:
        yield ""
        yield f"{_name(group)}, L3 cache {group.cache_id}: {_sentence(group)}"
        yield f"  Confidence: {group.confidence}: {'; '.join(group.reasons)}."
        if group.suggested_ways is not None and group.suggested_ways != group.ways:
            yield f"  {_command(group, group.suggested_ways)}"
            if group.way_bytes:
                yield f"  {_xml(group, group.suggested_ways, group.way_bytes)}"
        if group.verdict == "measure":
            yield f"  cachetune advise --measure --guest {shlex.quote(printable(group.guest))} --cache {group.cache_id}"


def _table(advice: Advice) -> Table:
    titles = ("cache", "ways", "size", "median", "95%", "most", "full", "per second")
    table = Table(names("group"), *map(numbers, titles))
    for group in advice.groups:
        size = about(group.ways * group.way_bytes) if group.way_bytes else "unknown"
        held = group.occupancy
        quantiles = [about(n) for n in (held.median_bytes, held.p95_bytes, held.most_bytes)] if held else ["-"] * 3
        rate = "-" if group.bytes_per_second is None else about(round(group.bytes_per_second))
        full = f"{group.full:.0%}"
        table.add_row(_name(group), f"{group.cache_id}", f"{group.ways}", size, *quantiles, full, rate)
    return table


def _sentence(group: GroupAdvice) -> str:
    ways = _ways(group, group.suggested_ways or 0)
    match group.verdict:
        case "fewer":
            most = about(group.occupancy.most_bytes) if group.occupancy else ""
            return f"it never filled its {count(group.ways, 'way')}, and held at most {most}: {ways} would do."
        case "unused":
            return f"it hardly used the cache or memory: {ways} would do."
        case "enough":
            return f"what it has, {_ways(group, group.ways)}, is enough as far as this shows."
        case "measure":
            rate = about(round(group.full_bytes_per_second or 0))
            return (
                f"it filled its {count(group.ways, 'way')} in {group.full:.0%} of the readings, with {rate}/s of "
                "memory traffic: a measurement shows whether more would help."
            )
        case "shared":
            whom = "the default group" if group.shared_with == DEFAULT_GROUP else printable(group.shared_with)
            return f"it shares ways with {whom}, so what it needs alone is not known."
        case "unknown":
            return "nothing can be said without readings of its occupancy."


def _ways(group: GroupAdvice, ways: int) -> str:
    return f"{count(ways, 'way')} ({about(ways * group.way_bytes)})" if group.way_bytes else count(ways, "way")


def _command(group: GroupAdvice, ways: int) -> str:
    scope = scope_of(group.path)
    whom = f" --vcpus {scope.vcpus}" if scope.vcpus else f" --threads {scope.threads}" if scope.threads else ""
    return f"cachetune set {shlex.quote(printable(group.guest))}{whom} --l3 {group.cache_id}={ways}ways"


def _xml(group: GroupAdvice, ways: int, way_bytes: int) -> str:
    number, unit = reduce_size(ways * way_bytes)
    return f"<cache id='{group.cache_id}' level='3' type='both' size='{number}' unit='{unit}'/>"


def _name(group: GroupAdvice) -> str:
    scope = scope_of(group.path)
    whom = f", vCPUs {scope.vcpus}" if scope.vcpus else f", {scope.threads}" if scope.threads else ""
    return f"{printable(group.guest)}{whom}"
