"""From the host as it is and the values it shall have to the ordered steps between them.

The order: shrink, create, grow, move, remove. At no moment does a group of ours share ways with another that it shall
not share in the end, save for the moment in which a new group still has the kernel's own masks and no task.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import DEFAULT_GROUP, Group, Host, is_monitor
from cachetune.host.resctrl.schemata import Masks, format_schemata, parse
from cachetune.plan.allocate.target import Values
from cachetune.plan.groups.translate import DesiredGroup, Membership
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata


class Removal(msgspec.Struct, frozen=True):
    """Groups of ours to remove, and whether their ways and ids are needed before the new groups can be made."""

    paths: tuple[str, ...] = ()
    first: bool = False


def steps_between(
    host: Host,
    wanted: Collection[DesiredGroup],
    values: Mapping[str, Values],
    places: Mapping[int, Membership],
    removal: Removal,
) -> tuple[Step, ...]:
    """All steps, in order; none when the host is already as wanted."""
    shrinks, changes = _changes(host, values)
    creates = _creates(host, wanted, values)
    moves = moves_between(host, places, removal.paths)
    leaves = _leaves(host, removal.paths, () if removal.first else places)
    removes = [removal_of(host, path) for path in _inner_first(removal.paths)]
    if removal.first:
        gone = set(removal.paths)
        moves = moves_between(_without(host, gone), places)
        return (*leaves, *removes, *shrinks, *creates, *changes, *moves)
    return (*shrinks, *creates, *changes, *moves, *leaves, *removes)


def removal_of(host: Host, path: str) -> RemoveGroup:
    """The step that removes a group, with all that is needed to make it again."""
    group = host.group(path)
    if group is None:
        return RemoveGroup(path, "")
    return RemoveGroup(path, _format(host, group.masks, group.bandwidth), group.cpus, group.mode)


def describe_groups(host: Host) -> dict[str, str]:
    """What the fingerprint covers of each group in words, so that apply can say what has changed since."""
    return {group.path: " ".join(_words(group)) for group in host.groups}


def masks_described(groups: Mapping[str, str]) -> dict[str, Masks]:
    """The masks of each group in such words."""
    return {path: parse(words.replace(" ", "\n")).masks for path, words in groups.items()}


def _words(group: Group) -> Iterator[str]:
    for name, masks in group.masks.items():
        yield f"{name}:" + ";".join([f"{i}={mask:x}" for i, mask in masks.items()])
    for name, nodes in group.bandwidth.items():
        yield f"{name}:" + ";".join([f"{i}={value}" for i, value in nodes.items()])
    yield from group.other_lines
    yield group.mode
    if group.cpus:
        yield f"cpus {group.cpus}"


def locations(host: Host, tids: Collection[int]) -> dict[int, Membership]:
    """Where the threads are now; a thread in no list is in the default group."""
    wanted = set(tids)
    found = {tid: Membership(DEFAULT_GROUP, None) for tid in tids}
    for group in sorted(host.groups, key=lambda g: g.kind):  # "control" sorts before "monitor"
        if group.path != DEFAULT_GROUP:
            monitor = group.path if group.kind == "monitor" else None
            for tid in wanted.intersection(group.tids):
                found[tid] = Membership(group.parent, monitor)
    return found


def _changes(host: Host, values: Mapping[str, Values]) -> tuple[list[Step], list[Step]]:
    """Writes to groups that exist: those that only give ways up, and all others; the default group leads."""
    shrinks: list[Step] = []
    changes: list[Step] = []
    for path, wanted in sorted(values.items(), key=lambda item: item[0] != DEFAULT_GROUP):
        now = host.group(path)
        if now is None:
            continue
        smaller: dict[str, dict[int, Cbm]] = {}
        other: dict[str, dict[int, Cbm]] = {}
        for name, masks in wanted.masks.items():
            for cache_id, mask in masks.items():
                before = now.masks.get(name, {}).get(cache_id, Cbm(0))
                if mask != before:
                    into = smaller if mask & ~before == 0 else other
                    into.setdefault(name, {})[cache_id] = mask
        bandwidth = {
            name: {i: v for i, v in nodes.items() if now.bandwidth.get(name, {}).get(i) != v}
            for name, nodes in wanted.bandwidth.items()
        }
        if smaller:
            shrinks.append(_write(host, now, smaller, {}))
        if other or any(bandwidth.values()):
            changes.append(_write(host, now, other, bandwidth))
    return shrinks, changes


def _write(
    host: Host, now: Group, masks: Mapping[str, Mapping[int, Cbm]], bandwidth: Mapping[str, Mapping[int, int]]
) -> WriteSchemata:
    before = _format(
        host,
        {name: {i: now.masks.get(name, {}).get(i, Cbm(0)) for i in of} for name, of in masks.items()},
        {
            name: {i: v for i in of if (v := now.bandwidth.get(name, {}).get(i)) is not None}
            for name, of in bandwidth.items()
        },
    )
    return WriteSchemata(now.path, before, _format(host, masks, bandwidth))


def _creates(host: Host, wanted: Collection[DesiredGroup], values: Mapping[str, Values]) -> list[Step]:
    steps: list[Step] = []
    for group in wanted:
        if host.group(group.path) is None:
            steps.append(CreateGroup(group.path))
            if group.request:
                new = values[group.path]
                steps.append(WriteSchemata(group.path, "", _format(host, new.masks, new.bandwidth)))
    return steps


def moves_between(host: Host, places: Mapping[int, Membership], gone: Collection[str] = ()) -> list[MoveTasks]:
    """Threads to their control groups, then to their monitor groups: the kernel demands that order.

    A thread whose monitor group is about to go leaves it by a move to its control group.
    """
    now = locations(host, places)
    to_control: dict[tuple[str, str], list[int]] = {}
    to_monitor: dict[tuple[str, str], list[int]] = {}
    for tid, place in places.items():
        here = now[tid]
        if here.control != place.control or (here.monitor in gone and not place.monitor):
            to_control.setdefault((place.control, here.monitor or here.control), []).append(tid)
            here = Membership(place.control, None)
        if place.monitor and here.monitor != place.monitor:
            to_monitor.setdefault((place.monitor, here.monitor or here.control), []).append(tid)
    moves = (*to_control.items(), *to_monitor.items())
    return [MoveTasks(path, source, tuple(sorted(tids))) for (path, source), tids in moves]


def _leaves(host: Host, paths: Collection[str], staying: Collection[int]) -> list[Step]:
    """Threads out of groups that go, to where rmdir would leave them, so that undoing can put them back.

    ``staying`` are threads that have been moved to their place already.
    """
    steps: list[Step] = []
    gone = set(paths)
    for path in _inner_first(paths):
        group = host.group(path)
        if group is None:
            continue
        goal = DEFAULT_GROUP if group.parent in gone else group.parent
        inside = {t for g in host.groups if g.path in gone and g.parent == path != g.path for t in g.tids}
        left = tuple(t for t in group.tids if t not in staying and t not in inside)
        if left:
            steps.append(MoveTasks(goal, path, left))
    return steps


def _inner_first(paths: Collection[str]) -> list[str]:
    return sorted(paths, key=lambda path: (not is_monitor(path), path))


def _without(host: Host, gone: Collection[str]) -> Host:
    return msgspec.structs.replace(host, groups=tuple(g for g in host.groups if g.path not in gone))


def _format(host: Host, masks: Mapping[str, Mapping[int, int]], bandwidth: Mapping[str, Mapping[int, int]]) -> str:
    widths = {c.name: c.ways for c in host.caches}
    return format_schemata({name: of for name, of in masks.items() if name in widths}, bandwidth, widths)
