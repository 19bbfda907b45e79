"""The lines above the table: what is left on the host, and a picture of the ways of each cache."""

from collections.abc import Iterable

import msgspec

from cachetune.host.model import Host, Owner
from cachetune.host.usage import CacheUsage, HostUsage, Limit
from cachetune.idset import format_ids
from cachetune.picture import letter_of


class CacheMap(msgspec.Struct, frozen=True):
    """The ways of one cache, or of several that are alike: ``owners`` are the masks of all control groups by letter.

    ``idle`` are ways that no group has and that are not kept for a starting guest, None where that is not known.
    """

    resource: str
    ids: tuple[int, ...]
    ways: int
    owners: tuple[tuple[str, int], ...]
    free: int
    idle: int | None

    @property
    def name(self) -> str:
        """The cache as people name it: "L3 0-3"."""
        return f"{self.resource} {format_ids(self.ids)}"

    @property
    def words(self) -> str:
        """How much of it no group has."""
        if self.idle is None or self.idle == self.free:
            what = "free" if self.idle is None else "idle"
            return f"{self.free} {what}" if self.free else ""
        return f"{self.free} free, {self.idle} idle"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is left on a host. ``groups`` are the letter, the path and the owner of each control group."""

    source: str
    groups: tuple[tuple[str, str, Owner], ...]
    maps: tuple[CacheMap, ...]
    closids: Limit
    rmids: Limit
    rmids_per_control_group: int | None


def summary_of(usage: HostUsage, *, is_live: bool) -> Summary:
    """The summary of a host; idle ways are known of a live one."""
    idle = {(each.resource, each.id): each.ways.bit_count() for each in usage.idle}
    maps = [_map(usage.host, each, idle.get((each.resource, each.id), 0) if is_live else None) for each in usage.caches]
    return Summary(
        source=usage.host.source,
        groups=tuple((letter_of(i), group.path, group.owner) for i, group in enumerate(usage.host.control_groups())),
        maps=tuple(_together(maps)),
        closids=usage.closids,
        rmids=usage.rmids,
        rmids_per_control_group=usage.rmids_per_control_group,
    )


def _map(host: Host, cache: CacheUsage, idle: int | None) -> CacheMap:
    control = next(control for control in host.caches if control.name == cache.resource)
    owners = tuple(
        (letter_of(i), int(group.masks.at(cache.resource, cache.id) or 0))
        for i, group in enumerate(host.control_groups())
    )
    return CacheMap(cache.resource, (cache.id,), control.cbm_mask.bit_length(), owners, cache.free_ways, idle)


def _together(maps: Iterable[CacheMap]) -> Iterable[CacheMap]:
    """Those that are alike as one."""
    alike: dict[CacheMap, tuple[int, ...]] = {}
    for each in maps:
        key = msgspec.structs.replace(each, ids=())
        alike[key] = (*alike.get(key, ()), *each.ids)
    return (msgspec.structs.replace(each, ids=ids) for each, ids in alike.items())
