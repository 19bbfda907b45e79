"""The files schemata, size and info/*/bit_usage, and the rules for a write to schemata.

A write is a list of lines ``name:id=value;id=value``. It is checked from left to right, and the first error is the
answer. Values are applied only if all are valid, except MB with mba_MBps, which applies immediately. Source:
rdtgroup_schemata_write and its callees in Linux 6.1 to 7.3, and the recorded answers.
"""

import dataclasses
import errno
from collections.abc import Iterator

from cachetune.cbm import is_contiguous, runs
from cachetune.sim.kernel.state import Group, Region, State
from cachetune.sim.numbers import NumberError, c_string, strip, unsigned
from cachetune.sim.resources import BandwidthResource, CacheResource, Resource

NO_PAIR = "Missing '=' or non-numeric domain\n"
# The kernel locks contiguous memory: KMALLOC_MAX_SIZE on x86.
_MOST_LOCKED_BYTES = 4 << 20


# -- reading ----------------------------------------------------------------------------------------------------


def show(state: State, group: Group) -> str:
    """Return the content of a group's schemata file."""
    if group.mode == "pseudo-locksetup":
        return "".join(f"{r.name}:uninitialized\n" for r in state.resources)
    if group.mode == "pseudo-locked" and group.region:
        region = group.region
        return f"{region.resource.name}:{region.cache_id}={region.mask:x}\n"
    width = 0 if state.rules.unpadded_values else max((r.data_width for r in state.resources), default=0)
    lines = [f"{line}\n" for line in group.other_lines]
    for resource in state.resources:
        kind = f"0{width}x" if isinstance(resource, CacheResource) else f"{width or ''}d"
        values = group.values[resource.name]
        lines.append(_name(state, resource) + ";".join(f"{i}={values[i]:{kind}}" for i in resource.ids) + "\n")
    return "".join(lines)


def show_size(state: State, group: Group) -> str:
    """Return the content of a group's size file: schemata in bytes."""
    if group.mode == "pseudo-locked" and group.region:
        region = group.region
        size = region.resource.mask_bytes(region.cache_id, region.mask)
        return f"{_name(state, region.resource)}{region.cache_id}={size}\n"
    lines = []
    for resource in state.resources:
        sizes = ";".join(f"{i}={_size(group, resource, i)}" for i in resource.ids)
        lines.append(f"{_name(state, resource)}{sizes}\n")
    return "".join(lines)


def _size(group: Group, resource: Resource, cache_id: int) -> int:
    if group.mode == "pseudo-locksetup":
        return 0
    value = group.values[resource.name][cache_id]
    return resource.mask_bytes(cache_id, value) if isinstance(resource, CacheResource) else value


def _name(state: State, resource: Resource) -> str:
    return f"{resource.name:>{max(r.name_width for r in state.resources)}}:"


def show_bit_usage(state: State, resource: CacheResource) -> str:
    """Return the content of info/<cache>/bit_usage: one letter per bit, the highest bit first."""
    parts = []
    for cache_id in resource.ids:
        shared = exclusive = 0
        for group in state.allocated():
            mask = group.values[resource.name][cache_id]
            shared |= mask if group.mode == "shareable" else 0
            exclusive |= mask if group.mode == "exclusive" else 0
        locked = state.locked_bits(resource, cache_id)
        hardware = resource.shareable | state.io_masks(resource).get(cache_id, 0)
        letters = "".join(
            _letter(1 << bit, hardware, shared, exclusive, locked) for bit in reversed(range(resource.ways))
        )
        parts.append(f"{cache_id}={letters}")
    return ";".join(parts) + "\n"


def _letter(bit: int, hardware: int, shared: int, exclusive: int, locked: int) -> str:
    if bit & hardware:
        return "X" if bit & shared else "H"
    for letter, mask in (("S", shared), ("E", exclusive), ("P", locked)):
        if bit & mask:
            return letter
    return "0"


# -- the masks of a new group -----------------------------------------------------------------------------------


