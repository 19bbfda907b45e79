"""The plan: what is wanted on this host and the steps that lead there. The JSON document is the contract.

Paths are relative to the resctrl root; "." is the default group. Masks are hexadecimal strings without padding.
"""

from typing import Annotated, Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.findings import Finding
from cachetune.guests.model import Thread
from cachetune.host.model import BandwidthUnit
from cachetune.plan.steps import Step

Action = Literal["create", "change", "keep"]
Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{1,16}$")]
VcpuList = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$")]
Schemata = dict[str, dict[int, Hex | int]]


class PlanGuest(msgspec.Struct, frozen=True):
    """One of those for whom the plan was made. ``threads`` are those that the plan knows of, whether they move or not.

    ``name`` is "" where only the machine name is known, to remove its groups.
    """

    name: str
    machine_name: str
    uuid: str | None = None
    pid: int | None = None
    threads: tuple[Thread, ...] = ()


class PlannedGroup(msgspec.Struct, frozen=True):
    """A group as it will be. ``vcpus`` is libvirt's canonical list, None for the whole process.

    ``schemata`` has every value of a control group that the plan decides (masks of all caches, bandwidth of the nodes
    asked for); ``requested`` what the XML asked for: bytes for caches, the host's unit for bandwidth. ``action`` says
    what happens to it.
    """

    path: str
    kind: Literal["control", "monitor"]
    vcpus: VcpuList | None
    action: Action
    schemata: Schemata = {}
    requested: dict[str, dict[int, int]] = {}


class Resource(msgspec.Struct, frozen=True):
    """What a reader needs to draw a mask: number of ways, bytes per way by cache id, ways shared with I/O."""

    name: str
    ways: Annotated[int, msgspec.Meta(ge=1, le=64)]
    way_bytes: dict[int, int | None]
    shareable_bits: Hex


class DefaultShrink(msgspec.Struct, frozen=True):
    """How far the default group was shrunk for guests: its masks before, and what was left to it.

    ``shared`` are the ways of ``before`` that other groups had, too: getting those back takes nothing from anybody.
    """

    before: dict[str, dict[int, Cbm]]
    after: dict[str, dict[int, Cbm]]
    shared: dict[str, dict[int, Cbm]] = {}


class Usage(msgspec.Struct, frozen=True):
    """How many of a limited thing are in use after the plan; ``total`` is None where the host does not say."""

    used: int
    total: int | None


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The counts behind the plan's last sentence."""

    control_groups_created: int
    monitor_groups_created: int
    groups_changed: int
    groups_removed: int
    tasks_moved: int
    closids: Usage
    rmids: Usage
    settings_changed: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``apply`` needs, and nothing that it must guess.

    ``groups`` are the guests'; a default group that shrinks shows only in ``steps``. ``host_groups`` says in words what
    each group of the host was like, to tell what has changed when the fingerprint no longer matches.
    """

    schema_version: Literal[1] = 1
    guests: Annotated[tuple[PlanGuest, ...], msgspec.Meta(min_length=1)]
    host_fingerprint: str
    host_groups: dict[str, str] = {}
    resources: tuple[Resource, ...] = ()
    bandwidth_unit: BandwidthUnit | None = None
    groups: tuple[PlannedGroup, ...]
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=100_000)]
    warnings: tuple[Finding, ...] = ()
    summary: Summary

    @property
    def machine_names(self) -> tuple[str, ...]:
        """What the groups' names begin with, a name for each guest."""
        return tuple(guest.machine_name for guest in self.guests)

    @property
    def threads(self) -> tuple[Thread, ...]:
        """The threads of all guests that the plan knows of."""
        return tuple(thread for guest in self.guests for thread in guest.threads)
