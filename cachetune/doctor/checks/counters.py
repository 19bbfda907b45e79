"""CT63x: counters, RMIDs and CLOSIDs, and how many are left."""

import shlex

from cachetune.doctor.checks.groups import holders, is_empty, named
from cachetune.doctor.examination import Examination
from cachetune.doctor.model import Verdict, broken, check, info, known, ok
from cachetune.findings import Rule
from cachetune.host.model import CounterAssignment, Group, Host
from cachetune.text import count

_OURS = ("cachetune", "libvirt")
_OUT_OF_RMIDS = "Out of RMIDs"
_MAKE_ROOM = (
    "remove groups that are no longer needed, or write 'EVENT:*=_' to mbm_L3_assignments of one that needs none"
)


def _assignment(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    assignment = host.counter_assignment
    if assignment is None or "mbm_event" not in assignment.modes:
        return ok("every monitored group has its own counters" if host.monitors else "the host has no counters")
    if not assignment.is_active:
        return info(
            f"mbm_assign_mode is {assignment.mode}: with more groups than counters, readings can be unavailable",
            f"assign counters: echo mbm_event > {seen.resctrl}/info/L3_MON/mbm_assign_mode",
        )
    left = min(assignment.available.values(), default=None)
    without = [
        g.path for g in host.groups if g.assignments and not _has_counters(g) and not _has_none_to_count(g, host)
    ]
    if without:
        return broken(rule, groups=named(without), left=_left(assignment), details=tuple(without))
    if left == 0:
        return broken(
            rule,
            text=f"bandwidth counters: {_left(assignment)}; a new group reads Unassigned where none is left",
            fix=_MAKE_ROOM,
        )
    return ok(f"bandwidth counters are assigned; {_left(assignment)}")


def _has_counters(group: Group) -> bool:
    return any(any(caches.values()) for caches in group.assignments.values())


def _has_none_to_count(group: Group, host: Host) -> bool:
    """Whether all threads of a control group are in its monitor groups: its values are their sums."""
    inside = {tid for each in host.groups if each.kind == "monitor" and each.parent == group.path for tid in each.tids}
    return group.kind == "control" and bool(group.tids) and not group.cpus and inside.issuperset(group.tids)


def _left(assignment: CounterAssignment) -> str:
    """How many counters are left: "5 of 32 left on cache 0, 0 of 32 on cache 1", or "5 of 32 left"."""
    pairs = {i: (assignment.available.get(i), total) for i, total in assignment.total.items()}
    if len(set(pairs.values())) == 1:
        ((available, total),) = set(pairs.values())
        return f"{available} of {total} left" if available is not None else "the number left is not known"
    return ", ".join(f"{available} of {total} left on cache {i}" for i, (available, total) in pairs.items())


ASSIGNMENT = check(
    Rule(
        id="CT631",
        severity="warning",
        summary="Where bandwidth counters must be assigned, every group that is read needs one.",
        message="no bandwidth counter is assigned to {groups}; {left}",
        fix="apply the guest with --assign-counters, or write 'EVENT:*=e' to mbm_L3_assignments of the group;"
        " if none is left, first write 'EVENT:*=_' to that of a group that needs none",
        bad="4 counters, of which 0 are available, and a group whose mbm_L3_assignments has only _",
        good="32 counters, of which 28 are available, and every group has some",
        host="scene",
    ),
    "counters",
    "bandwidth counters",
)(_assignment)


def _rmids(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    total = host.rmids_total
    if total is None:
        return ok("the host has no monitoring" if not host.monitors else "the number of RMIDs is not known")
    per_group = host.rmids_per_control_group
    if per_group is not None:
        fullest = max(_groups_of(host, group.path) for group in host.control_groups())
        return ok(f"each control group has {count(per_group, 'RMID')}; the fullest uses {fullest}")
    left = total - host.rmids_used
    if left < 0:
        return info(f"{host.rmids_used} groups are monitored, more than num_rmids says ({total})")
    if left == 0:
        return broken(rule, total=total, holders=holders(host.groups))
    threshold = next((m.max_threshold_occupancy for m in host.monitors if m.max_threshold_occupancy is not None), None)
    if _OUT_OF_RMIDS in seen.last_status:
        path = f"{seen.resctrl}/info/L3_MON/max_threshold_occupancy"
        command = f"echo {2 * (threshold or 1 << 16)} > {shlex.quote(path)}"
        return broken(
            rule,
            text=f"the last mkdir found no RMID although {left} of {total} should be free: they are in limbo",
            fix=f"wait a few seconds, or let the kernel reuse RMIDs earlier: {command}",
            command=command,
        )
    idle = [g for g in host.groups if g.kind == "monitor" and g.owner not in _OURS and is_empty(g)]
    if len(idle) > left:
        return broken(rule, text=f"{left} of {total} RMIDs are left; empty monitor groups hold {holders(idle)}")
    if threshold == 0:
        return info("max_threshold_occupancy is 0, so the RMIDs of removed groups stay in limbo for long")
    return ok(f"{host.rmids_used} of {total} RMIDs used")


def _groups_of(host: Host, control: str) -> int:
    return sum(1 for group in host.groups if group.parent == control)


RMIDS = check(
    Rule(
        id="CT632",
        severity="warning",
        summary="Every group that is created needs a free RMID.",
        message="all {total} RMIDs are used: {holders}",
        fix="remove monitor groups that are no longer needed, with the program that made them",
        bad="64 groups on a host whose num_rmids is 64",
        good="4 groups on a host whose num_rmids is 64",
        host="scene",
    ),
    "counters",
    "RMIDs",
)(_rmids)


def _closids(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    total = host.closids_total
    if total is None:
        return ok("the host has no control groups" if not host.caches else "the number of CLOSIDs is not known")
    if host.closids_used >= total:
        return broken(rule, total=total, holders=holders(host.control_groups()) or "the default group")
    return ok(f"{host.closids_used} of {total} CLOSIDs used")


CLOSIDS = check(
    Rule(
        id="CT633",
        severity="warning",
        summary="Every guest with its own allocation needs a free CLOSID.",
        message="all {total} CLOSIDs are used: {holders}",
        fix="remove control groups that are no longer needed; put vCPUs with the same needs into one <cachetune>",
        bad="8 control groups on a host whose smallest num_closids is 8",
        good="2 control groups on a host whose smallest num_closids is 8",
        host="scene",
    ),
    "counters",
    "CLOSIDs",
)(_closids)

CHECKS = (ASSIGNMENT, RMIDS, CLOSIDS)
