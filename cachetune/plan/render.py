"""A plan as text for people. Each line comes with a mark that says what happens, so that a terminal can colour it.

Marks: "+" created, "~" changed, "-" removed, ">" threads that move, " " stays as it is or explains, "" the summary.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import NamedTuple, assert_never

from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.resctrl.schemata import Schemata as Parsed
from cachetune.host.resctrl.schemata import merge, parse
from cachetune.plan.model import Plan, PlannedGroup, Resource, Usage
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata
from cachetune.text import count, counts
from cachetune.units import about, format_size

Draw = Callable[[int, int, int], str]
_MARKS = {"create": "+", "change": "~", "keep": " "}


class Line(NamedTuple):
    """One line of text without its newline."""

    mark: str
    text: str


def render(plan: Plan, draw: Draw) -> Iterator[Line]:
    """The whole plan: what changes outside the guest's groups, the groups, the threads, the summary.

    ``draw`` makes a picture of a mask, given the mask, the number of ways and those shared with I/O.
    """
    writes: dict[str, list[WriteSchemata]] = {}
    for step in plan.steps:
        if isinstance(step, WriteSchemata):
            writes.setdefault(step.path, []).append(step)
    wanted = {g.path for g in plan.groups}
    for path, steps in writes.items():
        if path not in wanted:
            yield Line("~", f"~ {_name(path)}")
            yield from _before_and_after(steps, plan, draw)
    for group in plan.groups:
        yield from _group(group, writes.get(group.path, []), plan, draw)
    for step in plan.steps:
        yield from _line_of(step, plan)
    yield Line("", summary_sentence(plan))


def summary_sentence(plan: Plan) -> str:
    """What the plan does and what is in use afterwards, in one or two sentences."""
    s = plan.summary
    created = counts((s.control_groups_created, "control group", ""), (s.monitor_groups_created, "monitor group", ""))
    doing = counts(
        (s.groups_changed, "group", "to change"),
        (s.settings_changed, "host setting", "to change"),
        (s.groups_removed, "group", "to remove"),
        (s.tasks_moved, "task", "to move"),
    )
    doing = ", ".join(filter(None, (created and f"{created.replace(', ', ' and ')} to create", doing)))
    if not doing:
        many = len(plan.guests) > 1
        if plan.groups:
            return f"No changes. The host already matches the {'domains' if many else 'domain'}."
        return f"No changes. {'These guests have' if many else 'This guest has'} no groups."
    used = [_usage(s.closids, "CLOSID"), _usage(s.rmids, "RMID")]
    after = " and ".join(u for u in used if u)
    return f"{doing}." + (f" {after} used afterwards." if after else "")


def describe(step: Step) -> str:
    """One step in a few words, for progress and reports."""
    match step:
        case CreateGroup(path):
            return f"create {path}"
        case WriteSchemata(path, _, after):
            return f"write {' '.join(after.split())} to {_name(path)}"
        case WriteFile(path, _, after):
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


def _group(group: PlannedGroup, writes: list[WriteSchemata], plan: Plan, draw: Draw) -> Iterator[Line]:
    mark = _MARKS[group.action]
    who = "whole process" if group.vcpus is None else f"vCPU{'' if group.vcpus.isdigit() else 's'} {group.vcpus}"
    what = ", monitor only" if group.kind == "monitor" else ""
    yield Line(mark, f"{mark} {group.path}  ({who}{what})")
    before = _merged(writes, "before")
    for name, values in group.schemata.items():
        resource = next((r for r in plan.resources if r.name == name), None)
        for i, value in values.items():
            if resource is None:
                old = before.bandwidth.get(name, {}).get(i)
                shown = f"{value} {plan.bandwidth_unit or ''}".rstrip()
                text = shown if old in (None, value) else f"{old} -> {shown}"
            else:
                mask = _mask(int(str(value), 16), before.masks.get(name, {}).get(i), resource, draw)
                text = mask + _size(value, group.requested.get(name, {}).get(i), resource, i)
            yield Line(mark, f"    {name} {i}  {text}")


def _before_and_after(steps: list[WriteSchemata], plan: Plan, draw: Draw) -> Iterator[Line]:
    before, after = _merged(steps, "before"), _merged(steps, "after")
    for name, masks in after.masks.items():
        resource = next((r for r in plan.resources if r.name == name), None)
        for i, mask in masks.items():
            if resource:
                yield Line("~", f"    {name} {i}  {_mask(mask, before.masks.get(name, {}).get(i), resource, draw)}")


def _mask(mask: int, old: int | None, resource: Resource, draw: Draw) -> str:
    width, shared = -(-resource.ways // 4), int(resource.shareable_bits, 16)
    now = f"{draw(mask, resource.ways, shared)} {mask:0{width}x}"
    if old is None or old == mask:
        return now
    return f"{draw(old, resource.ways, shared)} {old:0{width}x} -> {now}"


def _size(value: str | int, asked: int | None, resource: Resource, cache_id: int) -> str:
    if asked is None:
        return "  shared with the default group"
    way = resource.way_bytes.get(cache_id) or 0
    effective = int(str(value), 16).bit_count() * way
    return f"  {about(effective)}" + ("" if effective == asked else f" (asked for {format_size(asked)})")


def _merged(steps: list[WriteSchemata], which: str) -> Parsed:
    """All writes to one group as one: a group may shrink first and grow later."""
    return reduce(merge, (parse(getattr(step, which)) for step in steps), Parsed())


def _threads(step: MoveTasks, plan: Plan) -> str:
    known = {t.tid: t for t in plan.threads}
    vcpus = [
        f"{tid} (vCPU {known[tid].vcpu})" if tid in known and known[tid].vcpu is not None else str(tid)
        for tid in step.tids
    ]
    shown = ", ".join(vcpus[:8]) + (f" and {len(vcpus) - 8} more" if len(vcpus) > 8 else "")
    return f"thread{'s' * (len(vcpus) > 1)} {shown}"


def _name(path: str) -> str:
    return "the default group" if path == DEFAULT_GROUP else path


def _usage(usage: Usage, noun: str) -> str:
    """What is used, or "" if the host reports no total, or one that it exceeds (MPAM counts RMIDs per group)."""
    if usage.total is None or usage.used > usage.total:
        return ""
    return f"{usage.used} of {count(usage.total, noun)}"
