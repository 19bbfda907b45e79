"""What is left on a host: free ways and the largest hole of each cache, available control groups and RMIDs.

A way is free if no control group has it, including the default group. libvirt counts the same way.
"""

from collections.abc import Collection
from typing import Literal

import msgspec

from cachetune.cbm import Cbm, largest_run
from cachetune.host.model import CacheControl, Group, Host


class CacheUsage(msgspec.Struct, frozen=True):
    """One cache: ``free`` is the mask of ways that no group has, ``io_ways`` of those that devices use as well.

    ``*_bytes`` None means that the size is unknown.
    """

    resource: str
    id: int
    ways: int
    way_bytes: int | None
    io_ways: Cbm
    free: Cbm
    free_ways: int
    free_bytes: int | None
    largest_hole_ways: int
    largest_hole_bytes: int | None


class Limit(msgspec.Struct, frozen=True):
    """A limited number of things; ``total`` and ``left`` None are unknown.

    RMIDs have no total on MPAM, where each control group has its own. What exceeds its total has nothing known left.
    """

    used: int
    total: int | None
    left: int | None


class IdleWays(msgspec.Struct, frozen=True):
    """The ways of one cache that no group has and that are not kept for a starting guest.

    ``command`` gives the ways ``back`` to the default group; without one it cannot get any. Those that it cannot get
    wait for the groups ``between`` them and the default group, because masks must be contiguous.
    """

    resource: str
    id: int
    ways: Cbm
    back: Cbm
    command: str
    between: tuple[str, ...] = ()


class HostUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``show --json`` prints: the host, and what is left on it.

    ``idle`` is known of a live host only. ``rmids_per_control_group`` is not None on MPAM hosts where each control
    group has its own RMIDs.
    """

    schema_version: Literal[1] = 1
    fingerprint: str
    caches: tuple[CacheUsage, ...]
    closids: Limit
    rmids: Limit
    rmids_per_control_group: int | None
    host: Host
    idle: tuple[IdleWays, ...] = ()


def usage_of(host: Host) -> HostUsage:
    """Count what is used and what is left."""
    return HostUsage(
        fingerprint=host.fingerprint,
        caches=tuple(_cache_usage(host, cache, cache_id) for cache in host.caches for cache_id in cache.size_bytes),
        closids=_limit(host.closids_used, host.closids_total),
        rmids=_limit(host.rmids_used, None if host.is_mpam else host.rmids_total),
        rmids_per_control_group=host.rmids_per_control_group,
        host=host,
    )


def free_mask(host: Host, cache: CacheControl, cache_id: int) -> Cbm:
    """The ways of one cache that no control group has."""
    taken = int(unexplained_ways(host, cache, cache_id))
    for group in host.control_groups():
        taken |= group.masks.at(cache.name, cache_id) or 0
    return Cbm(cache.cbm_mask & ~taken)


def groups_without_mask(host: Host, cache: CacheControl, cache_id: int, ignored: Collection[str] = ()) -> list[Group]:
    """The control groups whose ways of the cache are unknown because their schemata cannot be read."""
    unread = {problem.path for problem in host.problems}
    return [
        group
        for group in host.control_groups()
        if group.path not in ignored
        and group.masks.at(cache.name, cache_id) is None
        and unread & {group.path, f"{group.path}/schemata"}
    ]


def unexplained_ways(host: Host, cache: CacheControl, cache_id: int, ignored: Collection[str] = ()) -> Cbm:
    """The ways in use according to bit_usage that no known mask has, if the mask of some group is not known.

    Groups that are ``ignored`` are no reason to ask.
    """
    if not host.problems or not groups_without_mask(host, cache, cache_id, ignored):
        return Cbm(0)
    known = 0
    for group in host.control_groups():
        known |= group.masks.at(cache.name, cache_id) or 0
    return cache.used_ways(cache_id) & ~known


def _cache_usage(host: Host, cache: CacheControl, cache_id: int) -> CacheUsage:
    free = free_mask(host, cache, cache_id)
    ways, hole, way_bytes = free.bit_count(), largest_run(free), cache.way_bytes(cache_id)
    return CacheUsage(
        resource=cache.name,
        id=cache_id,
        ways=cache.ways,
        way_bytes=way_bytes,
        io_ways=cache.io_ways(cache_id),
        free=free,
        free_ways=ways,
        free_bytes=None if way_bytes is None else ways * way_bytes,
        largest_hole_ways=hole,
        largest_hole_bytes=None if way_bytes is None else hole * way_bytes,
    )


def _limit(used: int, total: int | None) -> Limit:
    return Limit(used, total, None if total is None or used > total else total - used)
