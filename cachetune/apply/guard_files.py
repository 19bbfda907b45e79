"""The part of the dry run that follows ``write_file`` steps: which file, from which value, to which value.

A step must be undone by writing ``before``, so it may not have side effects that this would leave behind. CPUs must
come from the group that gets them back: the default group for a control group, the control group for a monitor group.
Counters must be free, and a group that becomes exclusive must share no ways.
"""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Literal, assert_never

from msgspec.structs import replace

from cachetune.cbm import Masks
from cachetune.host.model import DEFAULT_GROUP, Group, Host, is_monitor, parent_of
from cachetune.host.resctrl.assignments import format_assignments
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.idset import format_ids, numbered, parse_cpu_list
from cachetune.plan.counters import Counters, copy_of
from cachetune.plan.exclusive import overlap_of
from cachetune.plan.settings import ASSIGNMENTS, group_file, group_of_file, is_value, value_in, value_on
from cachetune.plan.steps import WriteFile


class FileGuard:
    """Follows writes to files. ``groups`` are those of the dry run, by path; it shares and updates them.

    ``masks`` returns the masks of the control groups at the moment, by path.
    """

    def __init__(
        self, host: Host, groups: MutableMapping[str, Group], masks: Callable[[], Mapping[str, Masks]]
    ) -> None:
        self._host, self._groups, self._masks = host, groups, masks
        self._counters = Counters(host)
        self._settings: dict[str, str] = {}

    def follow(self, step: WriteFile) -> str:
        """Follow a step on a file that may be written: "" if it is allowed, or what it would do."""
        path, before, after = step.path, step.before, step.after
        if before != self.now(path):
            return f"change {path} from a value that it does not have"
        if not (is_value(path, before) and is_value(path, after)):
            return f"change {path} from {before!r} to {after!r}"
        if why := self.obstacle(path, after):
            return f"write {after} to {path}, but {why}"
        self.write(path, after)
        return ""

    def obstacle(self, path: str, value: str) -> str:
        """What keeps the file from having this value, such as another group; "" for nothing."""
        group = self._group(path)
        if group is None:
            return ""
        match group_file(path):
            case "cpus_list":
                return self._obstacle(group, parse_cpu_list(value))
            case "mbm_L3_assignments":
                return self._lacks(group, value)
            case "mode":
                return self.shares(group.path) if value == "exclusive" else ""
            case None:
                return ""
            case file:
                assert_never(file)

    def shares(self, path: str) -> str:
        """What keeps a group from being exclusive: the ways that it shares at the moment; "" for nothing."""
        masks = {group: masks for group, masks in self._masks().items() if group in self._groups}
        return str(overlap_of(path, masks, self._host.caches) or "")

    def attainable(self, path: str, value: str) -> str:
        """The value, without counters that other groups have."""
        if group_file(path) != ASSIGNMENTS:
            return value
        wanted = parse_assignments(value).assigned
        return format_assignments(self._counters.attainable(group_of_file(path) or "", wanted))

    def write(self, path: str, value: str) -> None:
        """Give the file this value."""
        group = self._group(path)
        if group is None:
            self._settings[path] = value
            return
        match group_file(path):
            case "mode":
                self._groups[group.path] = replace(group, mode=value)
            case "cpus_list":
                self._assign(group, parse_cpu_list(value))
            case "mbm_L3_assignments":
                assigned = parse_assignments(value).assigned
                self._counters.put(group.path, assigned)
                self._groups[group.path] = replace(group, assignments=assigned)
            case None:
                pass
            case file:
                assert_never(file)

    def create(self, path: str) -> None:
        """Create a group; the kernel may assign counters to it."""
        kind: Literal["monitor", "control"] = "monitor" if is_monitor(path) else "control"
        self._groups[path] = Group(path, kind, "cachetune", assignments=copy_of(self._counters.create(path)))

    def remove(self, path: str) -> None:
        """Remove the group; its CPUs return to the default group, and its counters are free."""
        group = self._groups.get(path)
        if group is not None and not is_monitor(path):
            self._assign(group, frozenset())
        self._groups.pop(path, None)
        self._counters.remove(path)

    def _group(self, path: str) -> Group | None:
        return self._groups.get(group_of_file(path) or "")

    def now(self, path: str) -> str | None:
        """The value of the file as the steps so far would leave it; None where there is no such file."""
        group = group_of_file(path)
        if group is None:
            return self._settings.get(path) or value_on(self._host, path)
        return value_in(self._groups[group], path) if group in self._groups else None

    def _obstacle(self, group: Group, cpus: frozenset[int]) -> str:
        """Why the group cannot have these CPUs, or would not get the old ones back."""
        new = cpus - _cpus(group)
        if missing := new - _cpus(self._groups[_source(group)]):
            return f"CPUs {format_ids(missing)} are not free"
        for monitor in (g for g in self._groups.values() if is_monitor(g.path) and g.path != group.path):
            loses = _cpus(monitor) & new if parent_of(monitor.path) == _source(group) else frozenset()
            if monitor.parent == group.path:
                loses = _cpus(monitor)
            if loses:
                return f"{monitor.path} would lose CPUs {format_ids(loses)}"
        return ""

    def _lacks(self, group: Group, value: str) -> str:
        """Why the group cannot have these counters."""
        wanted, now = parse_assignments(value).assigned, group.assignments
        if {event: set(row) for event, row in wanted.items()} != {event: set(row) for event, row in now.items()}:
            return "it has other events or caches"
        most = self._counters.attainable(group.path, wanted)
        lacking = {i for event, row in wanted.items() for i, counter in row.items() if counter != most[event][i]}
        return f"no counter is left on {numbered('L3 cache', lacking)}" if lacking else ""

    def _assign(self, group: Group, cpus: frozenset[int]) -> None:
        before = _cpus(group)
        self._groups[group.path] = replace(group, cpus=format_ids(cpus))
        if not is_monitor(group.path):
            default = self._groups[DEFAULT_GROUP]
            left = _cpus(default) - cpus | before - cpus
            self._groups[DEFAULT_GROUP] = replace(default, cpus=format_ids(left))


def _source(group: Group) -> str:
    """The group that CPUs come from and return to."""
    return parent_of(group.path) if is_monitor(group.path) else DEFAULT_GROUP


def _cpus(group: Group) -> frozenset[int]:
    """The group's CPUs; empty if the list cannot be read, so that none are taken from it."""
    try:
        return parse_cpu_list(group.cpus)
    except ValueError:
        return frozenset()
