"""Plan the way back: remove a guest's groups and give the default group the ways that it had before."""

from collections.abc import Collection, Sequence

from cachetune.cbm import Cbm, runs
from cachetune.errors import PlanRefusedError
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.plan.allocate.occupancy import occupancy_of
from cachetune.plan.allocate.target import Values
from cachetune.plan.build import groups_of, resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.diff import Removal, describe_groups, steps_between
from cachetune.plan.model import DefaultShrink, Plan, PlanGuest
from cachetune.plan.ownership import nested_findings


def plan_removal(
    host: Host, guests: Sequence[PlanGuest], owned: Collection[str] = (), shrunk: DefaultShrink | None = None
) -> Plan:
    """The plan that removes the guests' groups and, where nobody else took them, returns the default group's ways.

    Raises PlanRefusedError when a group of somebody else stands inside one that would go.
    """
    gone = tuple(dict.fromkeys(path for g in guests for path in groups_of(host, g.machine_name, owned)))
    if findings := nested_findings(host, gone):
        raise PlanRefusedError(findings)
    values = _returned(host, gone, shrunk) if shrunk else {}
    removal = Removal(gone, first=True)
    steps = steps_between(host, (), values, {}, removal)
    return Plan(
        guests=tuple(guests),
        host_fingerprint=host.fingerprint,
        host_groups=describe_groups(host),
        resources=resources_of(host),
        groups=(),
        steps=steps,
        summary=summarize(steps, host),
    )


def _returned(host: Host, gone: Collection[str], shrunk: DefaultShrink) -> dict[str, Values]:
    """New masks of the default group, and of those groups of ours that share its ways."""
    values: dict[str, Values] = {}
    for control in host.caches:
        for cache_id, before in shrunk.before.get(control.name, {}).items():
            left = shrunk.after.get(control.name, {}).get(cache_id)
            occupancy = occupancy_of(host, control, cache_id, gone)
            if left != occupancy.default:
                continue  # somebody else has changed it since: it is theirs now
            taken = occupancy.taken & ~shrunk.shared.get(control.name, {}).get(cache_id, 0)
            grown = _grown(occupancy.default, before & ~taken & control.cbm_mask, control)
            if grown != occupancy.default:
                for path in (DEFAULT_GROUP, *occupancy.followers):
                    values.setdefault(path, Values({}, {})).masks.setdefault(control.name, {})[cache_id] = grown
    return values


def _grown(now: Cbm, available: int, control: CacheControl) -> Cbm:
    """``now`` and the available bits next to it; all of them where masks may have holes."""
    reach = now | available
    if control.sparse_masks:
        return Cbm(reach)
    return next((Cbm(((1 << n) - 1) << s) for s, n in runs(reach) if now & ~(((1 << n) - 1) << s) == 0), now)
