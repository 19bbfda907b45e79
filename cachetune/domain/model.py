"""A domain's requests as frozen values, each with its place in the XML."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cachetune.domain.threads import Threads, who
from cachetune.findings import Source
from cachetune.units import BandwidthResource, Rate, Rounding, Size

CacheType = Literal["both", "code", "data"]
ResourceType = Literal["cache", "memory", "energy"]
VcpuSet = frozenset[int]


class CacheRequest(msgspec.Struct, frozen=True):
    """One <cache>: ``size`` of the cache ``cache_id`` on ``level``.

    ``at`` is the place of the size; ``level_at``, ``type_at`` and ``id_at`` are those of the other attributes, None for
    a request that is not from XML. ``rounding`` is how the user wants a size rounded that no whole number of ways has;
    None is the plan's default.
    """

    level: int
    cache_id: int
    type: CacheType
    size: Size
    at: Source
    rounding: Rounding | None = None
    level_at: Source | None = None
    type_at: Source | None = None
    id_at: Source | None = None


class BandwidthRequest(msgspec.Struct, frozen=True):
    """One <node>: ``bandwidth`` for the L3 cache ``node_id``. ``rounding`` and ``id_at`` are those of CacheRequest.

    ``resource`` is resctrl's: MB is all memory, SMBA AMD's slow memory (CXL). A group may have a percentage and a rate
    of one node: a host gets the one that it can convert.
    """

    node_id: int
    bandwidth: Rate
    at: Source
    rounding: Rounding | None = None
    resource: BandwidthResource = "MB"
    id_at: Source | None = None


class MonitorRequest(msgspec.Struct, frozen=True):
    """One <monitor>. ``vcpus`` includes those inherited from its group; None is the whole process.

    ``threads`` are threads other than vCPUs, also inherited; ``vcpus`` is empty then.
    ``id`` is libvirt's identifier, None for the whole process. As in libvirt 12.8, a monitor has its group's id if it
    covers exactly the group's vCPUs and the group had an allocation when the monitor was read, otherwise ``vcpus_`` and
    its list.
    """

    resource: ResourceType
    vcpus: VcpuSet | None
    id: str | None
    at: Source
    threads: Threads | None = None

    @property
    def who(self) -> str:
        """Whom the monitor is for, as a message names it."""
        return who(self.vcpus, self.threads)


class GroupRequest(msgspec.Struct, frozen=True):
    """Everything requested for one set of vCPUs (None: the whole process), merged from the three elements.

    In a tuning file it can be for other ``threads`` instead; ``vcpus`` is empty then.

    ``caches`` are sorted by level, type (both, code, data) and id, ``nodes`` by resource and id; ``monitors`` are in
    document order. ``id`` is ``vcpus_0-1``, ``threads_emulator``, the ``id`` attribute in live XML, or None for the
    whole process. An ``exclusive`` group shares no way of any cache with another group or with devices.
    """

    vcpus: VcpuSet | None
    id: str | None
    caches: tuple[CacheRequest, ...]
    nodes: tuple[BandwidthRequest, ...]
    monitors: tuple[MonitorRequest, ...]
    at: Source
    exclusive: bool = False
    threads: Threads | None = None

    @property
    def who(self) -> str:
        """Whom the group is for, as a message names it."""
        return who(self.vcpus, self.threads)

    @property
    def has_allocation(self) -> bool:
        """Whether the group needs its own control group; otherwise its monitors are in the default group."""
        return bool(self.caches or self.nodes)


class Domain(msgspec.Struct, frozen=True):
    """A guest's definition. ``id`` is the running domain's number (live XML only), ``vcpus`` the maximum count.

    ``cpuset`` and, by vCPU, ``vcpupins`` are the host CPUs that vCPUs may run on, as canonical lists; "" is any CPU.
    """

    name: str
    uuid: str | None
    id: int | None
    type: str
    vcpus: int
    groups: tuple[GroupRequest, ...]
    cpuset: str = ""
    vcpupins: dict[int, str] = {}

    def cpus_of(self, vcpu: int) -> str:
        """The host CPUs that a vCPU is pinned to: <vcpupin>, or else <vcpu cpuset>; "" if it is not pinned."""
        return self.vcpupins.get(vcpu) or self.cpuset

    @property
    def needs_vcpus(self) -> bool:
        """Whether the guest's vCPU threads must be known to plan it: for their groups, or to know the emulator's.

        False without groups, or if every group and monitor covers the whole process (``vcpus`` None) or other threads.
        """
        return any(scope.vcpus or (scope.threads and scope.threads.kind == "emulator") for scope in self.scopes)

    @property
    def needs_process(self) -> bool:
        """Whether a group or monitor covers more than vCPUs, so that all threads of the process must be known."""
        return any(scope.vcpus is None or scope.threads for scope in self.scopes)

    @property
    def scopes(self) -> Iterator[GroupRequest | MonitorRequest]:
        """Every group and every monitor."""
        for group in self.groups:
            yield group
            yield from group.monitors
