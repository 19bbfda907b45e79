"""The page of ``noisy``: who takes from whom, with the evidence, and a table of all."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Sentence, Table, names, numbers, words
from cachetune.text import count, listed, printable
from cachetune.units import about
from cachetune.watch.ranking import CacheEvidence, Neighbor, Ranked, Ranking
from cachetune.watch.tenants import Tenant

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable

_OPPOSITE = -0.5


def noisy_page(ranking: Ranking) -> "list[ConsoleRenderable | str]":
    """A paragraph for each that takes from others, then a table of all, then what is not known."""
    page: list[ConsoleRenderable | str] = []
    for one in ranking.noisy:
        page += [Sentence(line) for line in paragraph(one)]
        page.append("")
    if not ranking.noisy and ranking.ranked:
        page += [f"No guest or group takes from others, by {_basis(ranking)}.", ""]
    page.append(_table(ranking))
    if ranking.without:
        page += ["", *(Sentence(f"Without evidence: {printable(line)}.") for line in ranking.without)]
    elif ranking.noisy:
        page += ["", f"Estimated from {_basis(ranking)}."]
    return page


def _basis(ranking: Ranking) -> str:
    return f"{count(ranking.samples, 'sample')} in {round(max(ranking.ended - ranking.began, 0.0), 1):g} s"


def paragraph(one: Ranked) -> Iterator[str]:
    """Whom it takes from, with the evidence in each cache, and how to contain it."""
    hurt = sorted({_title(each) for cache in one.caches for each in cache.hurts})
    yield f"{printable(one.title)} takes from {printable(listed(hurt))}: {_taken(one)}."
    for cache in one.caches:
        if cache.hurts:
            yield f"  L3 cache {cache.cache_id}: {_in_cache(cache)}"
            for each in cache.hurts:
                yield f"    {printable(_title(each))}: {_towards(each)}"
    if one.command:
        yield f"  To contain it: {printable(one.command)}"
    if one.obstacle:
        yield f"  It cannot be contained with a command: {one.obstacle}."


def _taken(one: Ranked) -> str:
    lost = sum(each.lost_bytes_per_second or 0.0 for cache in one.caches for each in cache.hurts)
    return f"about {_rate(lost)} is read from memory again"


def _in_cache(cache: CacheEvidence) -> str:
    holds = f"holds {_size(cache.occupancy_bytes)}, an equal share of its {count(cache.ways, 'way')} is"
    part = f"{_percent(cache.bandwidth_share)} of the bandwidth ({_rate(cache.bytes_per_second)})"
    return f"{part}; {holds} {_size(cache.equal_share_bytes)}"


def _towards(each: Neighbor) -> str:
    parts = [
        f"shares {count(each.shared_ways, 'way')}",
        f"holds {_size(each.occupancy_bytes)}",
        f"reads about {_rate(each.lost_bytes_per_second)} again, {_percent(each.lost_share)} of all that it reads",
    ]
    if each.correlation is not None and each.correlation <= _OPPOSITE:
        parts.append(f"fell while the other rose (correlation {each.correlation:.2f}, {each.samples} samples)")
    return ", ".join(parts)


def _table(ranking: Ranking) -> Table:
    rows = Table(
        names("guest or group"),
        numbers("cache", right=False),
        numbers("bandwidth"),
        numbers("share"),
        numbers("occupancy"),
        numbers("equal share"),
        numbers("taken"),
        words("shares ways with"),
    )
    for one in ranking.ranked:
        name = printable(one.title)
        for cache in one.caches:
            taken = sum(each.lost_bytes_per_second or 0.0 for each in cache.neighbors)
            rows.add_row(
                name,
                f"L3 {cache.cache_id}",
                _rate(cache.bytes_per_second),
                _percent(cache.bandwidth_share),
                _size(cache.occupancy_bytes),
                _size(cache.equal_share_bytes),
                _rate(taken) if taken else "-",
                printable(listed([_title(each) for each in cache.neighbors])) if cache.neighbors else "-",
            )
            name = ""
    return rows


def _title(each: Neighbor) -> str:
    return str(Tenant(each.name, each.kind))


def _rate(value: float | None) -> str:
    return "unknown" if value is None else f"{about(round(value))}/s"


def _size(value: int | None) -> str:
    return "unknown" if value is None else about(value)


def _percent(part: float | None) -> str:
    return "unknown" if part is None else f"{part:.0%}"
