"""What is wanted: the groups that a domain asks for, as frozen values with their place in the XML."""

from typing import Literal

import msgspec

from cachetune.findings import Source

CacheType = Literal["both", "code", "data"]
ResourceType = Literal["cache", "memory", "energy"]
VcpuSet = frozenset[int]


class CacheRequest(msgspec.Struct, frozen=True):
    """One <cache>: ``size_bytes`` of the cache ``cache_id`` on ``level``."""

    level: int
    cache_id: int
    type: CacheType
    size_bytes: int
    at: Source


class BandwidthRequest(msgspec.Struct, frozen=True):
    """One <node>: ``bandwidth`` in the host's own unit for the L3 cache ``node_id``."""

    node_id: int
    bandwidth: int
    at: Source


class MonitorRequest(msgspec.Struct, frozen=True):
    """One <monitor>. ``vcpus`` None is the whole process. ``id`` is libvirt's identifier, None for the whole process.

    Inherited vcpus are filled in. Source of the identifier: libvirt 12.8 (explicit monitors take the id of the group
    when they cover exactly its vCPUs and it has an allocation at that moment, else ``vcpus_`` and their list).
    """

    resource: ResourceType
    vcpus: VcpuSet | None
    id: str | None
    at: Source


class GroupRequest(msgspec.Struct, frozen=True):
    """All that is asked for one set of vCPUs (None: the whole process), merged over the three elements.

    ``caches`` are ordered by level, type (both, code, data) and id; ``nodes`` by id; ``monitors`` as they appear.
    ``id`` is ``vcpus_0-1``, or the ``id`` attribute in live XML, or None for the whole process.
    """

    vcpus: VcpuSet | None
    id: str | None
    caches: tuple[CacheRequest, ...]
    nodes: tuple[BandwidthRequest, ...]
    monitors: tuple[MonitorRequest, ...]
    at: Source

    @property
    def has_allocation(self) -> bool:
        """Whether the group needs a control group of its own; without one its monitors belong to the default group."""
        return bool(self.caches or self.nodes)


class Domain(msgspec.Struct, frozen=True):
    """A guest's definition. ``id`` is the running domain's number (live XML only); ``vcpus`` the maximum count."""

    name: str
    uuid: str | None
    id: int | None
    type: str
    vcpus: int
    groups: tuple[GroupRequest, ...]

    @property
    def needs_vcpus(self) -> bool:
        """Whether a group or monitor names vCPUs, so the guest's vCPU threads must be known to plan it.

        False if every group and monitor covers the whole process (``vcpus`` None), or if there are none.
        """
        return any(g.vcpus is not None or any(m.vcpus is not None for m in g.monitors) for g in self.groups)
