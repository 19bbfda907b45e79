"""Who holds which ways of one cache: the default group, our groups that share its ways, and all others."""

from collections.abc import Collection

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host


class Occupancy(msgspec.Struct, frozen=True):
    """``followers`` are groups of ours with the default group's mask; ``taken`` are the ways of all other groups."""

    default: Cbm
    followers: tuple[str, ...]
    taken: Cbm


def mask_of(group: Group, control: CacheControl, cache_id: int) -> Cbm:
    """The group's mask of one cache; empty if it has none."""
    return group.masks.at(control.name, cache_id) or Cbm(0)


def occupancy_of(host: Host, control: CacheControl, cache_id: int, ignored: Collection[str]) -> Occupancy:
    """Who holds the ways of a cache, without the groups ``ignored``.

    An exclusive group also keeps others' DATA out of its CODE ways, and the reverse, as the kernel does.
    """
    default = mask_of(host.default_group, control, cache_id)
    followers = []
    taken = 0
    for group in host.control_groups():
        if group.path == DEFAULT_GROUP or group.path in ignored:
            continue
        mask = mask_of(group, control, cache_id)
        if group.owner == "cachetune" and mask == default:
            followers.append(group.path)
        else:
            taken |= int(mask if group.mode == "shareable" else _of_all_types(group, control, cache_id, host))
    return Occupancy(default, tuple(followers), Cbm(taken))


def exclusive_bits(host: Host, control: CacheControl, cache_id: int) -> Cbm:
    """The ways that a default group in mode exclusive keeps from all others."""
    group = host.default_group
    return _of_all_types(group, control, cache_id, host) if group.mode == "exclusive" else Cbm(0)


def _of_all_types(group: Group, control: CacheControl, cache_id: int, host: Host) -> Cbm:
    bits = Cbm(0)
    for other in host.caches:
        if other.level == control.level:
            bits |= mask_of(group, other, cache_id)
    return bits
