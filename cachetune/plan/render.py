"""A plan as text for people. Each line has a mark for its kind of change, so that a terminal can color it.

Marks: "+" created, "~" changed, "-" removed, ">" threads that move, " " unchanged or an explanation, "#" the legend of
the pictures, "" the summary. ``indent`` is that of the rest of a line that is wider than the terminal.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import reduce
from itertools import zip_longest
from typing import NamedTuple, assert_never

from cachetune.cbm import Cbm, Masks, largest_run
from cachetune.guests.model import Thread
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.host.resctrl.schemata import Schemata, folded, merge, parse
from cachetune.idset import format_ids, numbered
from cachetune.picture import legend
from cachetune.plan.bandwidth import with_unit
from cachetune.plan.groups.names import is_libvirts_name, scope_of
from cachetune.plan.model import NO_GUEST, MovedGroup, Plan, PlannedGroup, Resource, Usage
from cachetune.plan.pictures import Cell, Pictures
from cachetune.plan.settings import ASSIGNMENTS, group_file, group_of_file
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata
from cachetune.text import count, counts, listed, printable
from cachetune.units import about

_MARKS = {"create": "+", "change": "~", "keep": " "}
_LONGEST_LABEL = 24


class Line(NamedTuple):
    """One line of text, without a newline."""

    mark: str
    text: str
    indent: int = 4


class _Row(NamedTuple):
    """The text about some caches of a group: "L3 0-1" and a cell, not yet aligned with the other rows."""

    mark: str
    label: str
    cell: Cell


def render(plan: Plan) -> Iterator[Line]:
    """The whole plan: changes outside the guests' groups, the groups, the threads, the legend, the summary.

    Caches that are treated alike share a line.
    """
    rows = [*_rows(plan)]
    labels = [len(row.label) for row in rows if isinstance(row, _Row)]
    width = max((length for length in labels if length <= _LONGEST_LABEL), default=0)
    for row, following in zip_longest(rows, rows[1:]):
        if isinstance(row, Line):
            yield row
        else:
            yield from _aligned(row, width, following)
    pictures = [picture for row in rows if isinstance(row, _Row) for picture in row.cell.pictures]
    if pictures:
        yield Line("#", legend(pictures, "this group"))
    yield Line("", summary_sentence(plan))


def _aligned(row: _Row, width: int, following: "Line | _Row | None") -> Iterator[Line]:
    """The lines of a row; the marks of I/O below its picture only if the row below does not have the same."""
    indent = 6 + max(width, len(row.label))
    for number, text in enumerate(row.cell.lines):
        yield Line(row.mark, f"    {'' if number else row.label:<{indent - 6}}  {text}", indent)
    if row.cell.marks and not (isinstance(following, _Row) and following.cell.marks == row.cell.marks):
        yield Line(" ", f"{'':{indent}}{row.cell.marks}", indent)


def _rows(plan: Plan) -> Iterator[Line | _Row]:
    """All but the end, in order."""
    writes: dict[str, list[WriteSchemata]] = {}
    for step in plan.steps:
        if isinstance(step, WriteSchemata):
            writes.setdefault(step.path, []).append(step)
    planned, pictures = {g.path for g in plan.groups}, Pictures(plan)
    for path, steps in writes.items():
        if path not in planned:
            yield Line("~", f"~ {_name(path)}")
            yield from _before_and_after(path, steps, plan, pictures)
    for group in plan.groups:
        yield from _group(group, writes.get(group.path, []), plan, pictures)
    for step in plan.steps:
        if not _is_mode_of(planned, step):
            yield from _line_of(step, plan)
    for moved in plan.moved:
        yield Line("~", f"~ {loss(moved)}")
    if plan.moved and not plan.groups:
        yield from _holes(plan)


def _is_mode_of(paths: Collection[str], step: Step) -> bool:
    """Whether the step writes the mode of one of these groups, which has it in its first line."""
    return isinstance(step, WriteFile) and group_file(step.path) == "mode" and group_of_file(step.path) in paths


def summary_sentence(plan: Plan) -> str:
    """What the plan does, and what is in use afterwards, in one or two sentences."""
    s = plan.summary
    groups = ((s.control_groups_created, "control group"), (s.monitor_groups_created, "monitor group"))
    created = listed([count(number, noun) for number, noun in groups if number])
    doing = counts(
        (s.groups_changed, "group", "to change"),
        (s.settings_changed, "host setting", "to change"),
        (s.groups_removed, "group", "to remove"),
        (s.tasks_moved, "task", "to move"),
    )
    doing = ", ".join(filter(None, (created and f"{created} to create", doing)))
    if not doing:
        many = len(plan.guests) > 1
        if plan.default_group:
            return "No changes. The default group already has these values."
        if plan.guests == (NO_GUEST,) and not plan.groups:
            return "No changes. There is nothing to move or to remove."
        if plan.groups:
            return f"No changes. The host already matches the {'domains' if many else 'domain'}."
        return f"No changes. {_without_groups(plan)}"
    used = [_usage(s.closids, "CLOSID"), _usage(s.rmids, "RMID")]
    if s.rmids_per_control_group:
        used.append(f"at most {_usage(s.rmids_per_control_group, 'RMID')} of a control group")
    after = " and ".join(u for u in used if u)
    return f"{doing}." + (f" {after} used afterwards." if after else "")


def _without_groups(plan: Plan) -> str:
    """What a removal finds that has nothing to remove: other groups may have threads of the guests."""
    whose = "for this guest" if len(plan.guests) == 1 else "for these guests"
    libvirts = [
        path
        for path in plan.host_groups
        if any(is_libvirts_name(scope_of(path).machine, guest.name) for guest in plan.guests)
    ]
    stay = f" libvirt made {listed(libvirts, 3)}, which cachetune does not remove." if libvirts else ""
    return f"There are no groups that cachetune made {whose}.{stay}"


def describe(step: Step) -> str:
    """One step in a few words, for progress and reports."""
    match step:
        case CreateGroup(path):
            return f"create {path}"
        case WriteSchemata(path, _, after):
            return f"write {folded(after)} to {_name(path)}"
        case WriteFile(path, before, after):
            if group_file(path) == ASSIGNMENTS:
                return f"{_counters(before, after)} {_name(group_of_file(path) or path)}"
            return f"write {after} to {path}" if after else f"clear {path}"
        case MoveTasks(path, source, tids):
            return f"move {count(len(tids), 'task')} from {_name(source)} to {_name(path)}"
        case RemoveGroup(path):
            return f"remove {path}"
        case _:
            assert_never(step)


def _line_of(step: Step, plan: Plan) -> Iterator[Line]:
    """The line of a step that the groups above do not show."""
    match step:
        case WriteFile(path, _, _) if group_file(path) == ASSIGNMENTS:
            yield Line("~", f"~ {describe(step)}")
        case WriteFile(path, before, after):
            yield Line("~", f"~ {path}  {before or '(empty)'} -> {after or '(empty)'}")
        case MoveTasks(path, source):
            yield Line(">", f"> {_threads(step, plan)}: {_name(source)} -> {_name(path)}")
        case RemoveGroup(path):
            yield Line("-", f"- {path}")
        case CreateGroup() | WriteSchemata():
            pass
        case _:
            assert_never(step)


def _counters(before: str, after: str) -> str:
    """What a write to mbm_L3_assignments does to counters, up to the name of the group."""
    old, new = parse_assignments(before).assigned, parse_assignments(after).assigned
    done = []
    for assigned, verb, preposition in ((False, "release", "of"), (True, "assign", "to")):
        events: dict[tuple[int, ...], list[str]] = {}
        for event, row in new.items():
            ids = tuple(i for i, counter in row.items() if counter == assigned != old.get(event, {}).get(i))
            events.setdefault(ids, []).append(event)
        what = [f"{listed(names)} on {numbered('L3 cache', ids)}" for ids, names in events.items() if ids]
        done += [f"{verb} counters for {listed(what)} {preposition}"] if what else []
    return " and ".join(done) or "write the same counters to"


def _group(group: PlannedGroup, writes: list[WriteSchemata], plan: Plan, pictures: Pictures) -> Iterator[Line | _Row]:
    mark = _MARKS[group.action]
    what = ", monitor only" if group.kind == "monitor" else _mode(group, plan)
    yield Line(mark, f"{mark} {group.path}  ({group.who}{what})")
    before = Schemata() if group.action == "create" else _before(writes)
    masks = _masks(group.path, group.schemata.masks, before.masks, plan, pictures)
    yield from _folded(
        mark, ((resource.name, i, cell.then(_size(mask, group, resource, i))) for resource, i, mask, cell in masks)
    )
    yield from _folded(mark, ((name, i, Cell((text,))) for name, i, text in _bandwidths(group, before, plan)))


def _mode(group: PlannedGroup, plan: Plan) -> str:
    """The mode unless it is and stays shareable."""
    state = plan.host_groups.get(group.path)
    if state and state.mode != group.mode:
        return f", {state.mode} -> {group.mode}"
    return "" if group.mode == "shareable" else f", {group.mode}"


def _before_and_after(path: str, steps: list[WriteSchemata], plan: Plan, pictures: Pictures) -> Iterator[_Row]:
    before, after = _before(steps), reduce(merge, (parse(step.after) for step in steps), Schemata())
    masks = _masks(path, after.masks.sorted(), before.masks, plan, pictures)
    yield from _folded("~", ((resource.name, i, cell) for resource, i, _, cell in masks))
    limits = ((name, i, value, before.bandwidth.at(name, i)) for name, i, value in after.bandwidth.entries())
    yield from _folded("~", ((name, i, Cell((_changed(old, value, plan),))) for name, i, value, old in limits))


def loss(moved: MovedGroup) -> str:
    """What a group loses that moves, such as "db: 3 ways move, 6.75 MiB cold"."""
    ways = sum(ways for _, _, ways in moved.cold_ways.entries())
    size = "" if moved.cold_bytes is None else f", {about(moved.cold_bytes)} cold"
    return f"{moved.guest or _name(moved.path)}: {count(ways, 'way')} {'moves' if ways == 1 else 'move'}{size}"


def _holes(plan: Plan) -> Iterator[_Row]:
    """How large the largest hole of each cache is afterwards, where groups only move."""
    before = {path: state.masks for path, state in plan.host_groups.items()}
    after = dict(before)
    for step in plan.steps:
        if isinstance(step, WriteSchemata):
            after[step.path] = after.get(step.path, Masks()).updated(parse(step.after).masks)
    lines = []
    for resource in plan.resources:
        for i, way_bytes in resource.way_bytes.items():
            old, new = (_largest_hole(masks.values(), resource, i) for masks in (before, after))
            if old != new:
                size = f", {about(new * way_bytes)}" if way_bytes else ""
                lines.append((resource.name, i, Cell((f"largest hole {old} -> {count(new, 'way')}{size}",))))
    yield from _folded("~", lines)


def _largest_hole(groups: Iterable[Masks], resource: Resource, cache_id: int) -> int:
    taken = 0
    for masks in groups:
        taken |= masks.at(resource.name, cache_id) or 0
    return largest_run(((1 << resource.ways) - 1) & ~taken)


def _folded(mark: str, cells: Iterable[tuple[str, int, Cell]]) -> Iterator[_Row]:
    """A row for each (resource, id, cell); ids of one resource with the same cell share a row."""
    alike: dict[tuple[str, Cell], list[int]] = {}
    for name, i, cell in cells:
        alike.setdefault((name, cell), []).append(i)
    for (name, cell), ids in alike.items():
        yield _Row(mark, f"{name} {format_ids(ids)}", cell)


def _masks(
    path: str, masks: Masks, before: Masks, plan: Plan, pictures: Pictures
) -> Iterator[tuple[Resource, int, Cbm, Cell]]:
    """Each mask of a known resource, with its picture and, if it changes, the one before."""
    resources = {resource.name: resource for resource in plan.resources}
    for name, i, mask in masks.entries():
        if resource := resources.get(name):
            yield resource, i, mask, pictures.draw(path, resource, i, mask, before.at(name, i))


def _bandwidths(group: PlannedGroup, before: Schemata, plan: Plan) -> Iterator[tuple[str, int, str]]:
    state = plan.host_groups.get(group.path)
    for name, i, value in group.schemata.bandwidth.entries():
        old = state.bandwidth.at(name, i) if state and before.bandwidth.at(name, i) is not None else None
        shown = _bandwidth(value, group.requested.at(name, i), plan)
        yield name, i, (shown if old in (None, value) else f"{old} -> {shown}") + _rounded_from(group, name, i)


def _changed(old: int | None, value: int, plan: Plan) -> str:
    now = with_unit(value, plan.bandwidth_unit)
    return now if old in (None, value) else f"{old} -> {now}"


def _bandwidth(value: int, requested: int | None, plan: Plan) -> str:
    if requested is None or requested == value:
        return with_unit(value, plan.bandwidth_unit)
    return f"{with_unit(requested, plan.bandwidth_unit)} (the host keeps {value})"


def _size(mask: Cbm, group: PlannedGroup, resource: Resource, cache_id: int) -> str:
    if group.requested.at(resource.name, cache_id) is None:
        return "  shared with the default group"
    rounded, way = _rounded_from(group, resource.name, cache_id), resource.way_bytes.get(cache_id)
    if not way:
        return f"  {count(mask.bit_count(), 'way')}{rounded}"
    size, nodes = mask.bit_count() * way, resource.snc_nodes
    each = f" ({about(size // nodes)} in each of {nodes} Sub-NUMA nodes)" if nodes > 1 else ""
    return f"  {about(size)}{each}{rounded}"


def _rounded_from(group: PlannedGroup, name: str, cache_id: int) -> str:
    requested = group.rounded_from.get(name, {}).get(cache_id)
    return f" (requested: {requested})" if requested else ""


def _before(steps: list[WriteSchemata]) -> Schemata:
    """What all writes to one group find: a mask may shrink first and grow later."""
    return reduce(merge, (parse(step.before) for step in reversed(steps)), Schemata())


def _threads(step: MoveTasks, plan: Plan) -> str:
    known = {t.tid: _role(t) for t in plan.threads}
    threads = [f"{tid} ({role})" if (role := known.get(tid)) else str(tid) for tid in step.tids]
    shown = ", ".join(threads[:8]) + (f" and {len(threads) - 8} more" if len(threads) > 8 else "")
    return f"thread{'s' * (len(threads) > 1)} {shown}"


def _role(thread: Thread) -> str:
    """What a thread is for; "" for one of the emulator's."""
    if thread.vcpu is not None:
        return f"vCPU {thread.vcpu}"
    return "vhost" if thread.vhost else printable(thread.iothread or "")


def _name(path: str) -> str:
    return "the default group" if path == DEFAULT_GROUP else path


def _usage(usage: Usage, noun: str) -> str:
    """What is used, or "" if the host reports no total, or one that it exceeds."""
    if usage.total is None or usage.used > usage.total:
        return ""
    return f"{usage.used} of {count(usage.total, noun)}"