def initial_values(state: State) -> dict[str, dict[int, int]]:
    """Return the values of a new control group. Raises RefusedError (ENOSPC) if a cache has no usable bits left."""
    values: dict[str, dict[int, int]] = {}
    for resource in state.resources:
        if isinstance(resource, CacheResource):
            values[resource.name] = {i: initial_mask(state, resource, i) for i in resource.ids}
        else:
            values[resource.name] = dict.fromkeys(resource.ids, resource.default)
    return values


def initial_mask(state: State, resource: CacheResource, cache_id: int) -> int:
    """Return the bits that are unused, the hardware's, or a shareable group's; mostly only their lowest run.

    The bits of io_alloc are used, but not shareable.
    """
    usable = used = resource.shareable
    for group in state.allocated():
        if group.mode != "pseudo-locksetup":
            mask = group.values[resource.name][cache_id]
            if resource.peer:
                mask |= group.values[resource.peer][cache_id]
            used |= mask
            usable |= mask if group.mode == "shareable" else 0
    used |= state.locked_bits(resource, cache_id) | state.io_masks(resource).get(cache_id, 0)
    usable |= resource.full & ~used
    if not (resource.sparse and state.rules.sparse_initial_masks):
        start, length = next(runs(usable), (0, 0))
        usable = ((1 << length) - 1) << start
    if usable.bit_count() < resource.min_cbm_bits:
        state.refuse_formatted(f"No space on {resource.name}:{cache_id}\n", number=errno.ENOSPC)
    return usable


# -- exclusive groups -------------------------------------------------------------------------------------------


def overlaps(state: State, group: Group, resource: CacheResource, cache_id: int, mask: int) -> bool:
    """Whether a mask overlaps the hardware's bits or those of another group (with CDP: its code or data)."""
    hardware = resource.shareable | state.io_masks(resource).get(cache_id, 0)
    return bool(mask & hardware) or any(_sharers(state, group, resource, cache_id, mask))


def _sharers(state: State, group: Group | None, resource: CacheResource, cache_id: int, mask: int) -> Iterator[Group]:
    names = (resource.name, resource.peer) if resource.peer else (resource.name,)
    for other in state.allocated():
        if other is group or other.mode == "pseudo-locksetup":
            continue
        if any(other.values[name][cache_id] & mask for name in names):
            yield other


# -- writing ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Write:
    """One write in progress: the values parsed so far, by resource and cache id."""

    state: State
    group: Group
    staged: dict[tuple[str, int], int] = dataclasses.field(default_factory=dict)


def write(state: State, group: Group, text: str) -> None:
    """Execute one write to a group's schemata file. Raises RefusedError."""
    if not text.endswith("\n"):
        state.refuse_input("schemata")
    state.status.clear()
    if group.mode == "pseudo-locked":
        state.refuse("Resource group is pseudo-locked\n")
    command = _Write(state, group)
    for line in c_string(text[:-1]).split("\n"):
        _read_line(command, line)
    for (name, cache_id), value in command.staged.items():
        state.set_value(group, name, cache_id, value)
    if group.mode == "pseudo-locksetup":
        _lock_region(state, group)


def _read_line(command: _Write, line: str) -> None:
    state, group = command.state, command.group
    before, colon, entries = line.partition(":")
    name = strip(before)
    if not colon:
        state.refuse("Missing ':'\n")
    if not entries:
        state.refuse_formatted(f"Missing '{name}' value\n")
    resource = next((r for r in state.resources if r.name == name), None)
    if resource is None:
        state.refuse_formatted(f"Unknown or unsupported resource name '{name}'\n")
    if group.mode == "pseudo-locksetup" and isinstance(resource, BandwidthResource):
        state.refuse("Cannot pseudo-lock MBA resource\n")
    rest = entries
    while rest:
        entry, _, rest = rest.partition(";")
        _read_entry(command, resource, entry)
        if command.group.mode == "pseudo-locksetup":
            return


