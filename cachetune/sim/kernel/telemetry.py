"""Telemetry of a package (PERF_PKG_MON): events that grow with the time that a group has tasks.

An event may have binary digits after the point; the kernel prints them as decimals, rounded to the number of places
that holds them. Source: print_event_value in Linux 7.3.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from cachetune.sim.profile import TelemetryEvent

if TYPE_CHECKING:
    from cachetune.sim.kernel.state import Group


@dataclasses.dataclass
class _Seconds:
    """How many task seconds a group has used until ``at``, and how many tasks it has had since."""

    at: float
    used: float = 0.0
    tasks: int = 0


class TaskSeconds:
    """The time that the tasks of each group have run, which all its events are proportional to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds: dict[int, _Seconds] = {}

    def start(self, group: "Group") -> None:
        """Start from zero for a group that just got its RMID."""
        if group.rmid is not None:
            self._seconds[group.rmid] = _Seconds(self._clock(), tasks=len(group.tids))

    def settle(self, group: "Group") -> None:
        """Advance a group to now. Call it before and after its number of tasks changes."""
        if group.rmid is None:
            return
        now = self._clock()
        seconds = self._seconds.setdefault(group.rmid, _Seconds(now))
        seconds.used += max(0.0, now - seconds.at) * seconds.tasks
        seconds.at, seconds.tasks = max(now, seconds.at), len(group.tids)

    def read(self, group: "Group", event: TelemetryEvent) -> str:
        """Return the content of an event file; a control group's value includes its monitor groups.

        A group that has never had a task has no value.
        """
        used = []
        for member in group.members():
            self.settle(member)
            used.append(self._seconds[member.rmid].used if member.rmid is not None else 0.0)
        if not any(used):
            return "Unavailable\n"
        total = sum(int(seconds * event.rate * (1 << (event.binary_bits or 0))) for seconds in used)
        return f"{total}\n" if event.binary_bits is None else f"{decimal(total, event.binary_bits)}\n"


def decimal(value: int, binary_bits: int) -> str:
    """Format a number whose last ``binary_bits`` are a fraction, as the kernel does: 26 with 18 bits is 0.000099."""
    places = max(math.ceil(binary_bits * math.log10(2)), 1)
    fraction = value & ((1 << binary_bits) - 1)
    digits = (fraction * 10**places + (1 << binary_bits >> 1)) >> binary_bits
    return f"{value >> binary_bits}.{digits:0{places}d}"
