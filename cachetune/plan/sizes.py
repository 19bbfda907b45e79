"""Give a group one size after another in one cache, to measure what each does: which masks, and the plans for them.

The ways are the group's own and the free ones beside them, so that nobody else loses any: never those of another
group, of devices, or that the policy reserves. The masks are nested, so a larger one has all the ways of a smaller.
"""

from collections.abc import Iterable, Mapping

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import CacheControl, Group, Host
from cachetune.host.resctrl.schemata import format_schemata
from cachetune.plan.allocate.occupancy import exclusive_bits, io_to_avoid, mask_of, occupancy_of
from cachetune.plan.build import resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.group_state import group_states
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.policy import Policy, with_reserved
from cachetune.plan.steps import WriteSchemata


def free_ways(host: Host, control: CacheControl, cache_id: int, paths: Iterable[str], policy: Policy | None) -> Cbm:
    """The ways of a cache that the groups at ``paths`` may have: all but those of others, of devices and reserved."""
    used = occupancy_of(with_reserved(host, policy), control, cache_id, tuple(paths))
    default = used.default | exclusive_bits(host, control, cache_id)
    return control.cbm_mask & ~(used.taken | default | io_to_avoid(control, cache_id))


def masks_by_size(group: Group, host: Host, control: CacheControl, cache_id: int, policy: Policy | None) -> list[Cbm]:
    """The masks that the group may have, the smallest first; the largest has its own ways and the free ones beside.

    Empty if it has no ways of its own: it has none, or shares one of them with another group.
    """
    own = mask_of(group, control, cache_id)
    used = occupancy_of(host, control, cache_id, [group.path])
    if not own or own & (used.default | used.taken):
        return []
    nested = _ways_of(own)
    if nested[-1] - nested[0] == len(nested) - 1:  # otherwise the mask is not contiguous, and no way is beside it
        free = free_ways(host, control, cache_id, [group.path], policy)
        above, below = nested[-1] + 1, nested[0] - 1
        while free & (1 << above):
            nested.append(above)
            above += 1
        while below >= 0 and free & (1 << below):
            nested.append(below)
            below -= 1
    least = max(control.min_cbm_bits, 1)
    return [Cbm(sum(1 << way for way in nested[:ways])) for ways in range(least, len(nested) + 1)]


def plan_masks(
    host: Host, guests: Iterable[PlanGuest], masks: Mapping[str, Cbm], control: CacheControl, cache_id: int
) -> Plan:
    """The plan that gives the groups at these paths, which the guests have, their masks in one cache.

    First those that only give up ways. It has no steps where all have theirs. A group that does not exist is left out.
    """
    steps: list[tuple[bool, WriteSchemata]] = []
    for path, mask in masks.items():
        group = host.group(path)
        now = mask_of(group, control, cache_id) if group else mask
        if now != mask:
            texts = (_line(control, cache_id, value) for value in (now, mask))
            steps.append((bool(mask & ~now), WriteSchemata(path, *texts)))
    ordered = tuple(step for _, step in sorted(steps, key=lambda each: each[0]))
    return Plan(
        guests=tuple(dict.fromkeys(guests)),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        groups=(),
        steps=ordered,
        summary=summarize(ordered, host),
    )


def _line(control: CacheControl, cache_id: int, mask: Cbm) -> str:
    return format_schemata(Masks.of([(control.name, cache_id, mask)]), {}, {control.name: control.ways})


def _ways_of(mask: Cbm) -> list[int]:
    return [way for way in range(mask.bit_length()) if mask & (1 << way)]
