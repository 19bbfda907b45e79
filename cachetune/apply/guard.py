"""What is checked under the lock before the first step: the right host, and only changes to the guests' own groups.

A plan is input like any other: it may be old, made elsewhere, or edited. So a dry run follows its steps on the current
host: each must start from the current values and lead to values that a plan of ours could have.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from cachetune.apply.guard_default import goal_problem
from cachetune.apply.guard_files import FileGuard
from cachetune.apply.rules import RULES
from cachetune.apply.state.ledger import GuestEntry, Ledger
from cachetune.cbm import Cbm, Masks
from cachetune.errors import ApplyRefusedError, MachineNameError
from cachetune.findings import Source
from cachetune.host.bandwidth import shows
from cachetune.host.model import DEFAULT_GROUP, Host, is_monitor, parent_of
from cachetune.host.resctrl.schemata import Schemata, merge, parse
from cachetune.host.usage import unexplained_ways
from cachetune.plan.allocate.relocate import movable_groups
from cachetune.plan.diff import removal_of
from cachetune.plan.group_state import GroupState, group_states
from cachetune.plan.groups.names import belongs_to, checked_machine_name, machine_of
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.ownership import made_by_libvirt, touched
from cachetune.plan.settings import group_of_file, is_writable
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata, effect_of

_UNREAD = ""  # stands for the groups whose masks cannot be read


def refused(rule: str, **values: Any) -> ApplyRefusedError:
    """The error for a rule of apply/rules.py."""
    return ApplyRefusedError(RULES[rule].at(Source(), **values))


def check_plan(plan: Plan, host: Host, ledger: Ledger, *, adopt: bool = False) -> None:
    """Raise ApplyRefusedError unless the plan may be applied to the host in its current state.

    ``adopt`` allows changes to groups that libvirt created for these guests.
    """
    check_names(plan, host, ledger)
    if plan.host_fingerprint != host.fingerprint:
        raise refused("CT501", changes=_changes(plan.host_groups, group_states(host)))
    if what := goal_problem(plan, host, ledger):
        raise refused("CT504", number=0, what=what)
    dry_run = DryRun(plan, host, ledger)
    for number, step in enumerate(plan.steps, 1):
        if what := dry_run.follow(step):
            raise refused("CT504", number=number, what=what)
    if path := dry_run.left_with_all_ways():
        raise refused("CT504", number=len(plan.steps), what=f"leave the new group {path} with foreign ways")
    theirs = touched(plan.steps, (*made_by_libvirt(host, plan.guests), *_moved_by_adoption(plan, host)))
    if theirs and not adopt:
        raise refused("CT508", groups=", ".join(theirs))


def _moved_by_adoption(plan: Plan, host: Host) -> list[str]:
    """The groups of libvirt, of whatever guest, that move to make room."""
    movable = movable_groups(host, adopt=True, default=False).paths
    moved = (host.group(each.path) for each in plan.moved if each.path in movable)
    return [group.path for group in moved if group and group.owner == "libvirt"]


def check_names(plan: Plan, host: Host, ledger: Ledger) -> None:
    """Raise ApplyRefusedError for an invalid machine name, or one under which another guest has groups."""
    for guest in plan.guests:
        try:
            checked_machine_name(guest.machine_name)
        except MachineNameError as error:
            raise refused("CT504", number=0, what=f"use an invalid machine name: {error}") from None
        only_removed = not guest.name and not plan.groups  # removed by machine name alone
        other = ledger.guests.get(guest.machine_name)
        in_use = other and any(host.group(path) for path in other.groups)
        if other and in_use and not only_removed and not _is_same(guest, other):
            raise refused("CT505", machine=guest.machine_name, other=_words(other))
    _check_groups(plan, ledger)


def _check_groups(plan: Plan, ledger: Ledger) -> None:
    """A name alone does not identify the guest: web's group ``db`` has the same name as the group of web-db."""
    owner_of = {path: owner for owner, entry in ledger.guests.items() for path in entry.groups}
    effects = [effect_of(step) for step in plan.steps]
    changed = (path for effect in effects for path in (effect.created, effect.removed) if path)
    for path in (*(group.path for group in plan.groups), *changed):
        owner = owner_of.get(path)
        if owner is not None and owner not in plan.machine_names:
            raise refused("CT505", machine=path, other=_words(ledger.guests[owner]))


def _is_same(guest: PlanGuest, entry: GuestEntry) -> bool:
    """An unknown uuid matches any: XML in files often has no uuid."""
    return guest.name == entry.name and (None in (guest.uuid, entry.uuid) or guest.uuid == entry.uuid)


