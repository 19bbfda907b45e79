"""The host's policy: the least that the default group keeps, its bandwidth, and ways that no group may be given.

A value of the operator's; ``cachetune.service.policy`` reads it from a file. Its amounts are resolved on a host here:
what the default group keeps is rounded up to whole ways and to the host's steps.
"""

from math import ceil

import msgspec
from msgspec.structs import replace

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import BandwidthControl, CacheControl, Group, Host
from cachetune.plan.rounding import exact_bandwidth, exact_ways, whole_bandwidth
from cachetune.units import Rate, Size

_RESERVED = "the policy "


class LeastWays(msgspec.Struct, frozen=True):
    """What the default group keeps of a resource; ``cache_id`` None is for the caches that no other entry names."""

    resource: str
    cache_id: int | None
    size: Size


class Reserved(msgspec.Struct, frozen=True):
    """Ways of one cache that no group may be given."""

    resource: str
    cache_id: int
    ways: Cbm


class BandwidthPolicy(msgspec.Struct, frozen=True):
    """The ``least`` bandwidth of the default group on every node of a resource, and the ``value`` that it has."""

    resource: str
    least: Rate | None = None
    value: Rate | None = None


class Policy(msgspec.Struct, frozen=True):
    """What the operator has decided about a host, in ``file``."""

    file: str
    least: tuple[LeastWays, ...] = ()
    bandwidth: tuple[BandwidthPolicy, ...] = ()
    reserved: tuple[Reserved, ...] = ()

    def least_ways(self, control: CacheControl, cache_id: int) -> int | None:
        """The ways of a cache that the default group keeps; None if the policy does not say."""
        entries = {entry.cache_id: entry.size for entry in self.least if entry.resource == control.name}
        size = entries.get(cache_id, entries.get(None))
        way_bytes = control.way_bytes(cache_id) or 0
        if size is None or (size.unit == "B" and not way_bytes):
            return None
        return min(max(ceil(exact_ways(size, control, way_bytes)), 1), control.ways)

    def key_of(self, control: CacheControl, cache_id: int) -> str:
        """The key that says what the default group keeps of a cache."""
        named = any(entry.resource == control.name and entry.cache_id == cache_id for entry in self.least)
        return f"default.{control.name}.least" + (f".{cache_id}" if named else "")

    def least_bandwidth(self, control: BandwidthControl) -> int | None:
        """The least bandwidth of the default group in the host's unit; None if the policy does not say."""
        return _on(control, next((b.least for b in self.bandwidth if b.resource == control.name), None))

    def bandwidth_value(self, control: BandwidthControl) -> int | None:
        """The bandwidth that the default group has in the host's unit; None if the policy does not say."""
        return _on(control, next((b.value for b in self.bandwidth if b.resource == control.name), None))


def with_reserved(host: Host, policy: Policy | None) -> Host:
    """The host with a group that has the reserved ways, so that no other group is given any of them.

    The default group keeps those that it has, and gets those back that it gave up for a guest.
    """
    if policy is None or not policy.reserved:
        return host
    known = {(control.name, i): control.cbm_mask for control in host.caches for i in control.size_bytes}
    masks = Masks.of(
        (one.resource, one.cache_id, one.ways & known[one.resource, one.cache_id])
        for one in policy.reserved
        if (one.resource, one.cache_id) in known
    )
    return replace(host, groups=(*host.groups, Group(f"{_RESERVED}{policy.file}", "control", "unknown", masks=masks)))


def holder_of(group: Group) -> str:
    """A group that has ways, with its owner, as a message names it."""
    return group.path if group.path.startswith(_RESERVED) else f"{group.path} ({group.owner})"


def strangers(policy: Policy, host: Host) -> tuple[str, ...]:
    """The keys of the policy that mean nothing on the host, because it has no such resource, cache or unit."""
    caches = {control.name: control for control in host.caches}
    entries: tuple[LeastWays | Reserved, ...] = (*policy.least, *policy.reserved)
    found: list[LeastWays | Reserved] = []
    for entry in entries:
        control = caches.get(entry.resource)
        if control is None or (entry.cache_id is not None and entry.cache_id not in control.size_bytes):
            found.append(entry)
    bandwidths = {control.name: control for control in host.bandwidths}
    keys = [_key(entry) for entry in found]
    for limit in policy.bandwidth:
        bandwidth = bandwidths.get(limit.resource)
        for name, rate in (("least", limit.least), ("value", limit.value)):
            if rate is not None and (bandwidth is None or _on(bandwidth, rate) is None):
                keys.append(f"default.{limit.resource}.{name}")
    return tuple(keys)


def _key(entry: LeastWays | Reserved) -> str:
    if isinstance(entry, Reserved):
        return f"reserved.{entry.resource}.{entry.cache_id}"
    return f"default.{entry.resource}.least" + ("" if entry.cache_id is None else f".{entry.cache_id}")


def _on(control: BandwidthControl, rate: Rate | None) -> int | None:
    if rate is None or (exact := exact_bandwidth(rate, control.unit)) is None:
        return None
    return whole_bandwidth(rate, exact, control, "up")
