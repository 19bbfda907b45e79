"""The counters of a simulated processor: they advance with the clock while a group has tasks.

Each task transfers 256 MiB/s through each cache, three quarters of it local; a group at most 8 GiB/s, less with a
bandwidth limit. The occupancy of a control group approaches the size of its ways, shared evenly by its tasks, and
decays once it has no tasks. Sub-NUMA nodes have equal parts of both. The same clock gives the same numbers. None of
this resembles a real workload.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cachetune.sim.kernel.telemetry import TaskSeconds
from cachetune.sim.profile import MBM_EVENTS, MonitorDomain, Profile

if TYPE_CHECKING:
    from cachetune.sim.kernel.state import Group

_TASK_BYTES_PER_SECOND = 1 << 28
_GROUP_BYTES_PER_SECOND = 1 << 33
_FILL_SECONDS = 0.5
_FADE_SECONDS = 0.2


@dataclasses.dataclass
class _Count:
    """One RMID in one domain, at the time ``at``. ``rate`` and ``target`` have applied since then."""

    at: float
    held: float = 0.0
    total: float = 0.0
    local: float = 0.0
    rate: float = 0.0
    target: float = 0.0

    def advance(self, now: float) -> None:
        seconds = max(0.0, now - self.at)
        self.held = self.held_at(now)
        self.total += seconds * self.rate
        self.local += seconds * self.rate * 3 / 4
        self.at = max(now, self.at)

    def held_at(self, now: float) -> float:
        seconds = max(0.0, now - self.at)
        constant = _FILL_SECONDS if self.rate else _FADE_SECONDS
        return self.target + (self.held - self.target) * math.exp(-seconds / constant)


def _limit_of(profile: Profile) -> Callable[[float, int], float] | None:
    """Return the function from a rate and a value of MB (percent, MiB/s, or 1/8 GB/s) to the limited rate."""
    bandwidth = next((b for b in profile.bandwidths if b.name == "MB"), None)
    if bandwidth is None:
        return None
    if not bandwidth.linear:
        return lambda rate, value: min(rate, value * 1e9 / 8)
    if "mba_MBps" in profile.mount_options:
        return lambda rate, value: min(rate, float(value << 20))
    return lambda rate, value: rate * value / 100


class Counters:
    """What the QM_CTR register would return, per RMID and domain: an L3 cache, or a Sub-NUMA node of one.

    ``counted`` says whether a group's event counts in a domain: with assignable counters, it may not.
    """

    def __init__(
        self,
        profile: Profile,
        domains: tuple[MonitorDomain, ...],
        clock: Callable[[], float],
        counted: Callable[["Group", int, str], bool],
    ) -> None:
        self._profile, self._domains, self._clock, self._counted = profile, domains, clock, counted
        self._nodes = max(len(domains) // max(len(profile.monitored_ids), 1), 1)
        self._limit = _limit_of(profile)
        self._counts: dict[tuple[int, int], _Count] = {}
        self._set: dict[tuple[int, int, str], int | str] = {}
        self.task_seconds = TaskSeconds(clock)

    def start(self, group: "Group") -> None:
        """Start from zero for a group that just got its RMID; the cache may still hold the previous owner's lines."""
        if group.rmid is None:
            return
        self.task_seconds.start(group)
        for domain in self._domains:
            count = self._count(group.rmid, domain.id)
            count.advance(self._clock())
            count.total = count.local = 0.0
        self._set = {key: value for key, value in self._set.items() if key[0] != group.rmid}
        self.settle(group)

    def settle(self, group: "Group") -> None:
        """Advance a group's counts to now. Call it before and after any change that they depend on."""
        if group.rmid is None:
            return
        self.task_seconds.settle(group)
        for domain in self._domains:
            count = self._count(group.rmid, domain.id)
            count.advance(self._clock())
            count.rate, count.target = self._pace(group, domain.cache_id)

    def stop(self, group: "Group") -> None:
        """Stop counting for a group that loses its RMID; its occupancy decays."""
        if group.rmid is None:
            return
        for domain in self._domains:
            count = self._count(group.rmid, domain.id)
            count.advance(self._clock())
            count.rate = count.target = 0.0

    def restart(self, domain: int, event: str, group: "Group | None" = None) -> None:
        """Reset an event of memory bandwidth in one domain: of one group, or of every RMID."""
        for (rmid, where), count in self._counts.items():
            if where == domain and (group is None or rmid == group.rmid):
                count.advance(self._clock())
                if event == "mbm_total_bytes":
                    count.total = 0.0
                else:
                    count.local = 0.0

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
        return self._count(rmid, domain).held_at(when)

    def _own(self, group: "Group", domain: int, event: str) -> int | str:
        if group.rmid is None:
            return 0
        given = self._set.get((group.rmid, domain, event))
        if given is not None:
            return given
        if event in MBM_EVENTS and not self._counted(group, domain, event):
            return "Unassigned"
        self.settle(group)
        count = self._count(group.rmid, domain)
        values = {"llc_occupancy": count.held, "mbm_total_bytes": count.total, "mbm_local_bytes": count.local}
        unit = self._profile.monitoring.unit_bytes if self._profile.monitoring else 1
        return int(values.get(event, 0.0)) // unit * unit

    def _count(self, rmid: int, domain: int) -> _Count:
        key = rmid, domain
        if key not in self._counts:
            self._counts[key] = _Count(self._clock())
        return self._counts[key]

    def _pace(self, group: "Group", cache_id: int) -> tuple[float, float]:
        """Return the group's rate in bytes per second and the occupancy in bytes that it approaches."""
        if not group.tids:
            return 0.0, 0.0
        values = group.control.values
        rate = float(min(len(group.tids) * _TASK_BYTES_PER_SECOND, _GROUP_BYTES_PER_SECOND))
        if self._limit is not None and cache_id in values.get("MB", {}):
            rate = self._limit(rate, values["MB"][cache_id])
        cache = self._profile.cache(3)
        if cache is None:
            return rate, 0.0
        masks = [values[name].get(cache_id, 0) for name in ("L3", "L3DATA", "L3CODE") if name in values]
        ways = max((mask.bit_count() for mask in masks), default=cache.ways)
        share = len(group.tids) / sum(len(member.tids) for member in group.control.members())
        return rate / self._nodes, cache.size_of(cache_id) // cache.ways * ways * share / self._nodes
