"""The plan: what is wanted on this host and the steps that lead there. The JSON document is the contract.

Paths are relative to the resctrl root; "." is the default group. Masks are hexadecimal strings without padding.
"""

from typing import Literal

import msgspec

from cachetune.findings import Finding
from cachetune.guests.model import Thread
from cachetune.host.cbm import Cbm
from cachetune.host.state import BandwidthUnit

Action = Literal["create", "change", "keep"]
Schemata = dict[str, dict[int, str | int]]


class PlanGuest(msgspec.Struct, frozen=True):
    """For whom the plan was made. ``threads`` are those that the plan knows of, whether they move or not."""

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
    vcpus: str | None
    action: Action
    schemata: Schemata = {}
    requested: dict[str, dict[int, int]] = {}


class Resource(msgspec.Struct, frozen=True):
    """What a reader needs to draw a mask: number of ways, bytes per way by cache id, ways shared with I/O."""

    name: str
    ways: int
    way_bytes: dict[int, int | None]
    shareable_bits: str


class CreateGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="create_group"):
    """mkdir of a control or monitor group. Undone by removing it."""

    path: str


class WriteSchemata(msgspec.Struct, frozen=True, tag_field="kind", tag="write_schemata"):
    """One write of ``after`` to the group's schemata. Undone by writing ``before`` ("" for a new group)."""

    path: str
    before: str
    after: str


class MoveTasks(msgspec.Struct, frozen=True, tag_field="kind", tag="move_tasks", rename={"source": "from"}):
    """Threads that go from the group ``source`` to ``path``. Undone by moving them back."""

    path: str
    source: str
    tids: tuple[int, ...]


class RemoveGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="remove_group"):
    """rmdir of a group of ours. ``schemata`` is what it had ("" for a monitor group), to make it again."""

    path: str
    schemata: str


Step = CreateGroup | WriteSchemata | MoveTasks | RemoveGroup


class DefaultShrink(msgspec.Struct, frozen=True):
    """How far the default group was shrunk for guests: its masks before, and what was left to it."""

    before: dict[str, dict[int, Cbm]]
    after: dict[str, dict[int, Cbm]]


class Usage(msgspec.Struct, frozen=True):
    """How many of a limited thing are in use after the plan; ``total`` is None where the host does not say."""

    used: int
    total: int | None


class Summary(msgspec.Struct, frozen=True):
    """The counts behind the plan's last sentence."""

    control_groups_created: int
    monitor_groups_created: int
    groups_changed: int
    groups_removed: int
    tasks_moved: int
    closids: Usage
    rmids: Usage


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``apply`` needs, and nothing that it must guess.

    ``groups`` are the guest's; a default group that shrinks shows only in ``steps``. ``host_groups`` says in words what
    each group of the host was like, to tell what has changed when the fingerprint no longer matches.
    """

    schema_version: Literal[1] = 1
    guest: PlanGuest
    host_fingerprint: str
    host_groups: dict[str, str] = {}
    resources: tuple[Resource, ...] = ()
    bandwidth_unit: BandwidthUnit | None = None
    groups: tuple[PlannedGroup, ...]
    steps: tuple[Step, ...]
    warnings: tuple[Finding, ...] = ()
    summary: Summary
