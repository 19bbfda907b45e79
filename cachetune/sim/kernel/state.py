"""The state of a simulated resctrl: groups, tasks and what the commands said.

``State`` only holds and moves values; the rules of each file stand in schemata, tasks, cpus and modes. A rule that
refuses raises ``RefusedError`` after it has said why in ``state.status``; nothing here knows of paths or of the port.
"""

import dataclasses
import errno
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn

from cachetune.sim.kernel.counters import Counters
from cachetune.sim.kernel.rmids import Rmids
from cachetune.sim.kernel.status import Status
from cachetune.sim.profile import CacheResource, KernelRules, Profile

Mode = Literal["shareable", "exclusive", "pseudo-locksetup", "pseudo-locked"]


class RefusedError(Exception):
    """The kernel refuses; ``errno`` is its answer."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode.get(number, str(number)))
        self.errno = number


@dataclasses.dataclass(frozen=True)
class Region:
    """The bits of one cache that a pseudo-locked group holds."""

    resource: CacheResource
    cache_id: int
    mask: int


@dataclasses.dataclass(eq=False)
class Group:
    """A control group (``parent`` is None) or a monitor group.

    ``values`` maps resource to cache id to mask or bandwidth. ``tids`` are the tasks whose innermost group this is.
    ``cpus`` of a monitor group are a part of its parent's. A pseudo-locked group has no CLOSID and no RMID.
    """

    name: str
    parent: "Group | None" = None
    mode: Mode = "shareable"
    closid: int | None = None
    rmid: int | None = None
    values: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    other_lines: tuple[str, ...] = ()
    tids: set[int] = dataclasses.field(default_factory=set)
    cpus: frozenset[int] = frozenset()
    monitors: dict[str, "Group"] = dataclasses.field(default_factory=dict)
    region: Region | None = None

    @property
    def control(self) -> "Group":
        """The control group that this group belongs to: itself or its parent."""
        return self.parent or self

    def members(self) -> Iterator["Group"]:
        """This group and its monitor groups."""
        yield self
        yield from self.monitors.values()


class State:
    """All that the simulated kernel knows.

    ``writer`` is the tid of whoever writes now. With ``takes_any_tid`` a task that was never born is one of the
    default group's when it is first named.
    """

    def __init__(self, profile: Profile, rules: KernelRules, clock: Callable[[], float], writer: int) -> None:
        self.profile, self.rules, self.clock, self.writer = profile, rules, clock, writer
        self.takes_any_tid = False
        self.status = Status()
        self.resources = profile.resources(rules)
        self.cpu_count = profile.cpu_count
        self.closids = min((r.closids for r in self.resources), default=1)
        self.counters = Counters(profile, clock)
        self.rmids = Rmids(profile, rules, clock, self.counters.occupancy)
        self.root = Group("", closid=0, rmid=0, values=self.defaults(), cpus=frozenset(range(self.cpu_count)))
        self.groups: dict[str, Group] = {"": self.root}
        self.tasks: dict[int, Group] = {}
        self.counters.start(self.root)

    def defaults(self) -> dict[str, dict[int, int]]:
        """No limit anywhere: what the default group starts with."""
        return {
            r.name: dict.fromkeys(r.ids, r.full if isinstance(r, CacheResource) else r.default) for r in self.resources
        }

    @property
    def caches(self) -> list[CacheResource]:
        """The resources with masks, in schemata's order."""
        return [r for r in self.resources if isinstance(r, CacheResource)]

    @property
    def cdp_mounted(self) -> bool:
        """Whether any cache is split into code and data."""
        return any(r.peer for r in self.caches)

    def refuse(self, message: str = "", *, number: int = errno.EINVAL) -> NoReturn:
        """Say why (a line that ends with a newline) and stop."""
        if message:
            self.status.say(message)
        raise RefusedError(number)

    def refuse_of(self, message: str, *, number: int = errno.EINVAL) -> NoReturn:
        """Like refuse, for a text with something of the caller's in it."""
        self.status.say_of(message)
        raise RefusedError(number)

    def allocated(self) -> Iterator[Group]:
        """The control groups that hold a CLOSID, the default group among them."""
        return (g for g in self.groups.values() if g.closid is not None)

    def free_closid(self) -> int | None:
        """The lowest CLOSID that no group holds."""
        held = {g.closid for g in self.allocated()}
        return next((c for c in range(self.closids) if c not in held), None)

    def locked_bits(self, resource: CacheResource, cache_id: int) -> int:
        """The bits of one cache that a pseudo-locked group holds."""
        regions = (g.region for g in self.groups.values() if g.region)
        return sum(r.mask for r in regions if r.resource.name == resource.name and r.cache_id == cache_id)

    def place(self, tid: int, group: Group) -> None:
        """Make a group the innermost one of a task."""
        old = self.tasks.get(tid)
        if old is not None:
            self.counters.settle(old)
            old.tids.discard(tid)
            self.counters.settle(old)
        self.counters.settle(group)
        group.tids.add(tid)
        self.counters.settle(group)
        self.tasks[tid] = group

    def set_value(self, group: Group, resource: str, cache_id: int, value: int) -> None:
        """Change one mask or bandwidth of a control group."""
        for member in group.members():
            self.counters.settle(member)
        group.values[resource][cache_id] = value
        for member in group.members():
            self.counters.settle(member)

    def drop(self, tid: int) -> None:
        """Forget a task."""
        group = self.tasks.pop(tid)
        self.counters.settle(group)
        group.tids.discard(tid)
        self.counters.settle(group)
