"""The resources that a kernel finds on a processor: one for each line of schemata.

``resources_of`` returns them in the order of the lines. Masks and sizes are numbers here.
"""

import msgspec

from cachetune.sim.profile import Bandwidth, Cache, Profile, cpus_of
from cachetune.sim.rules import KernelRules

MBPS_MAX = 2**32 - 1


class CacheResource(msgspec.Struct, frozen=True, kw_only=True):
    """One line of masks in schemata and its directory in info. ``peer`` is the other half with CDP."""

    name: str
    level: int
    ids: tuple[int, ...]
    cpus: dict[int, frozenset[int]]
    sizes: dict[int, int]
    ways: int
    closids: int
    shareable: int
    min_cbm_bits: int
    sparse: bool
    peer: str | None
    name_width: int
    io_alloc: bool

    @property
    def full(self) -> int:
        """The mask of all ways."""
        return (1 << self.ways) - 1

    @property
    def data_width(self) -> int:
        """The columns that a mask takes."""
        return (self.ways + 3) // 4

    def mask_bytes(self, cache_id: int, mask: int) -> int:
        """Return what the ``size`` file shows for a mask."""
        return self.sizes[cache_id] // self.ways * mask.bit_count()


class BandwidthResource(msgspec.Struct, frozen=True, kw_only=True):
    """One line of bandwidths in schemata. With ``mbps`` (mba_MBps) a value is any 32-bit number of MiB/s."""

    name: str
    ids: tuple[int, ...]
    closids: int
    min_bandwidth: int
    bandwidth_gran: int
    max_bandwidth: int
    linear: bool
    throttle_mode: str | None
    fraction_bits: int | None
    mbps: bool

    @property
    def data_width(self) -> int:
        """The columns that a value takes."""
        return 3 if self.linear else 4

    @property
    def name_width(self) -> int:
        """The columns that the name takes."""
        return len(self.name)

    @property
    def default(self) -> int:
        """The value of a new group, which is no limit."""
        return MBPS_MAX if self.mbps else self.max_bandwidth

    def kept(self, value: int) -> int:
        """Return what the hardware keeps of a valid value: the next step, or the nearest of MPAM's fractions."""
        value = -(-value // self.bandwidth_gran) * self.bandwidth_gran
        return value if self.fraction_bits is None else nearest_percent(value, self.fraction_bits)


Resource = CacheResource | BandwidthResource


def nearest_percent(percent: int, fraction_bits: int) -> int:
    """Return the percentage that MPAM reads back: of the nearest fraction of ``fraction_bits``, at least the lowest.

    Source: percent_to_mbw_max and mbw_max_to_percent in drivers/resctrl of Linux 7.3.
    """
    bands = 1 << fraction_bits
    band = (max(_divide_rounded(percent * bands, 100), 1) - 1) % bands  # the register has no more bits
    return _divide_rounded((band + 1) * 100, bands)


def _divide_rounded(dividend: int, divisor: int) -> int:
    return (dividend + divisor // 2) // divisor


def resources_of(profile: Profile, rules: KernelRules) -> tuple[Resource, ...]:
    """Return the resources in the order of lines in schemata: SMBA, MB, L2, L3, and DATA before CODE."""
    bandwidths = sorted(profile.bandwidths, key=lambda b: b.name, reverse=True)
    found: list[Resource] = [
        _bandwidth_resource(profile, b) for b in bandwidths if b.name == "MB" or rules.amd_slow_memory
    ]
    for cache in sorted(profile.caches, key=lambda c: c.level):
        if cache.closids is not None:
            found += _cache_resources(profile, cache, cache.closids, rules)
    return tuple(found)


def _bandwidth_resource(profile: Profile, bandwidth: Bandwidth) -> BandwidthResource:
    return BandwidthResource(
        name=bandwidth.name,
        ids=profile.monitored_ids if bandwidth.ids is None else bandwidth.ids,
        closids=bandwidth.closids,
        min_bandwidth=bandwidth.min_bandwidth,
        bandwidth_gran=bandwidth.bandwidth_gran,
        max_bandwidth=bandwidth.max_bandwidth,
        linear=bandwidth.linear,
        throttle_mode=bandwidth.throttle_mode,
        fraction_bits=bandwidth.fraction_bits,
        mbps=bandwidth.name == "MB" and "mba_MBps" in profile.mount_options,
    )


def _cache_resources(profile: Profile, cache: Cache, closids: int, rules: KernelRules) -> list[CacheResource]:
    base = f"L{cache.level}"
    split = {3: "cdp", 2: "cdpl2"}[cache.level] in profile.mount_options
    names = (f"{base}DATA", f"{base}CODE") if split else (base,)
    return [
        CacheResource(
            name=name,
            level=cache.level,
            ids=cache.ids,
            cpus={i: cpus_of(text) for i, text in zip(cache.ids, cache.cpu_lists, strict=True)},
            sizes={i: cache.size_of(i) for i in cache.ids},
            ways=cache.ways,
            closids=closids // 2 if split else closids,
            shareable=int(cache.shareable, 16),
            min_cbm_bits=cache.min_cbm_bits,
            sparse=cache.sparse and (profile.vendor != "intel" or rules.sparse_masks_file),
            peer=names[1 - index] if split else None,
            name_width=len(base) + (4 if cache.cdp else 0),
            io_alloc=cache.io_alloc and rules.io_alloc,
        )
        for index, name in enumerate(names)
    ]
