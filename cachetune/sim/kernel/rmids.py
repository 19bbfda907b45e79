"""RMIDs: free, allocated, or in limbo.

A freed RMID stays in limbo while a cache still has lines tagged with it. A worker for each L3 cache checks once a
second and releases the RMID if its occupancy is below the threshold; it is free once every cache has released it. 6.1
checks the cache of the CPU that frees it immediately, so an empty RMID on a machine with one cache is free at once;
6.12 always waits for the worker. Time comes only from the clock: the workers' overdue checks run before each answer.
"""

import errno
from collections.abc import Callable

from cachetune.sim.profile import MonitorDomain, Profile
from cachetune.sim.rules import KernelRules

_CHECK_SECONDS = 1.0
_CHECKS_AT_ONCE = 64


class OutOfRmidsError(Exception):
    """No RMID is available: ENOSPC, or EBUSY while some are in limbo."""

    def __init__(self, number: int) -> None:
        super().__init__("Out of RMIDs")
        self.errno = number


class Rmids:
    """The RMIDs of a machine. RMID 0 always belongs to the default group."""

    def __init__(
        self,
        profile: Profile,
        rules: KernelRules,
        domains: tuple[MonitorDomain, ...],
        clock: Callable[[], float],
        occupancy: Callable[[int, int, float], float],
    ) -> None:
        monitoring = profile.monitoring
        self._rules, self._clock, self._occupancy = rules, clock, occupancy
        self._ids = tuple(domain.id for domain in domains)
        self._unit = monitoring.unit_bytes if monitoring else 1
        self._limbo = "llc_occupancy" in profile.events
        self._per_group = monitoring.rmids_per_group if monitoring else None
        self._free = list(range(1, rmids_of(profile, rules)))
        self._busy: dict[int, set[int]] = {}
        self._next_check: dict[int, float] = {}
        self.limit = _largest_threshold(profile)
        self.threshold = self.round(self.limit // l3_rmids(profile, rules)) if monitoring else 0

    def round(self, size_bytes: int) -> int:
        """Round a size down to the counters' step."""
        return size_bytes // self._unit * self._unit

    def allocate(self, closid: int | None) -> int:
        """Allocate the RMID that has been free the longest, on MPAM of those that the CLOSID has.

        Raises OutOfRmidsError.
        """
        self._run_checks()
        if not self._free:
            raise OutOfRmidsError(errno.EBUSY if self._busy else errno.ENOSPC)
        usable = (rmid for rmid in self._free if self._per_group is None or rmid // self._per_group == closid)
        found = next(usable, None)
        if found is None:
            raise OutOfRmidsError(errno.ENOSPC)
        self._free.remove(found)
        return found

    def hardware_id(self, rmid: int) -> int:
        """Return the number that the hardware knows: on MPAM it repeats in every control group."""
        return rmid if self._per_group is None else rmid % self._per_group

    def in_limbo(self, closid: int) -> int:
        """Return how many RMIDs of a CLOSID are in limbo; 0 where they belong to none."""
        self._run_checks()
        return 0 if self._per_group is None else sum(rmid // self._per_group == closid for rmid in self._busy)

    def release(self, rmid: int) -> None:
        """Free an RMID, through limbo."""
        self._run_checks()
        waiting = [i for i in self._ids if self._stays_in_limbo(rmid, i)] if self._limbo else []
        if not waiting:
            self._free.append(rmid)
            return
        for cache_id in waiting:
            self._next_check.setdefault(cache_id, self._clock() + _CHECK_SECONDS)
        self._busy[rmid] = set(waiting)

    def _stays_in_limbo(self, rmid: int, cache_id: int) -> bool:
        if self._rules.limbo_always or cache_id != self._ids[0]:
            return True
        return self._occupancy(rmid, cache_id, self._clock()) > self.threshold

    def _run_checks(self) -> None:
        now = self._clock()
        while self._next_check:
            cache_id, due = min(self._next_check.items(), key=lambda item: item[1])
            if due > now:
                return
            self._check(cache_id, due)
            if any(cache_id in ids for ids in self._busy.values()):
                self._next_check[cache_id] = max(due + _CHECK_SECONDS, now - _CHECKS_AT_ONCE * _CHECK_SECONDS)
            else:
                del self._next_check[cache_id]

    def _check(self, cache_id: int, when: float) -> None:
        for rmid in sorted(rmid for rmid, ids in self._busy.items() if cache_id in ids):
            if self._occupancy(rmid, cache_id, when) >= self.threshold:
                continue
            self._busy[rmid].discard(cache_id)
            if not self._busy[rmid]:
                del self._busy[rmid]
                self._free.append(rmid)


def _largest_threshold(profile: Profile) -> int:
    """Return the size of the cache that the threshold cannot exceed: on AMD, x86_cache_size is the L2's."""
    level_2 = next((cache.size_bytes for cache in profile.core_caches if cache.level == 2), None)
    if profile.vendor == "amd" and level_2:
        return level_2
    cache = profile.cache(3)
    return cache.size_of(cache.ids[0]) if cache else 0


def l3_rmids(profile: Profile, rules: KernelRules) -> int:
    """Return num_rmids of L3_MON: the processor's, divided by the Sub-NUMA nodes of a cache."""
    return profile.monitoring.rmids // profile.nodes_per_cache(rules) if profile.monitoring else 0


def rmids_of(profile: Profile, rules: KernelRules) -> int:
    """Return how many groups can be monitored: by the L3 caches and, if there is telemetry, by the packages."""
    limits = [l3_rmids(profile, rules)] if profile.monitoring else []
    limits += [profile.telemetry.rmids] if profile.telemetry and rules.telemetry else []
    return min(limits, default=0)
