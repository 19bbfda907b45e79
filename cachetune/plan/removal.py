"""Plan the removal of guests: remove their groups and give the default group back the ways that it had before."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from cachetune.cbm import Cbm, Masks, runs
from cachetune.errors import PlanRefusedError
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.plan.allocate.occupancy import occupancy_of
from cachetune.plan.allocation import Allocation
from cachetune.plan.build import groups_of, resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.diff import Removal, steps_between
from cachetune.plan.group_state import group_states
from cachetune.plan.model import DefaultShrink, Plan, PlanGuest
from cachetune.plan.ownership import nested_findings

NO_GUEST = PlanGuest("", "qemu-0-none")
"""A guest without groups, for a plan that only returns ways: libvirt's numbers start at 1."""


def plan_removal(
    host: Host, guests: Sequence[PlanGuest], owned: Collection[str] = (), shrunk: DefaultShrink | None = None
) -> Plan:
    """The plan that removes the guests' groups and returns ways to the default group unless another group took them.

    Raises PlanRefusedError if a foreign monitor group is inside a group to be removed.
    """
    removed = tuple(dict.fromkeys(path for g in guests for path in groups_of(host, g.machine_name, owned)))
    if findings := nested_findings(host, removed):
        raise PlanRefusedError(findings)
    allocations = _returned(host, removed, shrunk) if shrunk else {}
    steps = steps_between(host, (), allocations, {}, Removal(removed, first=True))
    return Plan(
        guests=tuple(guests),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        groups=(),
        steps=steps,
        summary=summarize(steps, host),
    )


def _returned(host: Host, removed: Collection[str], shrunk: DefaultShrink) -> dict[str, Allocation]:
    """New masks of the default group, and of those groups of ours that share its ways."""
    masks: dict[str, list[tuple[str, int, Cbm]]] = defaultdict(list)
    for control in host.caches:
        for cache_id, before in shrunk.before.row(control.name).items():
            occupancy = occupancy_of(host, control, cache_id, removed)
            if shrunk.after.at(control.name, cache_id) != occupancy.default:
                continue  # another program has changed it since
            taken = occupancy.taken & ~(shrunk.shared.at(control.name, cache_id) or 0)
            grown = _grown(occupancy.default, before & ~taken & control.cbm_mask, control)
            if grown != occupancy.default:
                for path in (DEFAULT_GROUP, *occupancy.followers):
                    masks[path].append((control.name, cache_id, grown))
    return {path: Allocation(Masks.of(entries)) for path, entries in masks.items()}


def _grown(mask: Cbm, available: int, control: CacheControl) -> Cbm:
    """``mask`` and the available bits that it can be extended by: all of them if masks may have holes."""
    reach = mask | available
    if control.sparse_masks:
        return reach
    return next((Cbm(((1 << n) - 1) << s) for s, n in runs(reach) if mask & ~(((1 << n) - 1) << s) == 0), mask)
