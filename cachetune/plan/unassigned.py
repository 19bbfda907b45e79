"""The monitors of a plan that will read ``Unassigned``: how many counters are left, who has them, and what helps."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from cachetune.findings import Finding
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.resctrl.assignments import Assigned
from cachetune.idset import numbered
from cachetune.plan.assignment import assigning_steps, monitor_counters
from cachetune.plan.counters import Counters
from cachetune.plan.groups.translate import DesiredGroup
from cachetune.plan.rules import RULES
from cachetune.plan.settings import group_of_file
from cachetune.plan.steps import Step, effect_of
from cachetune.text import count, listed

_NAMES = 3  # of groups, in one message
_OPTION = "--assign-counters"


Missing = dict[str, tuple[tuple[str, int], ...]]
"""By group path, the events and cache ids for which the group has no counter."""


def unassigned_findings(
    host: Host, desired: Collection[DesiredGroup], own: Collection[str], steps: Sequence[Step], *, assign: bool
) -> list[Finding]:
    """At most one finding for monitors that lack counters after the steps: CT231 if enough are left, else CT230.

    ``own`` are the guests' existing groups. ``assign`` is whether the steps assign counters (--assign-counters).
    """
    counters = monitor_counters(host, desired, own, steps)
    missing = still = _missing(counters)
    if not missing:
        return []
    at = next(group.monitors[0].at for group in desired if group.path in missing)
    about = {"monitors": _monitors(missing), "events": _events(missing)}
    advice = []
    if not assign:
        more = assigning_steps(host, desired, own, steps)
        counters = monitor_counters(host, desired, own, (*steps, *more))
        still = _missing(counters)
        changed = {group_of_file(step.path) for step in more if step.before != step.after}
        donors = sorted(group for group in changed if group and group not in missing)
        if not still and not donors:
            return [RULES["CT231"].at(at, remedy=_on_mkdir(host, missing, steps), **about)]
        advice += [_what_the_option_does(donors, still)] if _size(still) < _size(missing) else []
    if still:
        advice += _either(list(_other_remedies(host, desired, counters, still)))
    return [RULES["CT230"].at(at, left=_left(host, missing), advice="; ".join(advice), **about)]


def _missing(counters: Mapping[str, Assigned]) -> Missing:
    lacks = {
        path: tuple((event, i) for event, row in rows.items() for i, counter in row.items() if not counter)
        for path, rows in counters.items()
    }
    return {path: entries for path, entries in lacks.items() if entries}


def _what_the_option_does(donors: Sequence[str], still: Missing) -> str:
    taken = f"takes counters from {listed(donors, _NAMES)}, whose vCPUs are all in monitor groups"
    rest = f", but then {_monitors(still)} still lack{'s' * (len(still) == 1)} {_events(still)}" if still else ""
    return f"{_OPTION} {taken if donors else 'assigns those that are left'}{rest}"


def _on_mkdir(host: Host, missing: Missing, steps: Sequence[Step]) -> str:
    """The other remedy if new groups get no counters."""
    assignment = host.counter_assignment
    created = {effect_of(step).created for step in steps}
    if assignment is None or assignment.on_mkdir is not False or created.isdisjoint(missing):
        return ""
    return ", and writing 1 to info/L3_MON/mbm_assign_on_mkdir beforehand has the kernel assign them"


def _other_remedies(
    host: Host, desired: Collection[DesiredGroup], counters: Mapping[str, Assigned], still: Missing
) -> Iterator[str]:
    """What helps whether or not counters are assigned; each is true on this host.

    ``counters`` are those of the monitors: with fewer monitors, one would leave some to another.
    """
    ids = set(_cache_ids(still))
    planned = {group.path for group in desired}
    idle = [g.path for g in host.groups if g.path not in planned and _has_idle_counters(g, host, ids)]
    if idle:
        yield f"plan all guests together (--all-guests {_OPTION}), because {listed(idle, _NAMES)} could give some up"
    if _holders(host, still):
        yield "write 'EVENT:*=_' to mbm_L3_assignments of a group that does not need its counters"
    if len(counters) > 1 and any(row.get(i) for rows in counters.values() for row in rows.values() for i in ids):
        yield "request fewer monitors"
    if host.counter_assignment and "default" in host.counter_assignment.modes:
        yield "write 'default' to info/L3_MON/mbm_assign_mode, which restarts every count on this host"


def _has_idle_counters(group: Group, host: Host, ids: Collection[int]) -> bool:
    """Whether a control group of ours could give up counters of these caches to another guest.

    All its threads are in its monitor groups, and those lack none.
    """
    if group.kind != "control" or group.owner != "cachetune" or not group.tids or group.cpus:
        return False
    inside = [g for g in host.groups if g.kind == "monitor" and g.parent == group.path]
    monitored = {tid for g in inside for tid in g.tids}
    own = [row.get(i) for row in group.assignments.values() for i in ids]
    theirs = [row.get(i) for g in inside for row in g.assignments.values() for i in ids]
    return monitored.issuperset(group.tids) and any(own) and all(theirs)


def _either(remedies: Sequence[str]) -> list[str]:
    """The remedies as one, if there are any; they are too long to be read without a comma before "or"."""
    return [", or ".join(filter(None, (", ".join(remedies[:-1]), *remedies[-1:])))] if remedies else []


def _left(host: Host, missing: Missing) -> str:
    """How many counters are left now on the caches that lack some, and who has the others."""
    total = host.counter_assignment.total if host.counter_assignment else {}
    free = Counters(host).free
    caches: dict[tuple[int, int], list[int]] = {}
    for cache_id in _cache_ids(missing):
        caches.setdefault((free.get(cache_id, 0), total.get(cache_id, 0)), []).append(cache_id)
    left = [f"{n} of {count(of, 'counter')} left on {numbered('L3 cache', ids)}" for (n, of), ids in caches.items()]
    holders = _holders(host, missing)
    return listed(left) + (f", held by {listed(holders, _NAMES)}" if holders else "")


def _holders(host: Host, missing: Missing) -> list[str]:
    """The groups that have counters on the caches that lack some, with their owners."""
    ids = set(_cache_ids(missing))
    return [
        "the default group" if group.path == DEFAULT_GROUP else f"{group.path} ({group.owner})"
        for group in host.groups
        if any(counter and i in ids for row in group.assignments.values() for i, counter in row.items())
    ]


def _cache_ids(missing: Missing) -> list[int]:
    return sorted({cache_id for lacks in missing.values() for _, cache_id in lacks})


def _monitors(missing: Missing) -> str:
    names = [path.rpartition("/")[2] for path in missing]
    return f"monitor{'s' * (len(names) > 1)} {listed(names, _NAMES)}"


def _events(missing: Missing) -> str:
    return listed(list(dict.fromkeys(event for lacks in missing.values() for event, _ in lacks)))


def _size(missing: Missing) -> int:
    return sum(map(len, missing.values()))
