"""What groups lose that move to make room: the ways in which they begin without data."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from cachetune.cbm import Amounts, Cbm
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.plan.allocate.relocate import Moves
from cachetune.plan.model import MovedGroup


def moved_groups(host: Host, compacted: Moves, names: Mapping[str, str]) -> Iterator[MovedGroup]:
    """The groups that enter other ways, by path. ``names`` are the guests of groups, by path."""
    cold: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    for (resource, cache_id), writes in compacted.items():
        for path in dict.fromkeys(path for path, _ in writes):
            group = host.group(path)
            before = (group.masks.at(resource, cache_id) if group else None) or Cbm(0)
            if ways := _cold(before, [mask for of, mask in writes if of == path]):
                cold[path][resource, cache_id] = ways
    for path, ways_of in sorted(cold.items()):
        group = host.group(path)
        amounts = Amounts.of((*place, ways) for place, ways in sorted(ways_of.items()))
        yield MovedGroup(path, names.get(path) or _name(group), amounts, _size(amounts, host))


def _cold(before: Cbm, masks: list[Cbm]) -> int:
    """The ways entered in place of others; those by which a group grows are new to it in any case."""
    entered, now = 0, before
    for mask in masks:
        entered += (mask & ~now).bit_count()
        now = mask
    return entered - max(0, now.bit_count() - before.bit_count())


def _size(ways: Amounts, host: Host) -> int | None:
    controls = {control.name: control for control in host.caches}
    sizes = [(count, controls[name].way_bytes(cache_id)) for name, cache_id, count in ways.entries()]
    return None if any(size is None for _, size in sizes) else sum(count * (size or 0) for count, size in sizes)


def _name(group: Group | None) -> str:
    """The guest's name as far as libvirt's machine name has it."""
    if group is None or group.path == DEFAULT_GROUP or group.owner != "libvirt":
        return ""
    found = re.fullmatch(r"qemu-[0-9]+-(.+?)(?:-vcpus_[0-9,-]+)?", group.path, re.ASCII)
    return found[1] if found else ""
