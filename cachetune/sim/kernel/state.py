"""The state of a simulated resctrl: groups, tasks and last_cmd_status.

``State`` only holds and moves values; the rules of each file are in schemata, tasks, cpus and modes. A rule that
refuses writes its reason to ``state.status`` and raises RefusedError. It does not deal with paths or the port.
"""

import dataclasses
import errno
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn

from cachetune.sim.kernel.assignments import Assignments, assign_on_mkdir
from cachetune.sim.kernel.counters import Counters
from cachetune.sim.kernel.rmids import Rmids
from cachetune.sim.kernel.status import Status
from cachetune.sim.profile import Profile, Telemetry
from cachetune.sim.resources import CacheResource, resources_of
from cachetune.sim.rules import KernelRules
from cachetune.sim.workloads import Workloads

Mode = Literal["shareable", "exclusive", "pseudo-locksetup", "pseudo-locked"]


class RefusedError(Exception):
    """The kernel refuses the operation with ``errno``."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode.get(number, str(number)))
        self.errno = number


@dataclasses.dataclass(frozen=True)
class Region:
    """The bits of one cache that a pseudo-locked group has."""

    resource: CacheResource
    cache_id: int
    mask: int


@dataclasses.dataclass
class IoAlloc:
    """What I/O devices may fill: the CLOSID that is theirs while it is on, and its masks by id, none while off."""

    closid: int
    masks: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False)
class Group:
    """A control group (``parent`` is None) or a monitor group.

    ``values`` maps resource and cache id to mask or bandwidth. ``tids`` are the tasks whose innermost group this is.
    ``cpus`` of a monitor group are a subset of its parent's. A pseudo-locked group has no CLOSID and no RMID.
    ``mbps_event`` None is the processor's first event. ``other_lines`` of schemata and ``other_tasks`` are only shown.
    """

    name: str
    parent: "Group | None" = None
    mode: Mode = "shareable"
    closid: int | None = None
    rmid: int | None = None
    values: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    other_lines: tuple[str, ...] = ()
    other_tasks: tuple[str, ...] = ()
    tids: set[int] = dataclasses.field(default_factory=set)
    cpus: frozenset[int] = frozenset()
    monitors: dict[str, "Group"] = dataclasses.field(default_factory=dict)
    region: Region | None = None
    mbps_event: str | None = None

    @property
    def path(self) -> str:
        """The path of its directory; "." is the default group."""
        if self.parent is None:
            return self.name or "."
        return f"{self.parent.name}/mon_groups/{self.name}".removeprefix("/")

    @property
    def control(self) -> "Group":
        """This group if it is a control group, otherwise its parent."""
        return self.parent or self

    def members(self) -> Iterator["Group"]:
        """This group and its monitor groups."""
        yield self
        yield from self.monitors.values()


class State:
    """The whole state of the simulated kernel.

    ``writer`` is the tid of the current writer. With ``takes_any_tid`` every tid exists, at first in the default group.
    """

    def __init__(
        self,
        profile: Profile,
        rules: KernelRules,
        clock: Callable[[], float],
        writer: int,
        workloads: Workloads,
    ) -> None:
        self.profile, self.rules, self.clock, self.writer = profile, rules, clock, writer
        self.takes_any_tid = False
        self.workloads = workloads
        self.status = Status(marks_truncation=rules.truncation_marked)
        self.resources = resources_of(profile, rules)
        self.cpu_count = profile.cpu_count
        self.closids = min((r.closids for r in self.resources), default=1)
        self.io = next((IoAlloc(cache.closids - 1) for cache in self.caches if cache.io_alloc), None)
        self.domains = profile.monitor_domains(rules)
        self.assignments = Assignments(profile, rules, self.domains)
        self.counters = Counters(profile, self.domains, clock, self.assignments.counts, self.all_groups, workloads)
        self.rmids = Rmids(profile, rules, self.domains, clock, self.counters.occupancy)
        self.root = Group("", closid=0, rmid=0, values=self.defaults(), cpus=frozenset(range(self.cpu_count)))
        self.groups: dict[str, Group] = {"": self.root}
        self.tasks: dict[int, Group] = {}
        self.counters.start(self.root)
        assign_on_mkdir(self, self.root)
        self.status.clear()

    def defaults(self) -> dict[str, dict[int, int]]:
        """Return values without any limit, which the default group starts with."""
        return {
            r.name: dict.fromkeys(r.ids, r.full if isinstance(r, CacheResource) else r.default) for r in self.resources
        }

    @property
    def can_monitor(self) -> bool:
        """Whether groups have RMIDs and mon_data."""
        return self.profile.monitoring is not None or self.telemetry is not None

    @property
    def telemetry(self) -> Telemetry | None:
        """The telemetry of the packages, if the kernel knows it."""
        return self.profile.telemetry if self.rules.telemetry else None

    @property
    def caches(self) -> list[CacheResource]:
        """The resources with masks, in the order of schemata."""
        return [r for r in self.resources if isinstance(r, CacheResource)]

    @property
    def cdp_mounted(self) -> bool:
        """Whether any cache is split into code and data."""
        return any(r.peer for r in self.caches)

    def refuse(self, message: str = "", *, number: int = errno.EINVAL) -> NoReturn:
        """Write the reason (a line with its newline) to last_cmd_status and raise RefusedError."""
        if message:
            self.status.append(message)
        raise RefusedError(number)

    def refuse_input(self, file: str, number: int = errno.EINVAL) -> NoReturn:
        """Refuse a text that a file does not accept at all, such as one without its final newline."""
        self.refuse(f"{file}: Invalid input\n" if self.rules.invalid_input_texts else "", number=number)

    def refuse_formatted(self, message: str, *, number: int = errno.EINVAL) -> NoReturn:
        """Like refuse, for a text that includes the caller's input."""
        self.status.append_formatted(message)
        raise RefusedError(number)

    def all_groups(self) -> Iterator[Group]:
        """Return all groups, each control group before its monitor groups."""
        return (member for control in self.groups.values() for member in control.members())

    def allocated(self) -> Iterator[Group]:
        """Return the control groups with a CLOSID, including the default group."""
        return (g for g in self.groups.values() if g.closid is not None)

    def io_masks(self, cache: CacheResource) -> dict[int, int]:
        """Return the masks of io_alloc in a cache by id, none while it is off."""
        return self.io.masks if self.io is not None and cache.io_alloc else {}

    def free_closid(self) -> int | None:
        """Return the lowest free CLOSID, or None; of those with their own RMIDs, the one with the fewest in limbo."""
        held = {g.closid for g in self.allocated()}
        if self.io is not None and self.io.masks:
            held.add(self.io.closid)
        free = [closid for closid in range(self.closids) if closid not in held]
        return min(free, key=self.rmids.in_limbo, default=None)

    def locked_bits(self, resource: CacheResource, cache_id: int) -> int:
        """Return the bits of one cache that pseudo-locked groups have."""
        regions = (g.region for g in self.groups.values() if g.region)
        return sum(r.mask for r in regions if r.resource.name == resource.name and r.cache_id == cache_id)

    def place(self, tid: int, group: Group) -> None:
        """Move a task to a group, which becomes its innermost."""
        self.counters.change()
        old = self.tasks.get(tid)
        if old is not None:
            old.tids.discard(tid)
            self.counters.task_seconds.settle(old)
        group.tids.add(tid)
        self.counters.task_seconds.settle(group)
        self.tasks[tid] = group

    def set_value(self, group: Group, resource: str, cache_id: int, value: int) -> None:
        """Set one mask or bandwidth of a control group."""
        self.counters.change()
        group.values[resource][cache_id] = value

    def drop(self, tid: int) -> None:
        """Remove a task."""
        self.counters.change()
        self.workloads.forget(tid)
        group = self.tasks.pop(tid)
        group.tids.discard(tid)
        self.counters.task_seconds.settle(group)
