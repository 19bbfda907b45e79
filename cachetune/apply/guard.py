"""What is checked under the lock before the first step: the right host, nothing left over, only what is ours.

A plan is input like any other: it may be old, made elsewhere, or edited.
"""

from collections.abc import Set
from typing import Any

from cachetune.apply.ledger import Ledger
from cachetune.apply.rules import RULES
from cachetune.errors import CachetuneError, InputError
from cachetune.findings import Finding, Source
from cachetune.host.schemata import Masks, parse
from cachetune.host.state import DEFAULT_GROUP, Group, Host
from cachetune.plan.diff import describe_groups
from cachetune.plan.model import CreateGroup, MoveTasks, Plan, RemoveGroup, Step, WriteSchemata
from cachetune.plan.names import belongs_to, checked_machine_name


class ApplyRefusedError(CachetuneError):
    """Nothing was touched; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.message} [{finding.rule}]", hint=finding.hint)
        self.finding = finding


def refused(rule: str, **values: Any) -> ApplyRefusedError:
    """The error for a rule of apply/rules.py."""
    return ApplyRefusedError(RULES[rule].at(Source(), **values))


def check_plan(plan: Plan, host: Host, ledger: Ledger) -> None:
    """Raise ApplyRefusedError unless the plan may be carried out on the host as it is now."""
    _check_name(plan, host, ledger)
    if plan.host_fingerprint != host.fingerprint:
        raise refused("CT501", changes=_changes(plan.host_groups, describe_groups(host)))
    created: set[str] = set()
    for number, step in enumerate(plan.steps, 1):
        if what := _forbidden(step, plan.guest.machine_name, host, created | ledger.groups_of(plan.guest.machine_name)):
            raise refused("CT504", number=number, what=what)
        if isinstance(step, CreateGroup):
            created.add(step.path)


def _check_name(plan: Plan, host: Host, ledger: Ledger) -> None:
    machine = plan.guest.machine_name
    try:
        checked_machine_name(machine)
    except InputError as error:
        raise refused("CT504", number=0, what=f"use a name that is none: {error}") from None
    other = ledger.guests.get(machine)
    there = other and any(host.group(path) for path in other.groups)
    if (
        other
        and there
        and plan.guest.name != machine
        and (other.name, other.uuid) != (plan.guest.name, plan.guest.uuid)
    ):
        raise refused("CT505", machine=machine, other=other.name)


def _changes(before: dict[str, str], now: dict[str, str]) -> str:
    """What has moved, group by group."""
    changes = [f"group {p} is new" for p in now if p not in before]
    changes += [f"group {p} is gone" for p in before if p not in now]
    changes += [f"group {p} was '{before[p]}' and is '{now[p]}'" for p in now if before.get(p, now[p]) != now[p]]
    return "; ".join(changes) or "its resources or mount options are others"


def _forbidden(step: Step, machine: str, host: Host, own: Set[str]) -> str:
    """What a step would do that no plan of ours does; "" for a step that may be taken.

    ``own`` are groups that the plan has made so far or that the ledger knows as this guest's.
    """
    if why := _bad_path(step.path):
        return why
    group = host.group(step.path)
    ours = group is not None and group.owner == "cachetune"
    guests = step.path in own or (ours and belongs_to(step.path, machine))
    match step:
        case CreateGroup(path):
            return _forbidden_group(path, machine, host, own)
        case WriteSchemata(path, _, after) if path == DEFAULT_GROUP:
            return _forbidden_default(parse(after).masks, after, host)
        case WriteSchemata() if guests or (group and ours and _follows(group, host)):
            return ""
        case MoveTasks(path) if guests or path == DEFAULT_GROUP:
            return ""
        case RemoveGroup() if guests:
            return ""
    return f"touch the group {step.path}, which is not this guest's"


def _follows(group: Group, host: Host) -> bool:
    """Whether a group shares ways with the default group, so that it shrinks and grows with it."""
    default = host.default_group.masks
    return any(mask == default.get(name, {}).get(i) for name, masks in group.masks.items() for i, mask in masks.items())


def _bad_path(path: str) -> str:
    parts = path.split("/")
    if path != DEFAULT_GROUP and (not all(parts) or ".." in parts or "." in parts or "\0" in path or "\n" in path):
        return f"use the path {path!r}, which leaves the resctrl root or cannot be a group"
    if len(parts) > 1 and (len(parts) > 3 or parts[-2] != "mon_groups"):
        return f"use the path {path!r}, which is no group's"
    return ""


def _forbidden_group(path: str, machine: str, host: Host, own: Set[str]) -> str:
    *parent, name = path.split("/")
    if name != machine and not name.startswith(f"{machine}-"):
        return f"make the group {path}, which does not carry the machine name {machine}"
    holder = host.group(parent[0]) if len(parent) == 2 else None
    if len(parent) == 2 and parent[0] not in own and (holder is None or holder.owner != "cachetune"):
        return f"make a monitor in {parent[0]}, which is not ours"
    return ""


def _forbidden_default(wanted: Masks, text: str, host: Host) -> str:
    """The default group may give ways up, and may take ways that nobody else of another owner has."""
    if parse(text).bandwidth or parse(text).other_lines or not wanted:
        return "change more of the default group than its masks"
    for name, masks in wanted.items():
        for cache_id, mask in masks.items():
            now = host.default_group.masks.get(name, {}).get(cache_id, 0)
            foreign = 0
            for group in host.control_groups():
                if group.owner not in ("default", "cachetune"):
                    foreign |= group.masks.get(name, {}).get(cache_id, 0)
            if mask & ~now & foreign or not mask:
                return f"give the default group {mask:x} on {name} cache {cache_id}"
    return ""
