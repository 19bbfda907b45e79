"""The assignable counters of a host (AMD ABMC, MPAM) as steps leave them: what mkdir, rmdir and writes do to them.

Each cache has a number of counters, and each bandwidth event of a group takes one there. A new group gets one for each
of its events, in the kernel's order, while there are any and mbm_assign_on_mkdir is 1; mkdir does not fail without.
"""

from collections.abc import Mapping
from typing import assert_never

from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.resctrl.assignments import Assigned
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.plan.settings import ASSIGNMENTS, group_file, group_of_file
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata


class Counters:
    """Follows the counters of a host from step to step. Without assignable counters there is nothing to follow.

    ``free`` is by cache id. A group has an entry in ``held`` if its counters are known.
    """

    def __init__(self, host: Host) -> None:
        assignment = host.counter_assignment
        self.held: dict[str, Assigned] = {}
        self.free: dict[int, int] = {}
        self._on_mkdir = False
        self._none: Assigned = {}
        if assignment is None or not assignment.is_active:
            return
        self.held = {group.path: copy_of(group.assignments) for group in host.groups if group.assignments}
        events = host.default_group.assignments
        used = {i: sum(row.get(i, False) for held in self.held.values() for row in held.values()) for i in _ids(events)}
        self.free = {i: assignment.available.get(i, assignment.total.get(i, n) - n) for i, n in used.items()}
        self._on_mkdir = assignment.on_mkdir is not False
        self._none = {event: dict.fromkeys(row, False) for event, row in events.items()}

    @property
    def events(self) -> tuple[str, ...]:
        """The events that need counters, in the kernel's order."""
        return tuple(self._none)

    @property
    def serves_new_groups(self) -> bool:
        """Whether the kernel gives counters to a new group."""
        return self._on_mkdir

    def follow(self, step: Step) -> None:
        """Take a step; most kinds do not affect counters."""
        match step:
            case CreateGroup(path):
                self.create(path)
            case RemoveGroup(path):
                self.remove(path)
            case WriteFile(path, _, after):
                if group_file(path) == ASSIGNMENTS:
                    self.put(group_of_file(path) or DEFAULT_GROUP, parse_assignments(after).assigned)
            case WriteSchemata() | MoveTasks():
                pass
            case _:
                assert_never(step)

    def create(self, path: str) -> Assigned:
        """What a new group has after mkdir; empty where no counters are assigned."""
        if not self._none:
            return {}
        self.held[path] = copy_of(self._none)
        if self._on_mkdir:
            self.put(path, self.attainable(path, {e: dict.fromkeys(row, True) for e, row in self._none.items()}))
        return self.held[path]

    def remove(self, path: str) -> None:
        """Release the counters of a group that is removed."""
        self.put(path, self._none)
        self.held.pop(path, None)

    def put(self, path: str, assigned: Mapping[str, Mapping[int, bool]]) -> None:
        """Assign and release counters of a group, whether there are enough or not."""
        if path not in self.held:
            return
        for event, row in assigned.items():
            for cache_id, counter in row.items():
                self.free[cache_id] = self.free.get(cache_id, 0) + self.has(path, event, cache_id) - counter
                self.held[path].setdefault(event, {})[cache_id] = counter

    def has(self, path: str, event: str, cache_id: int) -> bool:
        """Whether a group's event has a counter."""
        return self.held.get(path, {}).get(event, {}).get(cache_id, False)

    def attainable(self, path: str, assigned: Assigned) -> Assigned:
        """The assignments that the group could have: without those for which there is no free counter."""
        found = copy_of(assigned)
        free = dict(self.free)
        entries = [(event, cache_id, counter) for event, row in found.items() for cache_id, counter in row.items()]
        for event, cache_id, counter in sorted(entries, key=lambda entry: entry[2]):  # releases come first
            gain = self.has(path, event, cache_id) - counter
            if gain < 0 and free.get(cache_id, 0) <= 0:
                found[event][cache_id] = False
            else:
                free[cache_id] = free.get(cache_id, 0) + gain
        return found


def _ids(assigned: Assigned) -> list[int]:
    return list(dict.fromkeys(cache_id for row in assigned.values() for cache_id in row))


def copy_of(assigned: Mapping[str, Mapping[int, bool]]) -> Assigned:
    """A copy that can be changed."""
    return {event: dict(row) for event, row in assigned.items()}
