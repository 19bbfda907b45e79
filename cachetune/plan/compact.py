"""Plan a compaction: groups move until the largest hole of each cache is as large as it can be."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.idset import numbered
from cachetune.plan.allocate.relocate import Scene, enlarge_hole, movable_groups
from cachetune.plan.build import resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.diff import relocations
from cachetune.plan.group_state import group_states
from cachetune.plan.model import NO_GUEST, Plan
from cachetune.plan.moved import moved_groups
from cachetune.plan.policy import Policy, with_reserved
from cachetune.text import listed


class CompactRequest(NamedTuple):
    """The ``caches`` to compact (resource, cache id; none: all), and who may move besides our groups.

    No group moves into ways that the ``policy`` reserves.
    """

    caches: tuple[tuple[str, int], ...] = ()
    default_group: bool = False
    adopt: bool = False
    policy: Policy | None = None


def plan_compaction(host: Host, request: CompactRequest, names: Mapping[str, str]) -> Plan:
    """The plan that makes the largest hole of each of the caches as large as it can be.

    ``names`` are the guests of groups, by path. Raises InputError for a cache that the host does not have.
    """
    _check(host, request.caches)
    movable = movable_groups(host, adopt=request.adopt, default=request.default_group)
    room = with_reserved(host, request.policy)
    compacted = {}
    for control in host.caches:
        for cache_id in control.size_bytes:
            if not request.caches or (control.name, cache_id) in request.caches:
                _, made = enlarge_hole(Scene(room, control, cache_id, frozenset(), movable))
                if made:
                    compacted[control.name, cache_id] = made.writes
    steps = tuple(relocations(host, compacted))
    return Plan(
        guests=(NO_GUEST,),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        groups=(),
        moved=tuple(moved_groups(host, compacted, names)),
        steps=steps,
        summary=summarize(steps, host),
    )


def _check(host: Host, caches: Collection[tuple[str, int]]) -> None:
    known = {control.name: control.size_bytes for control in host.caches}
    for resource, cache_id in caches:
        if cache_id not in known.get(resource, ()):
            have = listed([numbered(f"{name} cache", ids) for name, ids in known.items() if ids]) or "no such control"
            raise InputError(f"the host has no {resource} cache {cache_id}", hint=f"it has {have}")
