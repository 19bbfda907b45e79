"""Make room for groups that libvirt creates: of a plan, only what the default group gives up and gets back.

libvirt chooses ways for its own groups but takes none from the default group, which has every way on a fresh host.
"""

from collections.abc import Collection
from typing import assert_never

import msgspec

from cachetune.cbm import Masks
from cachetune.host.model import Group, Host
from cachetune.host.owners import owner_of
from cachetune.plan.counts import summarize
from cachetune.plan.model import Plan, PlannedGroup
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata


def only_default_group(plan: Plan, host: Host) -> Plan:
    """The plan without its groups: only the writes to the default group and to groups that share its ways."""
    created = {group.path for group in plan.groups}
    steps = tuple(step for step in plan.steps if _makes_room(step, created))
    return msgspec.structs.replace(plan, groups=(), steps=steps, warnings=(), summary=summarize(steps, host))


def _makes_room(step: Step, created: Collection[str]) -> bool:
    """Whether the step changes masks outside the groups that libvirt creates."""
    match step:
        case WriteSchemata(path):
            return path not in created
        case CreateGroup() | WriteFile() | MoveTasks() | RemoveGroup():
            return False
        case _:
            assert_never(step)


def upcoming_groups(plan: Plan) -> tuple[Group, ...]:
    """The plan's groups as they will be once libvirt has created them: it chooses the same ways as we do.

    They have masks only for caches with a requested size: on other caches a group takes nothing that others could have.
    """
    return tuple(
        Group(path=group.path, kind=group.kind, owner=owner_of(group.path), masks=_requested_masks(group))
        for group in plan.groups
    )


def _requested_masks(group: PlannedGroup) -> Masks:
    requested = group.requested.places()
    return Masks.of(entry for entry in group.schemata.masks.entries() if entry[:2] in requested)