def _words(entry: GuestEntry) -> str:
    name = f"the guest {entry.name!r}" if entry.name else "a guest without a name"
    return f"{name} (uuid {entry.uuid})" if entry.uuid else name


def _changes(before: Mapping[str, GroupState], now: Mapping[str, GroupState]) -> str:
    """What has changed, group by group."""
    changes = [f"group {p} is new" for p in now if p not in before]
    changes += [f"group {p} was removed" for p in before if p not in now]
    changes += [f"group {p} was '{before[p]}' and is '{now[p]}'" for p in now if before.get(p, now[p]) != now[p]]
    return "; ".join(changes) or "its resources or mount options differ"


class DryRun:
    """The host as the steps so far would leave it. ``follow`` names what a step does that no plan of ours would do."""

    def __init__(self, plan: Plan, host: Host, ledger: Ledger) -> None:
        self._machines, self._host = plan.machine_names, host
        self._for_default = plan.default_group is not None
        self._shared = ledger.shrunk.shared if ledger.shrunk else Masks()
        self._known = {t.tid for t in plan.threads}
        self._values: dict[str, Schemata] = {}
        self._holders: dict[tuple[str, int], dict[Cbm, set[str]]] = defaultdict(lambda: defaultdict(set))
        for group in host.control_groups():
            self._put(group.path, Schemata(group.masks, group.bandwidth))
        self._groups = {g.path: g for g in host.groups}
        self._files = FileGuard(host, self._groups, self._masks)
        owned = {path for machine in self._machines for path in ledger.groups_of(machine)}
        ours = (g.path for g in host.groups if g.owner == "cachetune")
        self._own = {p for p in ours if p in owned or any(belongs_to(p, machine) for machine in self._machines)}
        self._own.update(made_by_libvirt(host, plan.guests))
        self._moved = movable_groups(host, adopt=True, default=False).paths & {each.path for each in plan.moved}
        for cache in host.caches:
            for cache_id in cache.size_bytes:
                unread = unexplained_ways(host, cache, cache_id, self._own)
                self._holders[cache.name, cache_id][unread].add(_UNREAD)
        self._foreign_monitors = {parent_of(p): p for p in self._groups if is_monitor(p) and p not in self._own}
        self._location: dict[int, str] = {}
        for group in sorted(host.groups, key=lambda g: g.kind):  # monitor groups last: they are more specific
            self._location.update(dict.fromkeys(group.tids, group.path))

    def follow(self, step: Step) -> str:
        """Take the step in the dry run: "" if it is allowed, or what it would do."""
        if why := next((why for path in effect_of(step).groups if (why := _bad_path(path))), ""):
            return why
        match step:
            case CreateGroup(path):
                return self._create(path)
            case WriteSchemata(path, before, after):
                return self._write(path, parse(before), parse(after))
            case WriteFile():
                return self._write_file(step)
            case MoveTasks(path, source, tids):
                return self._move(path, source, tids)
            case RemoveGroup(path):
                return self._remove(path, step)
            case _:
                assert_never(step)

    def left_with_all_ways(self) -> str:
        """A group that is created but not given masks for all caches, so that it keeps the kernel's; "" for none."""
        caches = {(control.name, cache_id) for control in self._host.caches for cache_id in control.size_bytes}
        made = (path for path in self._values if self._host.group(path) is None)
        return next((path for path in made if not caches <= _entries(self._values[path])), "")

    def _create(self, path: str) -> str:
        parent = parent_of(path)
        if path in self._groups:
            return f"create group {path}, which already exists"
        if not machine_of(path, self._machines):
            return f"create group {path}, whose name does not begin with {' or '.join(self._machines)}"
        if is_monitor(path) and parent != DEFAULT_GROUP and parent not in self._own:
            return f"create a monitor group in {parent}, which is not this guest's"
        self._own.add(path)
        self._files.create(path)
        if not is_monitor(path):
            self._put(path, Schemata())
        return ""

    def _write(self, path: str, before: Schemata, after: Schemata) -> str:
        now = self._values.get(path)
        if path not in self._own and path not in self._moved and not self._is_ours(path):
            return f"write to group {path}, which is not this guest's"
        if now is None or after.other_lines or not (after.masks or after.bandwidth):
            return f"write something other than masks and bandwidth to {path}"
        if not shows(self._host.bandwidths, now, before) or _entries(before) != _entries(after) & _entries(now):
            return f"change {path} from values that it does not have"
        if path not in self._own and after.bandwidth and not (self._for_default and path == DEFAULT_GROUP):
            return f"change more than the masks of group {path}"
        for name, cache_id, mask in after.masks.entries():
            if not self._may_have(path, name, cache_id, mask):
                return f"give group {path} the mask {mask:x} on {name} cache {cache_id}"
        self._put(path, merge(now, after))
        exclusive = [group.path for group in self._groups.values() if group.mode == "exclusive"]
        if after.masks and (why := next((why for each in exclusive if (why := self._files.shares(each))), "")):
            return f"give group {path} ways that are not its own in mode exclusive: {why}"
        return ""

    def _masks(self) -> dict[str, Masks]:
        return {path: values.masks for path, values in self._values.items()}

    def _write_file(self, step: WriteFile) -> str:
        path, group = step.path, group_of_file(step.path)
        if not is_writable(path):
            return f"write to {path!r}, which no plan may change"
        if group is not None and group not in self._own:
            return f"write to {path}, which is not this guest's"
        return self._files.follow(step)

    def _put(self, path: str, values: Schemata) -> None:
        """Give a group these values. Groups that follow the default group do not hold ways themselves."""
        for name, cache_id, mask in self._values.get(path, Schemata()).masks.entries():
            self._holders[name, cache_id][mask].discard(path)
        self._values[path] = values
        for name, cache_id, mask in values.masks.entries():
            if path != DEFAULT_GROUP and not self._follows(path, name, cache_id):
                self._holders[name, cache_id][mask].add(path)

    def _may_have(self, path: str, name: str, cache_id: int, mask: Cbm) -> bool:
        """Whether the mask has only ways that no other group holds, or equals the default group's mask.

        A group of another guest may only follow the default group, or move without having fewer ways.
        """
        default = self._mask(DEFAULT_GROUP, name, cache_id)
        now = self._mask(path, name, cache_id)
        others = 0
        for theirs, paths in self._holders[name, cache_id].items():
            if len(paths) > (path in paths):
                others |= theirs
        if path == DEFAULT_GROUP:
            return bool(mask) and mask & ~now & others & ~(self._shared.at(name, cache_id) or 0) == 0
        if path in self._own:
            return mask == default or mask & (others | default) == 0
        if self._follows(path, name, cache_id):
            return mask == default
        had = self._host.group(path)
        ways = (had and had.masks.at(name, cache_id)) or Cbm(0)
        return path in self._moved and mask.bit_count() >= ways.bit_count() and mask & (others | default) == 0

    def _follows(self, path: str, name: str, cache_id: int) -> bool:
        """Whether a group of ours shares the default group's ways on the host."""
        group, default = self._host.group(path), self._host.default_group.masks.at(name, cache_id)
        ours = group is not None and group.owner == "cachetune"
        return group is not None and ours and group.masks.at(name, cache_id) == default

    def _is_ours(self, path: str) -> bool:
        group = self._host.group(path)
        return group is not None and group.owner in ("default", "cachetune")

    def _mask(self, path: str, name: str, cache_id: int) -> Cbm:
        return self._values[path].masks.at(name, cache_id) or Cbm(0)

    def _move(self, path: str, source: str, tids: Sequence[int]) -> str:
        if path != DEFAULT_GROUP and path not in self._own:
            return f"move threads to group {path}, which is not this guest's"
        for tid in tids:
            here = self._location.get(tid)
            if here is None:
                continue  # it has ended
            if here != source:
                raise refused("CT501", changes=f"thread {tid} was in group {source} and is in {here}")
            if tid not in self._known and here not in self._own:
                return f"move thread {tid}, which is not this guest's"
            self._location[tid] = path
        return ""

    def _remove(self, path: str, step: RemoveGroup) -> str:
        if path not in self._own:
            return f"remove group {path}, which is not this guest's"
        if self._host.group(path) and step != removal_of(self._host, path):
            return f"remove {path} with values that it does not have"
        if path in self._foreign_monitors:
            return f"remove {self._foreign_monitors[path]}, which is not this guest's, together with {path}"
        self._own.discard(path)
        self._files.remove(path)
        self._put(path, Schemata())
        del self._values[path]
        return ""


def _entries(values: Schemata) -> set[tuple[str, int]]:
    return values.masks.places() | values.bandwidth.places()


def _bad_path(path: str) -> str:
    parts = path.split("/")
    if path != DEFAULT_GROUP and (not all(parts) or ".." in parts or "." in parts or "\0" in path or "\n" in path):
        return f"use the path {path!r}, which leaves the resctrl root or cannot be a group"
    if len(parts) > 1 and (len(parts) > 3 or parts[-2] != "mon_groups"):
        return f"use the path {path!r}, which is not that of a group"
    return ""
