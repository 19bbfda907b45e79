"""The plan: what the guests get on this host, and the steps to it. The JSON document is the contract.

Paths are relative to the resctrl root; "." is the default group. Masks are hexadecimal strings without padding in JSON.
"""

from typing import Annotated, Literal

import msgspec

from cachetune.cbm import Amounts, Cbm, Masks
from cachetune.domain.threads import Threads, parse_threads, who
from cachetune.findings import Finding
from cachetune.guests.model import Thread
from cachetune.host.model import BandwidthUnit
from cachetune.idset import parse_vcpus
from cachetune.plan.allocation import Allocation
from cachetune.plan.group_state import GroupState
from cachetune.plan.steps import Step

Action = Literal["create", "change", "keep"]
Mode = Literal["shareable", "exclusive"]
_LIST = "[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*"
VcpuList = Annotated[str, msgspec.Meta(pattern=f"^({_LIST})?$")]
ThreadsText = Annotated[str, msgspec.Meta(pattern=f"^(emulator|vhost|iothreads(:{_LIST})?)$")]


class PlanGuest(msgspec.Struct, frozen=True):
    """A guest that the plan is for. ``threads`` are all its known threads, whether they move or not.

    ``name`` is "" when groups are removed by machine name alone.
    """

    name: str
    machine_name: str
    uuid: str | None = None
    pid: int | None = None
    threads: tuple[Thread, ...] = ()


NO_GUEST = PlanGuest("", "qemu-0-none")
"""Stands for the guests of a plan that has none, such as one for the default group: libvirt's numbers start at 1."""


class PlannedGroup(msgspec.Struct, frozen=True):
    """A group of a guest after the plan. ``vcpus`` is libvirt's canonical list, None for the whole process.

    A group of other ``threads`` ("emulator", "iothreads:1-2") has "" as ``vcpus``.

    ``schemata`` holds every value of a control group that the plan sets: the masks of all caches, and bandwidth for
    the nodes that the XML requests, as the host will show it. ``requested`` is what the requests amount to on this
    host: bytes for caches (0 if the size of a way is unknown), the host's unit for bandwidth. ``mode`` is that of a
    control group; a monitor group has none and is "shareable". ``rounded_from`` has the requests that were rounded, as
    they were written: "30%", "500 MiB/s".
    """

    path: str
    kind: Literal["control", "monitor"]
    vcpus: VcpuList | None
    action: Action
    schemata: Allocation = msgspec.field(default_factory=Allocation)
    requested: Amounts = msgspec.field(default_factory=Amounts)
    mode: Mode = "shareable"
    rounded_from: dict[str, dict[int, str]] = {}
    threads: ThreadsText | None = None

    @property
    def who(self) -> str:
        """Whom the group is for, in words: "vCPUs 0-1", "iothreads", "whole process"."""
        return who(*self.scope).removeprefix("the ")

    @property
    def scope(self) -> tuple[frozenset[int] | None, Threads | None]:
        """The vCPUs and the other threads of the group as values. Raises ValueError for an invalid list."""
        if self.threads is not None:
            return frozenset(), parse_threads(self.threads)
        return (None if self.vcpus is None else parse_vcpus(self.vcpus)), None


class Resource(msgspec.Struct, frozen=True):
    """What is needed to draw a mask: number of ways, and by cache id the bytes per way and the ways shared with I/O.

    ``snc_nodes`` Sub-NUMA nodes share each cache: each node has that part of every way.
    """

    name: str
    ways: Annotated[int, msgspec.Meta(ge=1, le=64)]
    way_bytes: dict[int, int | None]
    io_ways: dict[int, Cbm] = {}
    snc_nodes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class MovedGroup(msgspec.Struct, frozen=True):
    """A group that moves to other ways so that room is made, and what it loses. The default group is ".".

    ``guest`` is the name of its guest, "" if that is not known. ``cold_ways`` are the ways that it enters in all its
    writes together, in place of ways that it had: by resource and cache id. ``cold_bytes`` is their size, None if that
    is unknown.
    """

    path: str
    guest: str
    cold_ways: Amounts
    cold_bytes: int | None


class DefaultShrink(msgspec.Struct, frozen=True):
    """How the default group was shrunk for guests: its masks ``before`` and ``after``.

    ``shared`` are the ways of ``before`` that other groups had as well: returning those takes nothing from them.
    """

    before: Masks
    after: Masks
    shared: Masks = msgspec.field(default_factory=Masks)


class DefaultGoal(msgspec.Struct, frozen=True):
    """What ``cachetune default`` is for: the ``values`` of the default group after the plan.

    With ``reset`` they are those that it had before the first such plan; it gets the masks as far as no group has the
    ways now, and the rest as they become free.
    """

    values: Allocation
    reset: bool = False


class Usage(msgspec.Struct, frozen=True):
    """How many of a limited resource are in use after the plan; ``total`` is None if no limit is known."""

    used: int
    total: int | None


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The counts behind the plan's last sentence.

    On MPAM the RMIDs have no total: each control group has its own, and ``rmids_per_control_group`` is for the one that
    has most in use.
    """

    control_groups_created: int
    monitor_groups_created: int
    groups_changed: int
    groups_removed: int
    tasks_moved: int
    closids: Usage
    rmids: Usage
    settings_changed: int = 0
    rmids_per_control_group: Usage | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``apply`` needs, so that it decides nothing itself.

    ``groups`` are the guests' groups; changes to other groups, such as the default group, are only in ``steps``.
    ``moved`` are the groups, of these and of other guests, that move to make room.
    ``host_groups`` is the state of each group of the host, to name what changed when the fingerprint does not match.
    Only a plan with a ``default_group`` may change the default group's bandwidth; it has no guest but NO_GUEST.
    """

    schema_version: Literal[1] = 1
    guests: Annotated[tuple[PlanGuest, ...], msgspec.Meta(min_length=1)]
    host_fingerprint: str
    host_groups: dict[str, GroupState] = {}
    resources: tuple[Resource, ...] = ()
    bandwidth_unit: BandwidthUnit | None = None
    groups: tuple[PlannedGroup, ...]
    default_group: DefaultGoal | None = None
    moved: tuple[MovedGroup, ...] = ()
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=100_000)]
    warnings: tuple[Finding, ...] = ()
    summary: Summary

    @property
    def host_warnings(self) -> tuple[Finding, ...]:
        """The warnings about what the host gives (CT2xx), without those about the guests and their XML."""
        return tuple(finding for finding in self.warnings if finding.rule.startswith("CT2"))

    @property
    def machine_names(self) -> tuple[str, ...]:
        """The prefix of each guest's group names; empty for a plan without guests."""
        return tuple(guest.machine_name for guest in self.guests if guest.machine_name != NO_GUEST.machine_name)

    @property
    def threads(self) -> tuple[Thread, ...]:
        """The known threads of all guests."""
        return tuple(thread for guest in self.guests for thread in guest.threads)
