"""Profiles: the features of a simulated processor, as data.

A profile is a JSON file in ``profiles/`` or elsewhere. ``Profile.resources(rules)`` returns its resources under one
kernel and mount, in the order of the lines in schemata. Sizes are in bytes, masks are hexadecimal strings as in
resctrl.
"""

import errno
from importlib.resources import files
from typing import Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.errors import DocumentError, ProfileNotFoundError, ResctrlError
from cachetune.host.model import Topology
from cachetune.sim.numbers import NumberError, format_cpu_list, parse_cpu_list
from cachetune.sim.rules import DEFAULT_KERNEL, KernelRules, rules_of

MBPS_MAX = 2**32 - 1
MBPS_EVENTS = ("mbm_local_bytes", "mbm_total_bytes")
"""The events that mba_MBps can compare with its limits; the first that the processor has is the default."""


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The caches of one level. ``cpu_lists`` are the CPUs of each id. ``closids`` None means no allocation control.

    ``sizes`` has the ids whose size is not ``size_bytes``; 0 is an unknown size.
    """

    level: int
    ids: tuple[int, ...]
    cpu_lists: tuple[str, ...]
    size_bytes: int
    ways: int
    closids: int | None = None
    shareable: str = "0"
    min_cbm_bits: int = 1
    sparse: bool = False
    cdp: bool = False
    sizes: dict[int, int] = {}

    def size_of(self, cache_id: int) -> int:
        """Return the size of one cache in bytes."""
        return self.sizes.get(cache_id, self.size_bytes)


class Bandwidth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """MB or SMBA. Values are in percent with ``linear`` delay (Intel), otherwise in 1/8 GB/s (AMD)."""

    name: Literal["MB", "SMBA"]
    closids: int
    min_bandwidth: int
    bandwidth_gran: int
    max_bandwidth: int
    linear: bool = True
    throttle_mode: Literal["max", "per-thread"] | None = None


class Monitoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """L3_MON. ``unit_bytes`` is the counters' step. ``configurable`` events have a ``_config`` file (BMEC)."""

    rmids: int
    events: tuple[str, ...]
    unit_bytes: int = 65536
    configurable: tuple[str, ...] = ()


class CoreCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cache private to each core, only visible in sysfs."""

    level: int
    type: Literal["Data", "Instruction", "Unified"]
    size_bytes: int


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


Resource = CacheResource | BandwidthResource


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="profile"):
    """A processor, the kernel that runs on it, and the mount options of its resctrl."""

    name: str
    description: str = ""
    vendor: Literal["intel", "amd"] = "intel"
    kernel: str = DEFAULT_KERNEL
    caches: tuple[Cache, ...]
    bandwidths: tuple[Bandwidth, ...] = ()
    monitoring: Monitoring | None = None
    mount_options: tuple[str, ...] = ()
    core_caches: tuple[CoreCache, ...] = ()
    threads_per_core: int = 1
    pseudo_locking: bool = False

    @property
    def cpu_count(self) -> int:
        """The highest CPU number plus one."""
        return 1 + max(max(cpus_of(text)) for cache in self.caches for text in cache.cpu_lists)

    @property
    def topology(self) -> Topology:
        """The CPUs of each cache, as sysfs lists them."""
        return Topology(
            {
                c.level: {i: format_cpu_list(cpus_of(cpus)) for i, cpus in zip(c.ids, c.cpu_lists, strict=True)}
                for c in self.caches
            }
        )

    @property
    def can_allocate(self) -> bool:
        """Whether control groups are supported at all."""
        return bool(self.bandwidths) or any(c.closids is not None for c in self.caches)

    def cache(self, level: int) -> Cache | None:
        """Return the caches of a level that cores share, or None."""
        return next((c for c in self.caches if c.level == level), None)

    @property
    def events(self) -> tuple[str, ...]:
        """The events of L3_MON, none without monitoring."""
        return self.monitoring.events if self.monitoring else ()

    @property
    def monitored_ids(self) -> tuple[int, ...]:
        """The ids of L3 caches, which have the counters and the bandwidth controls."""
        cache = self.cache(3)
        return cache.ids if cache else ()

    def resources(self, rules: KernelRules) -> tuple[Resource, ...]:
        """Return the resources in the order of lines in schemata: SMBA, MB, L2, L3, and DATA before CODE."""
        bandwidths = sorted(self.bandwidths, key=lambda b: b.name, reverse=True)
        found: list[Resource] = [
            self._bandwidth_resource(b) for b in bandwidths if b.name == "MB" or rules.amd_slow_memory
        ]
        for cache in sorted(self.caches, key=lambda c: c.level):
            if cache.closids is not None:
                found += self._cache_resources(cache, cache.closids, rules)
        return tuple(found)

    def _bandwidth_resource(self, bandwidth: Bandwidth) -> BandwidthResource:
        return BandwidthResource(
            name=bandwidth.name,
            ids=self.monitored_ids,
            closids=bandwidth.closids,
            min_bandwidth=bandwidth.min_bandwidth,
            bandwidth_gran=bandwidth.bandwidth_gran,
            max_bandwidth=bandwidth.max_bandwidth,
            linear=bandwidth.linear,
            throttle_mode=bandwidth.throttle_mode,
            mbps=bandwidth.name == "MB" and "mba_MBps" in self.mount_options,
        )

    def _cache_resources(self, cache: Cache, closids: int, rules: KernelRules) -> list[CacheResource]:
        base = f"L{cache.level}"
        split = {3: "cdp", 2: "cdpl2"}[cache.level] in self.mount_options
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
                sparse=cache.sparse and (self.vendor == "amd" or rules.sparse_masks_file),
                peer=names[1 - index] if split else None,
                name_width=len(base) + (4 if cache.cdp else 0),
            )
            for index, name in enumerate(names)
        ]

    def mounted(self, *options: str, kernel: str | None = None) -> "Profile":
        """Return the same processor with other mount options. ``kernel`` None is the profile's.

        Raises UnknownVersionError, and ResctrlError (EINVAL) for options that the kernel or the processor does not
        support.
        """
        rules = rules_of(kernel or self.kernel)
        for option in options:
            if not self._supports(option, rules):
                raise ResctrlError(errno.EINVAL, "mount with option", option)
        return msgspec.structs.replace(self, mount_options=options)

    def _supports(self, option: str, rules: KernelRules) -> bool:
        if option in {"cdp", "cdpl2"}:
            cache = self.cache(3 if option == "cdp" else 2)
            return cache is not None and cache.closids is not None and cache.cdp
        if option == "mba_MBps":
            linear = any(b.linear for b in self.bandwidths if b.name == "MB")
            usable = MBPS_EVENTS if rules.mbps_event_file else MBPS_EVENTS[:1]
            return linear and not set(usable).isdisjoint(self.events)
        return option == "debug" and rules.debug_option


def cpus_of(text: str) -> frozenset[int]:
    """Parse a CPU list in a profile."""
    return parse_cpu_list(text, 1 << 16)


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="variant"):
    """The processor of another profile (``like``) with other mount options."""

    name: str
    description: str
    like: str
    mount_options: tuple[str, ...]


def decode_profile(data: bytes, name: str) -> Profile:
    """Read a profile from JSON. Raises DocumentError."""
    try:
        found = msgspec.json.decode(data, type=Profile | Variant)
        if isinstance(found, Variant):
            found = msgspec.structs.replace(load_profile(found.like), **_changes(found))
        _check(found)
    except (msgspec.DecodeError, NumberError, ValueError) as error:
        raise DocumentError(f"profile {name}", str(error)) from error
    return found


def _changes(variant: Variant) -> dict[str, object]:
    return {
        "name": variant.name,
        "description": variant.description,
        "mount_options": variant.mount_options,
    }


def _check(profile: Profile) -> None:
    for cache in profile.caches:
        Cbm.parse(cache.shareable)
        if not cache.ids or len(cache.ids) != len(cache.cpu_lists):
            raise ValueError(f"L{cache.level} needs one cpu_list for each id, and at least one id")
        if cache.ways < 1 or any(format_cpu_list(cpus_of(text)) == "" for text in cache.cpu_lists):
            raise ValueError(f"L{cache.level} needs at least one way, and CPUs for every id")
    if (profile.bandwidths or profile.monitoring) and profile.cache(3) is None:
        raise ValueError("bandwidth and monitoring need an L3 cache")


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with cachetune."""
    entries = [entry.name for entry in files("cachetune.sim").joinpath("profiles").iterdir()]
    return tuple(sorted(name.removesuffix(".json") for name in entries if name.endswith(".json")))


def load_profile(name: str) -> Profile:
    """Return the profile with this name. Raises ProfileNotFoundError."""
    if name not in profile_names():
        raise ProfileNotFoundError(name, profile_names())
    data = files("cachetune.sim").joinpath("profiles", f"{name}.json").read_bytes()
    return decode_profile(data, name)
