"""The groups of a host and their ways once steps have been taken: what findings and further steps start from."""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from cachetune.cbm import Masks
from cachetune.host.model import Group, Host, is_monitor
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.settings import group_file, group_of_file
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteFile, WriteSchemata


def masks_after(host: Host, path: str, steps: Iterable[Step]) -> Masks:
    """The masks of a group that the steps do not remove; without those of ``host_after`` for all others."""
    group = host.group(path)
    masks = group.masks if group else Masks()
    for step in steps:
        if isinstance(step, WriteSchemata) and step.path == path:
            masks = masks.updated(parse(step.after).masks)
    return masks


def host_after(host: Host, steps: Iterable[Step]) -> Host:
    """The host with the groups, masks and modes that the steps leave; threads, CPUs and bandwidth are those of before.

    A group that the steps create is ours, and has no mask until one is written.
    """
    groups = {group.path: group for group in host.groups}
    for step in steps:
        match step:
            case CreateGroup(path):
                groups[path] = Group(path, "monitor" if is_monitor(path) else "control", "cachetune")
            case RemoveGroup(path):
                groups.pop(path, None)
            case WriteSchemata(path, _, after):
                if group := groups.get(path):
                    groups[path] = replace(group, masks=group.masks.updated(parse(after).masks))
            case WriteFile(path, _, after):
                if group_file(path) == "mode" and (group := groups.get(group_of_file(path) or "")):
                    groups[group.path] = replace(group, mode=after)
            case MoveTasks():
                pass
            case _:
                assert_never(step)
    return replace(host, groups=tuple(groups.values()))