def _read_entry(command: _Write, resource: Resource, entry: str) -> None:
    state = command.state
    number, equals, value = entry.partition("=")
    try:
        cache_id = unsigned(number, 10, 64)
    except NumberError:
        state.refuse(NO_PAIR)
    if not equals:
        state.refuse(NO_PAIR)
    if cache_id not in resource.ids:
        state.refuse()
    if (resource.name, cache_id) in command.staged:
        state.refuse_formatted(f"Duplicate domain {cache_id}\n")
    if isinstance(resource, CacheResource):
        mask = _read_mask(command, resource, cache_id, strip(value))
        command.staged[resource.name, cache_id] = mask
        if command.group.mode == "pseudo-locksetup":
            command.group.region = Region(resource, cache_id, mask)
        return
    bandwidth = _read_bandwidth(state, resource, strip(value))
    if resource.mbps:
        state.set_value(command.group, resource.name, cache_id, bandwidth)
    else:
        command.staged[resource.name, cache_id] = bandwidth


def _read_bandwidth(state: State, resource: BandwidthResource, text: str) -> int:
    try:
        value = unsigned(text, 10, 32)
    except NumberError:
        state.refuse_formatted(f"Invalid MB value {text}\n")
    if resource.mbps:
        return value
    least, most = resource.min_bandwidth, resource.max_bandwidth
    if not least <= value <= most:
        state.refuse_formatted(f"MB value {value} out of range [{least},{most}]\n")
    return resource.kept(value)


def _read_mask(command: _Write, resource: CacheResource, cache_id: int, text: str) -> int:
    state, group = command.state, command.group
    if group.mode == "pseudo-locksetup" and _region_nearby(state, resource, cache_id):
        state.refuse("Pseudo-locked region in hierarchy\n")
    mask = mask_beside_groups(state, resource, cache_id, text, group)
    if group.mode != "shareable" and overlaps(state, group, resource, cache_id, mask):
        state.refuse("Overlaps with other group\n")
    return mask


def mask_beside_groups(
    state: State, resource: CacheResource, cache_id: int, text: str, group: Group | None = None
) -> int:
    """Return a mask that overlaps neither locked nor exclusive bits of other groups. Raises RefusedError.

    ``group`` is the group whose mask it will be, None for io_alloc.
    """
    mask = _valid_mask(state, resource, text)
    setup = group is not None and group.mode == "pseudo-locksetup"
    if not setup and mask & state.locked_bits(resource, cache_id):
        state.refuse("CBM overlaps with pseudo-locked region\n")
    if any(other.mode == "exclusive" for other in _sharers(state, group, resource, cache_id, mask)):
        state.refuse("Overlaps with exclusive group\n")
    return mask


def _valid_mask(state: State, resource: CacheResource, text: str) -> int:
    try:
        mask = unsigned(text, 16, 64)
    except NumberError:
        state.refuse_formatted(f"Non-hex character in the mask {text}\n")
    if (mask == 0 and resource.min_cbm_bits > 0) or mask > resource.full:
        state.refuse("Mask out of range\n")
    if not resource.sparse and not is_contiguous(mask):
        state.refuse_formatted(f"The mask {mask:x} has non-consecutive 1-bits\n")
    _, length = next(runs(mask), (0, 0))
    if length < resource.min_cbm_bits:
        state.refuse_formatted(f"Need at least {resource.min_cbm_bits} bits in the mask\n")
    return mask


def _region_nearby(state: State, resource: CacheResource, cache_id: int) -> bool:
    """Whether any cache that shares a CPU with this one, on any level, has a locked region."""
    regions = [g.region for g in state.groups.values() if g.region is not None]
    return any(r.resource.cpus[r.cache_id] & resource.cpus[cache_id] for r in regions)


def _lock_region(state: State, group: Group) -> None:
    """Turn a group in pseudo-locksetup into a pseudo-locked one: its bits are taken, its CLOSID is freed."""
    region = group.region
    if region and region.resource.mask_bytes(region.cache_id, region.mask) > _MOST_LOCKED_BYTES:
        group.region = None
        state.refuse("Requested region exceeds maximum size\n", number=errno.E2BIG)
    group.mode, group.closid = "pseudo-locked", None
