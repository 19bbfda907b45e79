"""Check a plan from outside (a saved plan, a journal) before anything is shown or done with it.

Decoding has checked the types. This checks that its parts belong together; whether its steps may be taken on the host
is for ``cachetune.apply.guard``.
"""

from collections.abc import Iterator

from cachetune.documents import repeated
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.paths import kind_of
from cachetune.plan.model import MovedGroup, Plan, PlanGuest, PlannedGroup, Resource, Summary
from cachetune.units import BANDWIDTH_RESOURCES, Rate, Size

_LARGEST_TID = (1 << 31) - 1
_LARGEST_ID = (1 << 32) - 1


def plan_problems(plan: Plan) -> Iterator[str]:
    """What contradicts itself in a plan."""
    yield from repeated("machine name", plan.machine_names)
    yield from repeated("group", (group.path for group in plan.groups))
    yield from repeated("resource", (resource.name for resource in plan.resources))
    yield from repeated("thread", (str(thread.tid) for thread in plan.threads))
    for guest in plan.guests:
        yield from _thread_problems(guest)
    resources = {resource.name: resource for resource in plan.resources}
    for group in plan.groups:
        yield from _group_problems(group, resources)
        if group.kind == "monitor" and group.mode != "shareable":
            yield f"monitor group {group.path!r} has a mode"
    yield from repeated("moved group", (moved.path for moved in plan.moved))
    for moved in plan.moved:
        yield from _moved_problems(moved, resources)
    for path in plan.host_groups:
        if kind_of(path) is None and kind_of(path, monitoring=False) is None:
            yield f"{path!r} is not the path of a group"
    yield from _summary_problems(plan.summary)


def _thread_problems(guest: PlanGuest) -> Iterator[str]:
    pids = [guest.pid] if guest.pid is not None else []
    for tid in (*pids, *(thread.tid for thread in guest.threads)):
        if not 0 < tid <= _LARGEST_TID:
            yield f"guest {guest.name!r}: {tid} is not the id of a thread"
    for thread in guest.threads:
        if sum(mark is not None for mark in (thread.vcpu, thread.iothread, thread.vhost)) > 1:
            yield f"guest {guest.name!r}: thread {thread.tid} is of two kinds"
        if thread.vhost == "kernel thread" and (guest.pid is None or thread.tid == guest.pid):
            yield f"guest {guest.name!r}: kernel thread {thread.tid} serves no process"


def _group_problems(group: PlannedGroup, resources: dict[str, Resource]) -> Iterator[str]:
    if group.path == DEFAULT_GROUP or kind_of(group.path) != group.kind:
        yield f"{group.path!r} is not the path of a {group.kind} group of a guest"
    yield from _scope_problems(group)
    for name, cache_id, mask in group.schemata.masks.entries():
        resource = resources.get(name)
        if resource is None or cache_id not in resource.way_bytes:
            yield f"group {group.path!r} has a mask on {name} cache {cache_id}, which the host does not have"
        elif mask >> resource.ways:  # AMD accepts an empty mask
            yield f"group {group.path!r}: {mask:x} is not a mask of the {resource.ways} ways of {name}"
    for name, node, value in group.schemata.bandwidth.entries():
        if name not in BANDWIDTH_RESOURCES or not 0 <= node <= _LARGEST_ID or not 0 <= value <= _LARGEST_ID:
            yield f"group {group.path!r}: {name} {node}={value} is not a bandwidth"
    values = group.schemata.masks.places() | group.schemata.bandwidth.places()
    for name, cache_id, amount in group.requested.entries():
        if (name, cache_id) not in values or amount < 0:
            yield f"group {group.path!r} requests {amount} of {name} {cache_id}, but gets none"
    yield from _rounding_problems(group)


def _rounding_problems(group: PlannedGroup) -> Iterator[str]:
    for name, row in group.rounded_from.items():
        parse = Rate.parse if name in BANDWIDTH_RESOURCES else Size.parse
        for cache_id, text in row.items():
            if group.requested.at(name, cache_id) is None:
                yield f"group {group.path!r} has {name} {cache_id} rounded, but does not request it"
            try:
                parse(text)
            except ValueError as error:
                yield f"group {group.path!r}: {name} {cache_id} is rounded from {error}"


def _scope_problems(group: PlannedGroup) -> Iterator[str]:
    try:
        group.scope  # noqa: B018 - raises if a list is invalid
    except ValueError as error:
        yield f"group {group.path!r}: {error}"
    if (group.vcpus == "") != (group.threads is not None):
        yield f"group {group.path!r} is for the vCPUs {group.vcpus!r} and the threads {group.threads!r}"


def _moved_problems(moved: MovedGroup, resources: dict[str, Resource]) -> Iterator[str]:
    if moved.path != DEFAULT_GROUP and kind_of(moved.path) != "control":
        yield f"{moved.path!r} is not the path of a control group, and cannot move"
    for name, cache_id, ways in moved.cold_ways.entries():
        resource = resources.get(name)
        if resource is None or cache_id not in resource.way_bytes or ways < 1:
            yield f"group {moved.path!r} moves by {ways} ways of {name} cache {cache_id}"
    if (moved.cold_bytes or 0) < 0:
        yield f"group {moved.path!r} loses {moved.cold_bytes} bytes"


def _summary_problems(summary: Summary) -> Iterator[str]:
    counts = (
        *(summary.control_groups_created, summary.monitor_groups_created, summary.groups_changed),
        *(summary.groups_removed, summary.tasks_moved, summary.settings_changed),
        *(number for usage in (summary.closids, summary.rmids) for number in (usage.used, usage.total or 0)),
    )
    if min(counts) < 0:
        yield f"the summary counts {min(counts)} of something"
