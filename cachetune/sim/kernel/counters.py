"""The counters of a simulated processor: what the workloads of its groups occupy and transfer.

``workloads`` says what the tasks of a group do, ``contention`` what follows for each L3 cache. Sub-NUMA nodes have
equal parts of both. The same clock gives the same numbers.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from cachetune.sim.contention import Flow, Limit, SharedCache
from cachetune.sim.kernel.telemetry import TaskSeconds
from cachetune.sim.profile import MBM_EVENTS, MonitorDomain, Profile
from cachetune.sim.workloads import Workloads

if TYPE_CHECKING:
    from cachetune.sim.kernel.state import Group

_WHOLE = 100


class Counters:
    """What the QM_CTR register would return, per RMID and domain: an L3 cache, or a Sub-NUMA node of one.

    ``groups`` returns all groups, ``workloads`` what their tasks do. ``counted`` says whether a group's event counts in
    a domain: with assignable counters, it may not.
    """

    def __init__(
        self,
        profile: Profile,
        domains: tuple[MonitorDomain, ...],
        clock: Callable[[], float],
        counted: Callable[["Group", int, str], bool],
        groups: Callable[[], Iterable["Group"]],
        workloads: Workloads,
    ) -> None:
        self._profile, self._domains, self._clock, self._counted = profile, domains, clock, counted
        self._groups, self._workloads = groups, workloads
        self._nodes = max(len(domains) // max(len(profile.monitored_ids), 1), 1)
        self._cache_of = {domain.id: domain.cache_id for domain in domains}
        self._limit = _limit_of(profile)
        self._caches = dict(self._all_caches())
        self._from: dict[tuple[int, int, str], float] = {}
        self._set: dict[tuple[int, int, str], int | str] = {}
        self.task_seconds = TaskSeconds(clock)

    def _all_caches(self) -> Iterator[tuple[int, SharedCache]]:
        cache, now = self._profile.cache(3), self._clock()
        if cache is None:
            return
        for cache_id in cache.ids:
            way_bytes = [cache.size_of(cache_id) // cache.ways] * cache.ways
            yield cache_id, SharedCache(way_bytes, partial(self._flows, cache_id), now)

    def change(self) -> None:
        """Advance to now. Call it before any change of what the counters depend on: tasks, masks, limits, workloads."""
        now = self._clock()
        for cache in self._caches.values():
            cache.change(now)

    def start(self, group: "Group") -> None:
        """Start from zero for a group that just got its RMID; the cache may still hold the previous owner's lines."""
        if group.rmid is None:
            return
        self.change()
        self.task_seconds.start(group)
        for domain in self._domains:
            for event in MBM_EVENTS:
                self.restart(domain.id, event, group)
        self._set = {key: value for key, value in self._set.items() if key[0] != group.rmid}

    def restart(self, domain: int, event: str, group: "Group | None" = None) -> None:
        """Reset an event of memory bandwidth in one domain: of one group, or of every RMID."""
        for each in self._groups() if group is None else (group,):
            if each.rmid is not None:
                self._from[each.rmid, domain, event] = self._transferred(each.rmid, domain, event)

    def put(self, group: "Group", cache_id: int, event: str, value: int | str) -> None:
        """Make an event of a cache (its first node) read as a number or text until the group is removed."""
        domain = next((d.id for d in self._domains if d.cache_id == cache_id), cache_id)
        if group.rmid is not None:
            self._set[group.rmid, domain, event] = value

    def read(self, group: "Group", domains: Iterable[int], event: str) -> str:
        """Return the content of an event file: the sum over domains, in which a control group includes its monitors.

        It is a text instead, such as ``Unassigned``, if none of them has a number.
        """
        read = [self._own(member, domain, event) for domain in domains for member in group.members()]
        numbers = [value for value in read if isinstance(value, int)]
        return f"{sum(numbers)}\n" if numbers else f"{read[-1]}\n"

    def occupancy(self, rmid: int, domain: int, when: float) -> float:
        """Return the bytes that an RMID occupies in a domain."""
        return self._caches[self._cache_of[domain]].occupancy(rmid, when) / self._nodes

    def _own(self, group: "Group", domain: int, event: str) -> int | str:
        if group.rmid is None:
            return 0
        given = self._set.get((group.rmid, domain, event))
        if given is not None:
            return given
        if event in MBM_EVENTS and not self._counted(group, domain, event):
            return "Unassigned"
        if event in MBM_EVENTS:
            value = self._transferred(group.rmid, domain, event) - self._from.get((group.rmid, domain, event), 0.0)
        else:
            value = self.occupancy(group.rmid, domain, self._clock()) if event == "llc_occupancy" else 0.0
        unit = self._profile.monitoring.unit_bytes if self._profile.monitoring else 1
        return int(value) // unit * unit

    def _transferred(self, rmid: int, domain: int, event: str) -> float:
        """The bytes that an RMID has transferred from the start, in all groups that had it."""
        traffic = self._caches[self._cache_of[domain]].traffic(rmid, self._clock())
        return (traffic.total if event == "mbm_total_bytes" else traffic.local) / self._nodes

    # -- from groups to flows -----------------------------------------------------------------------------------

    def _flows(self, cache_id: int) -> Iterator[Flow]:
        for group in self._groups():
            loads = self._workloads.loads_of(group.path, group.tids) if group.rmid is not None and group.tids else ()
            for name, work, times in loads:
                if work.caches is None or cache_id in work.caches:
                    yield Flow(
                        owner=group.rmid,
                        name=name,
                        ways=self._ways_of(group.control, cache_id),
                        bytes_per_second=work.bytes_per_second * times,
                        working_set_bytes=work.working_set * times,
                        fresh=work.never_found,
                        local=work.local,
                        limit=self._limit_on(group.control, cache_id),
                    )

    def _ways_of(self, group: "Group", cache_id: int) -> tuple[int, ...]:
        """The ways that a control group may fill; with CDP, those for code or data. All without a control."""
        rows = (group.values.get(name, {}) for name in ("L3", "L3DATA", "L3CODE"))
        mask = 0
        for row in rows:
            mask |= row.get(cache_id, 0)
        cache = self._profile.cache(3)
        every = range(cache.ways if cache else 0)
        return tuple(way for way in every if mask >> way & 1) or tuple(every)

    def _limit_on(self, group: "Group", cache_id: int) -> Limit | None:
        value = group.values.get("MB", {}).get(cache_id)
        return None if self._limit is None or value is None else self._limit(group.path, value)


def _limit_of(profile: Profile) -> Callable[[str, int], Limit | None] | None:
    """Return the function from a control group and a value of MB (percent, MiB/s, or 1/8 GB/s) to its limit."""
    bandwidth = next((b for b in profile.bandwidths if b.name == "MB"), None)
    if bandwidth is None:
        return None
    if not bandwidth.linear:
        return lambda name, value: Limit(name, _AtMost(value * 1e9 / 8))
    if "mba_MBps" in profile.mount_options:
        return lambda name, value: Limit(name, _AtMost(float(value << 20)))
    return lambda name, value: Limit(name, _Percent(value)) if value < _WHOLE else None


@dataclasses.dataclass(frozen=True)
class _AtMost:
    """Allows a number of bytes per second; equal to others that allow as many."""

    most: float

    def __call__(self, wanted: float) -> float:
        return min(wanted, self.most)


@dataclasses.dataclass(frozen=True)
class _Percent:
    """Allows a percentage of the traffic; equal to others that allow as much."""

    value: int

    def __call__(self, wanted: float) -> float:
        return wanted * self.value / _WHOLE
