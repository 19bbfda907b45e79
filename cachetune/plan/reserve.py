"""Room for groups that somebody else makes: of a plan only what the default group gives up, and what it gets back.

libvirt places its own groups, but takes nothing from the default group, which owns every way of a fresh host.
"""

from collections.abc import Collection
from typing import assert_never

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import Group, Host
from cachetune.host.owners import owner_of
from cachetune.plan.counts import summarize
from cachetune.plan.model import Plan, PlannedGroup
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata


def only_default_group(plan: Plan, host: Host) -> Plan:
    """The plan without its groups: what remains are the writes to the default group and those that share its ways."""
    theirs = {group.path for group in plan.groups}
    steps = tuple(step for step in plan.steps if _makes_room(step, theirs))
    return msgspec.structs.replace(plan, groups=(), steps=steps, warnings=(), summary=summarize(steps, host))


def _makes_room(step: Step, theirs: Collection[str]) -> bool:
    """Whether the step changes masks outside the groups that libvirt will make."""
    match step:
        case WriteSchemata(path):
            return path not in theirs
        case CreateGroup() | WriteFile() | MoveTasks() | RemoveGroup():
            return False
        case _:
            assert_never(step)


def upcoming_groups(plan: Plan) -> tuple[Group, ...]:
    """The plan's groups as they will be, whoever makes them: libvirt chooses the same ways as we do.

    They have masks only where a size was asked for: on other caches a group takes nothing that others could have.
    """
    return tuple(
        Group(path=group.path, kind=group.kind, owner=owner_of(group.path), masks=_asked_for(group))
        for group in plan.groups
    )


def _asked_for(group: PlannedGroup) -> dict[str, dict[int, Cbm]]:
    masks: dict[str, dict[int, Cbm]] = {}
    for name, asked in group.requested.items():
        for i in asked:
            value = group.schemata.get(name, {}).get(i)
            if isinstance(value, str):  # bandwidth is a number, and nobody takes it from others
                masks.setdefault(name, {})[i] = Cbm(int(value, 16))
    return masks
