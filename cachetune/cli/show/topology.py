"""Which CPUs and NUMA nodes have which cache, as a table."""

from collections.abc import Collection, Iterable, Iterator

from cachetune.cli.show.table import Table, numbers, words
from cachetune.host.model import Host
from cachetune.idset import format_ids, parse_cpu_list
from cachetune.text import count

_MANY = 32

Caches = dict[int, frozenset[int]]
"""The CPUs of each cache of a level, by cache id."""


def topology_table(host: Host) -> Table | None:
    """One row for each cache of the highest level and each NUMA node that it spans; None where CPUs are not known.

    Caches of the levels below, and more caches than a page can have, are listed by the node or cache that has them.
    """
    controlled = {cache.level for cache in host.caches}
    levels = sorted((level for level in host.topology.caches if level == 3 or level in controlled), reverse=True)
    if not levels:
        return None
    caches = {level: _parsed(host.topology.caches[level]) for level in levels}
    nodes = _parsed(host.topology.nodes)
    rows = list(_rows(caches[levels[0]], nodes))
    table = Table(words("CPUs"), *([numbers("node", right=False)] if nodes else []), *(words(f"L{n}") for n in levels))
    for node, cpus in rows:
        table.add_row(
            format_ids(cpus),
            *([node] if nodes else []),
            *(_caches_of(caches[level], cpus) for level in levels),
        )
    return table


def _parsed(lists: dict[int, str]) -> Caches:
    return {number: cpus for number, text in lists.items() if (cpus := parse_cpu_list(text))}


def _rows(caches: Caches, nodes: Caches) -> Iterator[tuple[str, frozenset[int]]]:
    """A NUMA node, "" if unknown, and the CPUs of a row: those of a cache on the node, or all if they are many."""
    rest = frozenset[int]().union(*caches.values()).difference(*nodes.values())
    for node, cpus in [
        *((f"{number}", cpus) for number, cpus in sorted(nodes.items())),
        *([("", rest)] if rest else []),
    ]:
        here = [cpus & of_cache for _, of_cache in sorted(caches.items()) if cpus & of_cache]
        yield from [(node, each) for each in here] if len(caches) <= _MANY else [(node, frozenset().union(*here))]


def _caches_of(caches: Caches, cpus: Collection[int]) -> str:
    """The caches that these CPUs have; with more than one, how many CPUs each has."""
    here = {number: of_cache for number, of_cache in sorted(caches.items()) if not of_cache.isdisjoint(cpus)}
    if len(here) < 2:
        return format_ids(here)
    sizes = {len(of_cache) for of_cache in here.values()}
    return f"{format_ids(here)} ({_each(sizes)} each)"


def _each(sizes: Iterable[int]) -> str:
    least, most = min(sizes), max(sizes)
    return count(least, "CPU") if least == most else f"{least} to {count(most, 'CPU')}"
