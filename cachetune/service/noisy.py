"""Rank who takes cache from others, from live counters or from the history, with the command that contains each."""

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from cachetune.cbm import largest_run
from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.host.owners import owner_of
from cachetune.idset import format_ids
from cachetune.plan.groups.names import scope_of
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.select import Selection
from cachetune.watch.history import History
from cachetune.watch.ranking import CacheEvidence, Ranked, Ranking, rank
from cachetune.watch.usage import Cache, Moment, moment_of

EVENTS = ("llc_occupancy", "mbm_total_bytes")
_MOST_MOMENTS = 1200
_LEVEL = 3


class Noise(msgspec.Struct, frozen=True):
    """The ranking, and ``notes``: warnings."""

    ranking: Ranking
    notes: tuple[str, ...] = ()


def watch_noise(
    location: Location, looks: Iterable[object], on_look: Callable[[int], None], guest: str | None = None
) -> Noise:
    """Read the counters of all groups at each of ``looks``, and rank them; ``guest`` as for ``about_guest``.

    ``on_look`` is called with the number of readings so far. Raises what ``Watcher`` raises.
    """
    moments, notes, host = [], dict[str, None](), None
    with Watcher(location, Selection(foreign=True), events=EVENTS) as watcher:
        for number, _ in enumerate(looks, start=1):
            seen = watcher.look()
            host = seen.host
            moments.append(moment_of(seen.readings, host))
            notes.update(dict.fromkeys(seen.notes))
            on_look(number)
    ranking = replace(rank(moments), source=host.source if host else "")
    contained = _contained(ranking, moments[-1], host) if moments else ranking
    return Noise(about_guest(contained, guest), tuple(notes))


def recorded_noise(db: Path, since: float | None = None, until: float | None = None, guest: str | None = None) -> Noise:
    """Rank the groups in a history between two times (seconds since 1970); of a long time, some of its moments.

    Raises HistoryError, and InputError if the history has nothing from that time.
    """
    with History(db) as history:
        span = history.span()
        first = max(since or 0.0, span[0]) if span else 0.0
        last = min(until or math.inf, span[1]) if span else -1.0
        every = max(last - first, 0.0) / _MOST_MOMENTS
        moments = list(history.moments(since, until, every=every if every > 1 else 0.0))
    if not moments:
        raise InputError(f"{db} has no readings from that time", hint="pass an earlier --since")
    ranking = replace(rank(moments), source=str(db))
    return Noise(about_guest(_contained(ranking, moments[-1], None), guest))


def about_guest(ranking: Ranking, guest: str | None) -> Ranking:
    """The ranking with only what a guest takes, and what is taken from it. Raises InputError for an unknown guest."""
    if guest is None:
        return ranking
    if not any(one.kind == "guest" and one.name == guest for one in ranking.ranked):
        raise InputError(f"guest {guest!r} has no group with counters", hint="'cachetune monitor' shows the groups")
    found = (one if one.name == guest else _towards(one, guest) for one in ranking.ranked)
    return replace(ranking, ranked=tuple(one for one in found if one is not None))


def _towards(one: Ranked, guest: str) -> Ranked | None:
    """What another takes from a guest; None if it takes nothing."""
    caches = tuple(
        replace(cache, neighbors=tuple(each for each in cache.neighbors if each.name == guest and each.hurt))
        for cache in one.caches
    )
    with_it = tuple(cache for cache in caches if cache.neighbors)
    return replace(one, caches=with_it) if with_it else None


# -- containing it ----------------------------------------------------------------------------------------------


def _contained(ranking: Ranking, now: Moment, host: Host | None) -> Ranking:
    """The ranking with the command that contains each that is noisy."""
    return replace(ranking, ranked=tuple(_with_command(one, now, host) if one.noisy else one for one in ranking.ranked))


def _with_command(one: Ranked, now: Moment, host: Host | None) -> Ranked:
    if one.kind == "group":
        return replace(one, obstacle="it is of another program, which has to give it fewer ways")
    sizes = {cache.cache_id: _ways_for(one, cache, now, host) for cache in one.caches if cache.hurts}
    possible = {cache_id: ways for cache_id, ways in sizes.items() if ways}
    if not possible:
        return replace(one, obstacle="too few ways are left for a separate share")
    amounts = [
        f"{name} {format_ids(ids)}={ways}way{'s' * (ways > 1)}"
        for ways, ids in _by_size(possible).items()
        for name in _options(host)
    ]
    if one.kind == "default":
        return replace(one, command=f"cachetune default {' '.join(amounts)}")
    words = ("cachetune set", *_guest_words(one), *amounts, *_switches(one, possible, now))
    return replace(one, command=" ".join(words))


def _by_size(sizes: Mapping[int, int]) -> dict[int, list[int]]:
    """The caches of each size."""
    found: dict[int, list[int]] = {}
    for cache_id, ways in sizes.items():
        found.setdefault(ways, []).append(cache_id)
    return found


def _ways_for(one: Ranked, cache: CacheEvidence, now: Moment, host: Host | None) -> int:
    """How many ways it gets alone: an equal share of those that it may fill now, in whole ways; 0 if none is left."""
    found = next(each for each in now.caches if each.id == cache.cache_id)
    least = next((control.min_cbm_bits for control in host.caches if control.level == _LEVEL), 1) if host else 1
    way_bytes = (found.size_bytes or 0) / max(found.ways, 1)
    share = int((cache.equal_share_bytes or 0) / way_bytes) if way_bytes else 0
    ways = max(share, least)
    room = _free_run(one, found, now) if one.kind == "default" else found.ways - least
    ways = min(ways, room)
    return ways if least <= ways < cache.ways else 0


def _options(host: Host | None) -> tuple[str, ...]:
    """The options for the L3 caches, which are split with CDP."""
    split = host is not None and any(cache.name == "L3CODE" for cache in host.caches)
    return ("--l3code", "--l3data") if split else ("--l3",)


def _guest_words(one: Ranked) -> Iterator[str]:
    """The guest's name, and which of its groups if it has several."""
    scopes = {scope_of(path)._replace(machine="") for path in one.groups}
    yield shlex.quote(one.name)
    if len(scopes) > 1:
        scope = scope_of(one.groups[0])
        yield f"--vcpus {scope.vcpus}" if scope.vcpus else f"--threads {scope.threads}" if scope.threads else "--all"


def _switches(one: Ranked, sizes: dict[int, int], now: Moment) -> Iterator[str]:
    free = {cache.id: _free_run(one, cache, now) for cache in now.caches}
    if any(free[cache_id] < ways for cache_id, ways in sizes.items()):
        yield "--shrink-default"
    if any(owner_of(path) == "libvirt" for path in one.groups):
        yield "--adopt"


def _free_run(one: Ranked, cache: Cache, now: Moment) -> int:
    """The longest run of ways that no other group may fill."""
    free = (1 << cache.ways) - 1
    for usage in now.usages:
        if usage.kind == "control" and usage.cache_id == cache.id and usage.path not in one.groups:
            free &= ~int(usage.mask or 0)
    return largest_run(free)
