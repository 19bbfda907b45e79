"""Give groups one size after another in one cache, to measure what each does: which masks, and the plans for them.

The ways are those of the groups that are measured, and the free ones beside them: never those of another group, of
devices, or that the policy reserves. A group that is given more ways pushes its neighbors among the measured ones
aside, who keep the rest of their ways, or move on with as few as the cache allows. Their order stays the same, so one
write after another leads from any such arrangement to any other, and no two groups share a way in between.
"""

from collections.abc import Iterable, Iterator, Mapping

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import CacheControl, Host
from cachetune.host.resctrl.schemata import format_schemata
from cachetune.plan.allocate.occupancy import exclusive_bits, io_to_avoid, mask_of, occupancy_of
from cachetune.plan.build import resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.group_state import group_states
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.policy import Policy, with_reserved
from cachetune.plan.steps import WriteSchemata


def free_ways(host: Host, control: CacheControl, cache_id: int, paths: Iterable[str], policy: Policy | None) -> Cbm:
    """The ways of a cache that the groups at ``paths`` may have: not those that are foreign, of devices or reserved."""
    used = occupancy_of(with_reserved(host, policy), control, cache_id, tuple(paths))
    default = used.default | exclusive_bits(host, control, cache_id)
    return control.cbm_mask & ~(used.taken | default | io_to_avoid(control, cache_id))


def masks_by_size(
    path: str, host: Host, control: CacheControl, cache_id: int, policy: Policy | None, beside: Mapping[str, Cbm]
) -> list[Cbm]:
    """The masks that a group may be given, the smallest first; each has all the ways of the smaller ones.

    The largest has its own ways, the free ones beside them, and what the groups ``beside`` it (their masks by path) can
    give up. Empty if it has no own ways: it has none, or shares one of them with another group.
    """
    group = host.group(path)
    own = mask_of(group, control, cache_id) if group else Cbm(0)
    used = occupancy_of(host, control, cache_id, [path])
    if not own or own & (used.default | used.taken):
        return []
    nested = _ways_of(own)
    if _is_contiguous(own):  # otherwise no way is beside it
        low, high = _room(path, host, control, cache_id, policy, {**beside, path: own})
        nested += [*range(nested[-1] + 1, high + 1), *range(nested[0] - 1, low - 1, -1)]
    least = max(control.min_cbm_bits, 1)
    return [Cbm(sum(1 << way for way in nested[:ways])) for ways in range(least, len(nested) + 1)]


def arrangement(path: str, mask: Cbm, before: Mapping[str, Cbm], least: int) -> dict[str, Cbm]:
    """The masks of all groups when the one at ``path`` has this mask; all have ``before`` otherwise.

    Those that it leaves no room are pushed away from it.
    """
    found = dict(before) | {path: mask}
    if not _is_contiguous(before[path]):
        return found
    others = [(ways[0], ways[-1], other) for other, m in before.items() if (ways := _ways_of(m)) and _is_contiguous(m)]
    own_low = _ways_of(before[path])[0]
    low, high = _ways_of(mask)[0], _ways_of(mask)[-1]
    for first, last, other in sorted(each for each in others if each[0] > own_low):
        first_now = max(first, high + 1)
        high = max(last, first_now + least - 1)
        found[other] = _run(first_now, high)
    for first, last, other in sorted((each for each in others if each[0] < own_low), reverse=True):
        last_now = min(last, low - 1)
        low = min(first, last_now - least + 1)
        found[other] = _run(low, last_now)
    return found


def _room(
    path: str, host: Host, control: CacheControl, cache_id: int, policy: Policy | None, before: Mapping[str, Cbm]
) -> tuple[int, int]:
    """The lowest and the highest way that a group can have if its neighbors are pushed aside as far as they can be."""
    own, least = before[path], max(control.min_cbm_bits, 1)
    usable = free_ways(host, control, cache_id, before, policy)
    for mask in before.values():
        usable = usable & ~mask if not _is_contiguous(mask) else usable
    low, high = _ways_of(own)[0], _ways_of(own)[-1]
    usable = usable | own
    lowest, highest = low, high
    while lowest and usable & (1 << (lowest - 1)):
        lowest -= 1
    while usable & (1 << (highest + 1)):
        highest += 1
    lower = sum(bool(mask & _run(lowest, low)) for mask in before.values() if mask != own)
    higher = sum(bool(mask & _run(high, highest)) for mask in before.values() if mask != own)
    return min(low, lowest + least * lower), max(high, highest - least * higher)


def plan_masks(
    host: Host, guests: Iterable[PlanGuest], masks: Mapping[str, Cbm], control: CacheControl, cache_id: int
) -> Plan:
    """The plan that gives the groups at these paths, which the guests have, their masks in one cache.

    It has no steps where all have theirs. A group that does not exist is left out.
    """
    steps = tuple(_writes(host, masks, control, cache_id))
    return Plan(
        guests=tuple(dict.fromkeys(guests)),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        groups=(),
        steps=steps,
        summary=summarize(steps, host),
    )


def _writes(host: Host, masks: Mapping[str, Cbm], control: CacheControl, cache_id: int) -> Iterator[WriteSchemata]:
    """The writes, in an order in which each group enters only ways that no other one of them has at the moment.

    What is in no other group's way comes first. If there is no such order, the rest follows as it is, and applying
    refuses it.
    """
    now = {path: mask_of(group, control, cache_id) for path in masks if (group := host.group(path))}
    left = {path: masks[path] for path in now if now[path] != masks[path]}
    while left:
        free = (path for path, mask in left.items() if not any(mask & now[other] for other in now if other != path))
        path = next(free, next(iter(left)))
        mask = left.pop(path)
        texts = (_line(control, cache_id, value) for value in (now[path], mask))
        yield WriteSchemata(path, *texts)
        now[path] = mask


def _line(control: CacheControl, cache_id: int, mask: Cbm) -> str:
    return format_schemata(Masks.of([(control.name, cache_id, mask)]), {}, {control.name: control.ways})


def _run(low: int, high: int) -> Cbm:
    """The mask with the ways from ``low`` to ``high``."""
    return Cbm((1 << (high + 1)) - (1 << low))


def _is_contiguous(mask: Cbm) -> bool:
    ways = _ways_of(mask)
    return bool(ways) and ways[-1] - ways[0] == len(ways) - 1


def _ways_of(mask: Cbm) -> list[int]:
    return [way for way in range(mask.bit_length()) if mask & (1 << way)]
