"""Who holds which ways of one cache: the default group, our groups that share its ways, and all others."""

from collections.abc import Collection

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host
from cachetune.host.usage import unexplained_ways

_NONE = Cbm(0)


class Occupancy(msgspec.Struct, frozen=True):
    """``followers`` are groups of ours with the default group's mask; ``taken`` are the ways of all other groups.

    Where a group's mask is not known, ``taken`` has the ways that are in use and that no known mask explains.
    """

    default: Cbm
    followers: tuple[str, ...]
    taken: Cbm


def mask_of(group: Group, control: CacheControl, cache_id: int) -> Cbm:
    """The group's mask of one cache; empty if it has none."""
    return group.masks.at(control.name, cache_id) or _NONE


def io_to_avoid(control: CacheControl, cache_id: int) -> Cbm:
    """The ways of a cache that devices use as well; none if they use all of it, since then none can be avoided."""
    ways = control.io_ways(cache_id)
    return Cbm(0) if ways == control.cbm_mask else ways


def occupancy_of(host: Host, control: CacheControl, cache_id: int, ignored: Collection[str]) -> Occupancy:
    """Who holds the ways of a cache, without the groups ``ignored``.

    An exclusive group also keeps others' DATA out of its CODE ways, and the reverse, as the kernel does.
    """
    default = mask_of(host.default_group, control, cache_id)
    followers = []
    taken = int(unexplained_ways(host, control, cache_id, ignored))
    for group in host.control_groups():
        if group.path == DEFAULT_GROUP or group.path in ignored:
            continue
        mask = group.masks.at(control.name, cache_id) or _NONE
        if group.owner == "cachetune" and mask == default:
            followers.append(group.path)
        else:
            taken |= int(mask if group.mode == "shareable" else of_all_types(group, control, cache_id, host))
    return Occupancy(default, tuple(followers), Cbm(taken))


def exclusive_ways(host: Host, control: CacheControl, cache_id: int, ignored: Collection[str]) -> Cbm:
    """The ways that exclusive groups keep from all others, without those of the groups ``ignored``."""
    ways = Cbm(0)
    for group in host.control_groups():
        if group.mode == "exclusive" and group.path not in ignored:
            ways |= of_all_types(group, control, cache_id, host)
    return ways


def exclusive_bits(host: Host, control: CacheControl, cache_id: int) -> Cbm:
    """The ways that a default group in mode exclusive keeps from all others."""
    group = host.default_group
    return of_all_types(group, control, cache_id, host) if group.mode == "exclusive" else Cbm(0)


def of_all_types(group: Group, control: CacheControl, cache_id: int, host: Host) -> Cbm:
    """The group's ways of one cache for any type of data: what an exclusive group keeps from others."""
    bits = Cbm(0)
    for other in host.caches:
        if other.level == control.level:
            bits |= mask_of(group, other, cache_id)
    return bits
