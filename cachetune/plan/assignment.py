"""Which of the guests' groups get assignable counters (AMD ABMC, MPAM), and which monitors get none.

Counters go to the monitors that the domains request: first to those of <memorytune>, then to those of <cachetune>,
event by event, so that each reads mbm_total_bytes before one reads mbm_local_bytes. Then, if new groups get counters at
all, they go to the guests' other groups. A group that exists keeps its counters, except a control group whose vCPUs are
all in monitor groups: its own counters count nothing, so others may have them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from cachetune.host.model import Host
from cachetune.host.resctrl.assignments import Assigned, format_assignments
from cachetune.plan.counters import Counters, copy_of
from cachetune.plan.groups.translate import DesiredGroup
from cachetune.plan.ownership import is_foreign
from cachetune.plan.settings import ASSIGNMENTS
from cachetune.plan.steps import Step, WriteFile, effect_of


def assigning_steps(
    host: Host, desired: Collection[DesiredGroup], own: Collection[str], steps: Sequence[Step]
) -> tuple[WriteFile, ...]:
    """The writes that assign counters after the other ``steps``; ``own`` are the guests' existing groups.

    A new group that does not get all counters may have fewer than expected: where one cache has none left, Linux 6.18
    does not try the next. Its target is written in any case.
    """
    counters = _after(host, steps)
    target = _Division(host, desired, own, steps, counters).target()
    created = {path for step in steps if (path := effect_of(step).created)}
    short = {path for path in created.intersection(target) if not all(_flat(counters.held[path]))}
    changed = [path for path, assigned in target.items() if assigned != counters.held[path] or path in short]
    kept = {path: _both(counters.held[path], target[path]) for path in changed}
    releases = [_write(path, counters.held[path], kept[path]) for path in changed if kept[path] != counters.held[path]]
    assigns = [
        _write(path, kept[path], target[path])
        for path in changed
        if kept[path] != target[path] or (path in short and any(_flat(target[path])))
    ]
    return (*releases, *assigns)


def monitor_counters(
    host: Host, desired: Collection[DesiredGroup], own: Collection[str], steps: Iterable[Step]
) -> dict[str, Assigned]:
    """The counters of the groups whose bandwidth a <monitor> requests, once the steps have been taken, by path.

    Foreign groups are left out, as is a control group whose vCPUs are all in its monitor groups.
    """
    counters = _after(host, steps)
    paths = (path for path in _ranks(desired, _idle(desired)) if not is_foreign(host.group(path), own))
    return {path: counters.held[path] for path in paths if path in counters.held}


class _Division:
    """How the counters are divided; ``counters`` are those after the other steps."""

    def __init__(
        self,
        host: Host,
        desired: Collection[DesiredGroup],
        own: Collection[str],
        steps: Iterable[Step],
        counters: Counters,
    ) -> None:
        ours = (group for group in desired if not is_foreign(host.group(group.path), own))
        self._groups = [group for group in ours if group.path in counters.held]
        self._made = {path for step in steps if (path := effect_of(step).created)}
        self._counters = counters
        self._idle = _idle(self._groups)
        self._ranks = _ranks(self._groups, self._idle)
        self._held = {group.path: copy_of(counters.held[group.path]) for group in self._groups}
        self._free = dict(counters.free)

    def target(self) -> dict[str, Assigned]:
        """The assignments of every group of the guests. New groups have no past, so all they got is divided again."""
        for path in self._made.intersection(self._held):
            for event, row in self._held[path].items():
                for cache_id in row:
                    self._release(path, event, cache_id)
        for rank in sorted({*self._ranks.values()}):
            for path, event, cache_id in self._entries([path for path in self._ranks if self._ranks[path] == rank]):
                self._take(path, event, cache_id, may_move=True)
        if self._counters.serves_new_groups:
            others = [path for path in self._held if path not in self._ranks and path not in self._idle]
            for path, event, cache_id in self._entries(others):
                self._take(path, event, cache_id)
        for path, event, cache_id in self._entries(self._idle & self._made):
            if self._counters.has(path, event, cache_id):
                self._take(path, event, cache_id)
        return self._held

    def _entries(self, paths: Collection[str]) -> Iterator[tuple[str, str, int]]:
        for event in self._counters.events:
            for path in paths:
                for cache_id in self._held[path].get(event, ()):
                    yield path, event, cache_id

    def _take(self, path: str, event: str, cache_id: int, *, may_move: bool = False) -> None:
        """Give the group a counter if there is one, or if one may be moved from an idle group."""
        if self._held[path][event][cache_id]:
            return
        if may_move and self._free.get(cache_id, 0) <= 0:
            self._release_one(cache_id)
        if self._free.get(cache_id, 0) > 0:
            self._free[cache_id] -= 1
            self._held[path][event][cache_id] = True

    def _release_one(self, cache_id: int) -> None:
        """Release a counter of an idle group, the last event's first."""
        for event in reversed(self._counters.events):
            for path in sorted(self._idle):
                if self._held[path].get(event, {}).get(cache_id):
                    self._release(path, event, cache_id)
                    return

    def _release(self, path: str, event: str, cache_id: int) -> None:
        self._free[cache_id] = self._free.get(cache_id, 0) + self._held[path][event][cache_id]
        self._held[path][event][cache_id] = False


def _ranks(desired: Collection[DesiredGroup], idle: Collection[str]) -> dict[str, int]:
    """How early each group gets counters whose bandwidth a <monitor> requests; ``idle`` ones get none."""
    ranks = {}
    for group in desired:
        resources = {monitor.resource for monitor in group.monitors}
        if group.path not in idle and resources & {"memory", "cache"}:
            ranks[group.path] = 0 if "memory" in resources else 1
    return ranks


def _idle(desired: Iterable[DesiredGroup]) -> frozenset[str]:
    """Control groups whose vCPUs are all in their monitor groups, so that their own counters count nothing."""
    rest = {group.path: mask for group in desired if group.is_control and (mask := group.mask) is not None}
    for group in desired:
        mask = rest.get(group.parent)
        if mask and not group.is_control:
            rest[group.parent] = 0 if group.mask is None else mask & ~group.mask
    return frozenset(path for path, mask in rest.items() if not mask)


def _after(host: Host, steps: Iterable[Step]) -> Counters:
    counters = Counters(host)
    for step in steps:
        counters.follow(step)
    return counters


def _flat(assigned: Assigned) -> list[bool]:
    return [counter for row in assigned.values() for counter in row.values()]


def _both(before: Assigned, after: Assigned) -> Assigned:
    return {event: {i: counter and after[event][i] for i, counter in row.items()} for event, row in before.items()}


def _write(path: str, before: Assigned, after: Assigned) -> WriteFile:
    return WriteFile(f"{path}/{ASSIGNMENTS}", format_assignments(before), format_assignments(after))
