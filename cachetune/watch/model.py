"""Readings: one for each group, with one counter for each cache (or package) and event."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from cachetune.host.model import Owner

State = Literal["ok", "Unavailable", "Error", "Unassigned", "Vanished"]
DecimalText = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}\.[0-9]{1,20}$")]

# Source: the events of intel_aet.c and their description in the kernel's resctrl.rst. The units of c1_res and c6_res
# depend on the chip, uops_retired has none.
_UNITS = {
    "core_energy": "joules",
    "activity": "farads",
    "stalls_llc_hit": "cycles",
    "stalls_llc_miss": "cycles",
    "unhalted_core_cycles": "cycles",
    "unhalted_ref_cycles": "cycles",
}


def unit_of(event: str) -> str:
    """The unit of an event's values, "" where none is known."""
    return "bytes" if event.startswith(("llc_", "mbm_")) else _UNITS.get(event, "")


class Column(msgspec.Struct, frozen=True):
    """What a counter counts: an event of a cache or a package, or with ``node`` of a NUMA node within the cache."""

    resource: str
    id: int
    event: str
    node: int | None = None

    @property
    def counts(self) -> bool:
        """Whether it counts up; llc_occupancy is a current value."""
        return not self.event.startswith("llc_")


# gc=False: each reading makes many, which refer to nothing that could refer to them.
class Counter(msgspec.Struct, frozen=True, gc=False):
    """One value. ``resource`` and ``id`` name a cache (L3 0) or a package (PERF_PKG 0).

    ``node`` is a NUMA node within the cache with Sub-NUMA clustering, None for the sum of the whole cache. ``value`` is
    an integer, or the kernel's text where that has a decimal point: no digit is lost. ``number`` is the same to compute
    with. Its unit is ``unit_of(event)``; llc_occupancy is current, all others count since the group was created. Both
    are None unless ``state`` is "ok". The other states are the kernel's words, except "Vanished": the file no longer
    exists. ``partial`` is set for a control group's sum that lacks a group without a counter (see ``watch.partial``).
    ``per_second`` is what it counted per second since the sample before, None for a current value and where that is not
    known (see ``watch.rates``).
    """

    resource: str
    id: int
    event: str
    value: int | DecimalText | None
    state: State
    node: int | None = None
    partial: bool = False
    per_second: float | None = None

    @property
    def number(self) -> int | Decimal | None:
        """The value as a number, exactly."""
        return Decimal(self.value) if isinstance(self.value, str) else self.value


class Reading(msgspec.Struct, frozen=True):
    """The counters of one group, by resource, cache id and event.

    A control group's values include those of its monitor groups. ``guest`` is the guest's name as it was applied, else
    what the group's name has of it; None for the default group and foreign ones. ``vcpus`` is the list in the
    group's name, ``threads`` the kind of threads ("emulator") in it, or None. ``counters`` is empty if the group has
    been removed.
    """

    path: str
    name: str
    kind: Literal["control", "monitor"]
    owner: Owner
    vcpus: str | None
    counters: tuple[Counter, ...]
    threads: str | None = None
    guest: str | None = None


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``monitor --json`` prints.

    ``time`` is the start of the reading, in seconds since 1970.
    """

    schema_version: Literal[1] = 1
    source: str
    time: float
    monitors: tuple[Reading, ...]
