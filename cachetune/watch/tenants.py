"""Who uses a cache: each guest, the default group without the guests in it, and every other group, counted once.

The kernel adds the values of monitor groups to those of their control group. So a guest with a control group is that
group alone, and a monitor group is taken from its control group if it belongs to another tenant: guests without an
allocation have their monitor groups in the default group.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from cachetune.host.model import DEFAULT_GROUP, parent_of
from cachetune.watch.usage import Moment, Usage


class Tenant(NamedTuple):
    """A guest by its name, or a group by its path. Tenants are sorted by their names."""

    name: str
    kind: Literal["guest", "group", "default"]

    def __str__(self) -> str:
        """As messages name it."""
        return "the default group" if self.kind == "default" else self.name


class Part(msgspec.Struct, frozen=True):
    """What a tenant used of one cache at one moment.

    ``ways`` are the numbers of those that it may fill. A value is None where it is not known.
    """

    ways: frozenset[int]
    occupancy_bytes: float | None
    bytes_per_second: float | None
    paths: tuple[str, ...]

    def plus(self, other: "Part") -> "Part":
        """The same tenant's use through another group too."""
        return Part(
            self.ways | other.ways,
            _sum(self.occupancy_bytes, other.occupancy_bytes),
            _sum(self.bytes_per_second, other.bytes_per_second),
            (*self.paths, *other.paths),
        )

    def minus(self, inside: Usage) -> "Part":
        """The use without that of a monitor group; what is not known of that is not in the sum either."""
        return Part(
            self.ways,
            _difference(self.occupancy_bytes, inside.occupancy_bytes),
            _difference(self.bytes_per_second, inside.total_bytes_per_second),
            self.paths,
        )


def tenants_of(moment: Moment, cache_id: int, ways: int) -> dict[Tenant, Part]:
    """Return who uses one cache, and what. ``ways`` is how many it has: those of a group without a mask."""
    usages = [usage for usage in moment.usages if usage.cache_id == cache_id]
    controls = {usage.path: _tenant_of(usage) for usage in usages if usage.kind == "control"}
    parts = {usage.path: _part_of(usage, ways) for usage in usages if usage.kind == "control"}
    inside: list[tuple[Tenant, Part]] = []
    for usage in usages:
        if usage.kind == "monitor":
            control = parent_of(usage.path)
            tenant = _tenant_of(usage, controls.get(control))
            if tenant != controls.get(control):
                inside.append((tenant, _part_of(usage, ways)))
                if control in parts:
                    parts[control] = parts[control].minus(usage)
    found: dict[Tenant, Part] = {}
    for tenant, part in (*((controls[path], part) for path, part in parts.items()), *inside):
        found[tenant] = found[tenant].plus(part) if tenant in found else part
    return found


def _tenant_of(usage: Usage, control: Tenant | None = None) -> Tenant:
    """Whose group it is; an unknown monitor group is its control group's, but not the default group's."""
    if usage.guest is not None:
        return Tenant(usage.guest, "guest")
    if usage.path == DEFAULT_GROUP:
        return Tenant(DEFAULT_GROUP, "default")
    return control if control and control.kind != "default" else Tenant(usage.path, "group")


def _part_of(usage: Usage, ways: int) -> Part:
    mask = frozenset(range(ways)) if usage.mask is None else frozenset(_ways_in(int(usage.mask)))
    return Part(mask, usage.occupancy_bytes, usage.total_bytes_per_second, (usage.path,))


def _ways_in(mask: int) -> Iterator[int]:
    return (way for way in range(mask.bit_length()) if mask >> way & 1)


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else one + other


def _difference(whole: float | None, part: float | None) -> float | None:
    return None if whole is None else max(0.0, whole - (part or 0.0))
