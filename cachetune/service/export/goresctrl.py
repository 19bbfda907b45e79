"""Groups as goresctrl's configuration: classes with their masks and bandwidth, in partitions that do not overlap.

A class is a group of the same name; "system/default" is the default group. Partitions must have no way in common, so
groups that overlap on any cache share one. A class's mask counts from the lowest way of its partition, and neither may
have holes. Bandwidth is a share of the partition's, which is all of it here. Source: goresctrl 0.3.0 as observed, and
its config.go.

The YAML is written here: every key and value is quoted, because names of groups are untrusted.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachetune.cbm import Cbm, is_contiguous
from cachetune.host.model import BandwidthControl, Group, Host
from cachetune.service.applied import AppliedGuest
from cachetune.service.export.masks import control_groups, is_default, left_out
from cachetune.text import printable

_WORDS = frozenset(
    ("partitions", "classes", "l2Allocation", "l3Allocation", "mbAllocation", "all", "unified", "code", "data")
)
Tree = Mapping[str, "Tree | str | list[str]"]
_Place = tuple[int, int]
_UNLIMITED = {"percent": "100%", "MiB/s": f"{(1 << 32) - 1}MBps"}
_SUFFIX = {"percent": "%", "MiB/s": "MBps"}


class _Partition(msgspec.Struct, frozen=True):
    """Groups that overlap, and by cache level and id the ways from their lowest to their highest one."""

    groups: tuple[Group, ...]
    ways: dict[_Place, Cbm]

    def overlaps(self, other: "_Partition") -> bool:
        return any(self.ways[place] & other.ways[place] for place in self.ways)

    def joined(self, other: "_Partition") -> "_Partition":
        ways = {place: _filled(mask | other.ways[place]) for place, mask in self.ways.items()}
        return _Partition((*self.groups, *other.groups), ways)


def export(guests: Sequence[AppliedGuest], host: Host, *, default: bool) -> tuple[str, list[str]]:
    """The YAML document, and notes on what it does not set."""
    notes = list(left_out(guests, host, "goresctrl", default=default))
    groups = []
    for _, group in control_groups(guests, host, default=default):
        if why := _unusable(group, host):
            notes.append(f"{printable(group.path)} is left out: {why}")
        else:
            groups.append(group)
    control = host.bandwidth("MB")
    if control and control.unit not in _SUFFIX:
        notes.append("goresctrl has no unit for the memory bandwidth of AMD: left out")
        control = None
    partitions = {_class_of(each.groups[0]): _partition(each, host, control) for each in _apart(groups, host)}
    return "\n".join((*_yaml({"partitions": partitions}), "")), notes


def _unusable(group: Group, host: Host) -> str:
    """Why goresctrl cannot set the group's masks; "" if it can."""
    for cache in host.caches:
        for cache_id in cache.size_bytes:
            mask = group.masks.at(cache.name, cache_id)
            if not mask or not is_contiguous(mask):
                what = "cannot be read" if mask is None else f"{mask:#x} has holes" if mask else "has no ways"
                return f"its mask on {cache.name} cache {cache_id} {what}"
    return ""


def _apart(groups: Sequence[Group], host: Host) -> list[_Partition]:
    """The fewest groups together such that no two partitions overlap."""
    apart: list[_Partition] = []
    for group in groups:
        new = _Partition((group,), dict(_ways(group, host)))
        while touching := [each for each in apart if each.overlaps(new)]:
            apart = [each for each in apart if each not in touching]
            for each in touching:
                new = each.joined(new)
        apart.append(new)
    return apart


def _ways(group: Group, host: Host) -> Iterator[tuple[_Place, Cbm]]:
    found: dict[_Place, Cbm] = {}
    for cache in host.caches:
        for cache_id in cache.size_bytes:
            place = (cache.level, cache_id)
            found[place] = _filled(found.get(place, Cbm(0)) | (group.masks.at(cache.name, cache_id) or 0))
    yield from found.items()


def _filled(mask: Cbm) -> Cbm:
    """The mask with its holes."""
    return Cbm((1 << mask.bit_length()) - (mask & -mask)) if mask else mask


def _partition(partition: _Partition, host: Host, control: BandwidthControl | None) -> Tree:
    tree: dict[str, Tree | str | list[str]] = {}
    for level in sorted({level for level, _ in partition.ways}):
        masks = {i: mask for (of, i), mask in partition.ways.items() if of == level}
        tree[f"l{level}Allocation"] = _by_id({i: f"{mask:#x}" for i, mask in masks.items()})
    if control:
        tree["mbAllocation"] = [_UNLIMITED[control.unit]]
    tree["classes"] = {_class_of(group): _class(group, partition, host, control) for group in partition.groups}
    return tree


def _class(group: Group, partition: _Partition, host: Host, control: BandwidthControl | None) -> Tree:
    """The values of a class that differ from its partition's."""
    tree: dict[str, Tree | str | list[str]] = {}
    for level in sorted({level for level, _ in partition.ways}):
        allocations = {
            i: _allocation(group, host, level, i, around) for (of, i), around in partition.ways.items() if of == level
        }
        whole = {i: f"{around >> _lowest(around):#x}" for (of, i), around in partition.ways.items() if of == level}
        if allocations != whole:
            tree[f"l{level}Allocation"] = _by_id(allocations)
    if control:
        values = {i: [f"{v}{_SUFFIX[control.unit]}"] for i, v in sorted(group.bandwidth.row("MB").items())}
        if any(value != [_UNLIMITED[control.unit]] for value in values.values()):
            tree["mbAllocation"] = _by_id(values)
    return tree


def _allocation(group: Group, host: Host, level: int, cache_id: int, around: Cbm) -> Tree | str:
    """The class's masks of one cache, counted from the partition's lowest way; by type on a host with CDP."""
    lowest = _lowest(around)
    masks: dict[str, Tree | str | list[str]] = {
        cache.type: f"{(group.masks.at(cache.name, cache_id) or 0) >> lowest:#x}"
        for cache in host.caches
        if cache.level == level
    }
    if "both" in masks:
        return str(masks["both"])
    return {"unified": f"{around >> lowest:#x}", **masks}  # required, though it has no effect beside code and data


def _lowest(mask: Cbm) -> int:
    return (int(mask) & -int(mask)).bit_length() - 1


def _by_id(values: Mapping[int, Tree | str | list[str]]) -> Tree:
    """One value for all ids, which goresctrl requires, and those that differ."""
    first = next(iter(values.values()))
    return {"all": first, **{str(i): value for i, value in values.items() if value != first}}


def _class_of(group: Group) -> str:
    return "system/default" if is_default(group) else group.path


def _yaml(tree: Tree, indent: str = "") -> Iterator[str]:
    for key, value in tree.items():
        name = f"{indent}{key if key in _WORDS else _quoted(key)}:"
        if isinstance(value, str):
            yield f"{name} {_quoted(value)}"
        elif isinstance(value, list):
            yield f"{name} [{', '.join(map(_quoted, value))}]"
        elif value:
            yield name
            yield from _yaml(value, f"{indent}  ")
        else:
            yield f"{name} {{}}"


def _quoted(text: str) -> str:
    """The text in double quotes, as YAML 1.1 and 1.2 read it."""
    plain = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{plain}"'
