"""From the host's current state and the target allocations to the ordered steps between them.

The order is shrink, compact, create, grow, move, remove. A group becomes exclusive once all masks are written and
before threads move, so that a refusal moves none; it becomes shareable before everything else. At no moment does one of
our groups share ways with another group unless it does so in the target, except that a new group has no tasks but the
kernel's own masks until they are written.
What goes back to the default group then (``plan.giveback``) follows after all of them.
"""

from collections import Counter, deque
from collections.abc import Collection, Mapping
from types import MappingProxyType

import msgspec

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.host.bandwidth import as_written
from cachetune.host.model import DEFAULT_GROUP, Group, Host, is_monitor
from cachetune.host.resctrl.assignments import format_assignments
from cachetune.host.resctrl.schemata import format_schemata
from cachetune.plan.allocate.relocate import Moves
from cachetune.plan.allocation import Allocation
from cachetune.plan.exclusive import mode_writes
from cachetune.plan.groups.translate import DesiredGroup, Membership
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata


class Removal(msgspec.Struct, frozen=True):
    """Groups of ours to remove, and whether to do so first because the new groups need their ways or ids."""

    paths: tuple[str, ...] = ()
    first: bool = False


def steps_between(
    host: Host,
    desired: Collection[DesiredGroup],
    allocations: Mapping[str, Allocation],
    places: Mapping[int, Membership],
    removal: Removal,
    compacted: Moves = MappingProxyType({}),
) -> tuple[Step, ...]:
    """All steps, in order; empty when the host already is in the target state.

    ``compacted`` are the caches in which groups move, with the writes that lead to the target there.
    """
    modes = mode_writes(host, desired, allocations)
    shrinks, changes = _changes(host, allocations, compacted)
    shrinks += relocations(host, compacted)
    creates = _creates(host, desired, allocations)
    moves = moves_between(host, places, removal.paths)
    leaves = _leaves(host, removal.paths, () if removal.first else places)
    removes = [removal_of(host, path) for path in _inner_first(removal.paths)]
    if removal.first:
        moves = moves_between(_without(host, set(removal.paths)), places)
        return (*leaves, *removes, *modes.opening, *shrinks, *creates, *changes, *modes.closing, *moves)
    return (*modes.opening, *shrinks, *creates, *changes, *modes.closing, *moves, *leaves, *removes)


def writes_to(host: Host, allocations: Mapping[str, Allocation]) -> tuple[Step, ...]:
    """The writes that give existing groups other values: those that only give ways up first."""
    shrinks, changes = _changes(host, allocations, {})
    return (*shrinks, *changes)


def removal_of(host: Host, path: str) -> RemoveGroup:
    """The step that removes a group, with everything needed to make it again."""
    group = host.group(path)
    if group is None:
        return RemoveGroup(path, "")
    values = _format(host, group.masks, group.bandwidth)
    return RemoveGroup(path, values, group.cpus, group.mode, format_assignments(group.assignments))


def locations(host: Host, tids: Collection[int]) -> dict[int, Membership]:
    """Where the threads are now; a thread in no list is in the default group."""
    remaining = set(tids)
    found = {tid: Membership(DEFAULT_GROUP, None) for tid in tids}
    for group in (*host.control_groups(), *host.monitor_groups()):
        if group.path != DEFAULT_GROUP and not remaining.isdisjoint(group.tids):
            monitor = group.path if group.kind == "monitor" else None
            for tid in remaining.intersection(group.tids):
                found[tid] = Membership(group.parent, monitor)
    return found


def relocations(host: Host, compacted: Moves) -> list[WriteSchemata]:
    """The writes of all caches, each cache's in its order. Writes to one group share a step where that is possible."""
    queues = {place: deque(moves) for place, moves in compacted.items()}
    now = {
        path: group.masks
        for path in {p for moves in compacted.values() for p, _ in moves}
        if (group := host.group(path))
    }
    steps = []
    while heads := Counter(queue[0][0] for queue in queues.values() if queue):
        path = min(heads, key=lambda each: (-heads[each], each))
        masks = Masks.of(
            (*place, queue.popleft()[1]) for place, queue in queues.items() if queue and queue[0][0] == path
        )
        before = Masks.of((name, i, now[path].at(name, i) or Cbm(0)) for name, i in masks.places())
        steps.append(WriteSchemata(path, _format(host, before, Bandwidth()), _format(host, masks, Bandwidth())))
        now[path] = now[path].updated(masks)
    return steps


