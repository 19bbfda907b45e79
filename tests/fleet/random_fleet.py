"""Random fleets: hosts of all simulated processors, each with groups at random places, as snapshots would have them."""

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

from msgspec.structs import replace

from cachetune.cbm import Bandwidth, Cbm, Masks, run, runs
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host, Identity, Owner
from cachetune.host.read import read_host
from cachetune.sim import SimulatedResctrl, load_profile, profile_names

TAKEN = 1_790_000_000.0
"""When the snapshots of a fleet were taken, in seconds since 1970."""


def random_fleet(number: int, seed: int = 1, profiles: Sequence[str] | None = None) -> Iterator[Host]:
    """That many hosts, of the profiles in turn; the same for the same seed. They are called node-0, node-1, …"""
    random, names = Random(seed), tuple(profiles or profile_names())  # noqa: S311 - not for secrets
    for i in range(number):
        identity = Identity(hostname=f"node-{i}", taken=TAKEN - random.randrange(3600))
        yield replace(_host(names[i % len(names)], random), identity=identity, source="/sys/fs/resctrl")


@cache
def _empty(profile: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


def _host(profile: str, random: Random) -> Host:
    """A host on which the default group has kept some ways, or all, and groups have some of the others."""
    host = _empty(profile)
    if not host.caches:
        return host
    names = [*_names(random, min(random.randrange(7), (host.closids_total or 1) - 2))]
    masks: dict[str, list[tuple[str, int, Cbm]]] = {path: [] for path, _ in names}
    kept: list[tuple[str, int, Cbm]] = []
    shrunk = random.random() < 0.8
    for control in host.caches:
        for cache_id in control.size_bytes:
            default = _kept(control, random) if shrunk else control.cbm_mask
            kept.append((control.name, cache_id, default))
            free = control.cbm_mask & ~default
            for entries in masks.values():
                mask = _hole(free, control, random) or default  # without room, as libvirt does: like the default group
                entries.append((control.name, cache_id, mask))
                free &= ~mask
    default_group = replace(host.default_group, masks=Masks.of(kept), tids=(1, 2))
    groups = [_group(path, owner, Masks.of(masks[path]), host, random) for path, owner in names]
    others = [group for group in host.groups if group.path != DEFAULT_GROUP]
    every = (default_group, *groups, *others)
    return replace(host, groups=every, caches=tuple(_used(control, every) for control in host.caches))


def _names(random: Random, number: int) -> Iterator[tuple[str, Owner]]:
    """Paths of control groups and who made them."""
    for i in range(number):
        match random.randrange(6):
            case 0:
                yield f"COS{i + 1}", "pqos"
            case 1:
                yield f"qemu-{i + 1}-vm{i}-vcpus_0-3", "libvirt"
            case _:
                yield f"cachetune-guest{i}", "cachetune"


def _kept(control: CacheControl, random: Random) -> Cbm:
    """The default group's ways: the highest ones, among them those that devices use on most processors."""
    least = max(control.min_cbm_bits, 1)
    ways = random.randrange(least, control.ways + 1)
    return Cbm(run(control.ways - ways, ways) & control.cbm_mask)


def _hole(free: int, control: CacheControl, random: Random) -> Cbm | None:
    """Some contiguous free ways, not always at the end of a hole."""
    least = max(control.min_cbm_bits, 1)
    holes = [(start, length) for start, length in runs(free) if length >= least]
    if not holes:
        return None
    start, length = random.choice(holes)
    ways = random.randrange(least, max(least, min(length, 4)) + 1)
    return run(start + random.randrange(length - ways + 1), ways)


def _group(path: str, owner: Owner, masks: Masks, host: Host, random: Random) -> Group:
    limits = [(b.name, i, b.max_bandwidth) for b in host.bandwidths for i in b.ids if b.max_bandwidth]
    bandwidth = Bandwidth.of(limits)
    tids = tuple(random.randrange(1000, 30_000) for _ in range(4))
    return Group(path, "control", owner, masks=masks, bandwidth=bandwidth, tids=tuple(sorted(set(tids))))


def _used(control: CacheControl, groups: Sequence[Group]) -> CacheControl:
    """The resource with the bit_usage that the kernel would show."""
    usage = {}
    for cache_id in control.bit_usage:
        used, io = 0, int(control.io_ways(cache_id))
        for group in groups:
            used |= group.masks.at(control.name, cache_id) or 0
        letters = {(0, 0): "0", (0, 1): "H", (1, 0): "S", (1, 1): "X"}
        usage[cache_id] = "".join(letters[used >> way & 1, io >> way & 1] for way in reversed(range(control.ways)))
    return replace(control, bit_usage=usage)