def _changes(host: Host, allocations: Mapping[str, Allocation], compacted: Moves) -> tuple[list[Step], list[Step]]:
    """Writes to groups that exist: those that only give ways up, and all others; the default group's first.

    What the writes of the compacted caches do is left to those.
    """
    moved = {(path, *place) for place, moves in compacted.items() for path, _ in moves}
    shrinks: list[Step] = []
    changes: list[Step] = []
    for path, target in sorted(allocations.items(), key=lambda item: item[0] != DEFAULT_GROUP):
        group = host.group(path)
        if group is None:
            continue
        smaller: list[tuple[str, int, Cbm]] = []
        other: list[tuple[str, int, Cbm]] = []
        for name, i, mask in target.masks.entries():
            before = _mask(group, name, i)
            if mask != before and (path, name, i) not in moved:
                (other if mask & ~before else smaller).append((name, i, mask))
        bandwidth = [(name, i, v) for name, i, v in target.bandwidth.entries() if group.bandwidth.at(name, i) != v]
        if smaller:
            shrinks.append(_write(host, group, Masks.of(smaller), Bandwidth()))
        if other or bandwidth:
            changes.append(_write(host, group, Masks.of(other), Bandwidth.of(bandwidth)))
    return shrinks, changes


def _write(host: Host, group: Group, masks: Masks, bandwidth: Bandwidth) -> WriteSchemata:
    old_masks = Masks.of((name, i, _mask(group, name, i)) for name, i in masks.places())
    known = ((name, i, group.bandwidth.at(name, i)) for name, i in bandwidth.places())
    old_bandwidth = Bandwidth.of((name, i, value) for name, i, value in known if value is not None)
    return WriteSchemata(group.path, _format(host, old_masks, old_bandwidth), _format(host, masks, bandwidth))


def _mask(group: Group, name: str, cache_id: int) -> Cbm:
    return group.masks.at(name, cache_id) or Cbm(0)


def _creates(host: Host, desired: Collection[DesiredGroup], allocations: Mapping[str, Allocation]) -> list[Step]:
    steps: list[Step] = []
    for group in desired:
        if host.group(group.path) is None:
            steps.append(CreateGroup(group.path))
            if group.request:
                new = allocations[group.path]
                steps.append(WriteSchemata(group.path, "", _format(host, new.masks, new.bandwidth)))
    return steps


def moves_between(host: Host, places: Mapping[int, Membership], removed: Collection[str] = ()) -> list[MoveTasks]:
    """Moves to control groups, then to monitor groups: the kernel requires that order.

    A thread leaves a monitor group that is ``removed`` by a move to its control group.
    """
    now = locations(host, places)
    to_control: dict[tuple[str, str], list[int]] = {}
    to_monitor: dict[tuple[str, str], list[int]] = {}
    for tid, place in places.items():
        here = now[tid]
        if here.control != place.control or (here.monitor in removed and not place.monitor):
            to_control.setdefault((place.control, here.monitor or here.control), []).append(tid)
            here = Membership(place.control, None)
        if place.monitor and here.monitor != place.monitor:
            to_monitor.setdefault((place.monitor, here.monitor or here.control), []).append(tid)
    moves = (*to_control.items(), *to_monitor.items())
    return [MoveTasks(path, source, tuple(sorted(tids))) for (path, source), tids in moves]


def _leaves(host: Host, paths: Collection[str], staying: Collection[int]) -> list[Step]:
    """Moves out of groups that are removed, to where rmdir would leave the threads, so that undo can move them back.

    ``staying`` are threads that an earlier step moves to their place.
    """
    steps: list[Step] = []
    removed = set(paths)
    for path in _inner_first(paths):
        group = host.group(path)
        if group is None:
            continue
        target = DEFAULT_GROUP if group.parent in removed else group.parent
        inside = {t for g in host.groups if g.path in removed and g.parent == path != g.path for t in g.tids}
        left = tuple(t for t in group.tids if t not in staying and t not in inside)
        if left:
            steps.append(MoveTasks(target, path, left))
    return steps


def _inner_first(paths: Collection[str]) -> list[str]:
    return sorted(paths, key=lambda path: (not is_monitor(path), path))


def _without(host: Host, paths: Collection[str]) -> Host:
    return msgspec.structs.replace(host, groups=tuple(g for g in host.groups if g.path not in paths))


def _format(host: Host, masks: Masks, bandwidth: Bandwidth) -> str:
    widths = {c.name: c.ways for c in host.caches}
    rows = {name: row for name, row in masks.items() if name in widths}
    return format_schemata(rows, as_written(host.bandwidths, bandwidth), widths)
