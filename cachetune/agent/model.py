"""The agent's status document, written after every round."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from cachetune.documents import repeated
from cachetune.service.wanted import RequestedBy
from cachetune.units import Rounding

State = Literal["placed", "failed", "drifted", "waiting"]
_LAST_SECOND = 253402300799.0  # of the year 9999
_LARGEST_PID = (1 << 31) - 1


class GuestStatus(msgspec.Struct, frozen=True, kw_only=True, rename={"requested_by": "asker"}):
    """One managed guest. Times are seconds since 1970.

    ``requested_by`` ("asker" in JSON) is a file in guests.d, or libvirt's live XML. ``since`` is when the state
    or its reason last changed, ``changed`` when the agent last changed something for the guest and ``change`` what.
    """

    name: str
    machine_name: str
    requested_by: RequestedBy
    state: State
    reason: str = ""
    since: float
    pid: int | None = None
    changed: float | None = None
    change: str = ""


class AgentPlanning(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent plans with: its options, and the resctrl and the directory of tuning files that it works on.

    ``policy`` is the file of the host's policy, None for the one in /etc.
    """

    resctrl: str = ""
    guests_d: str = ""
    shrink_default: bool = False
    assign_counters: bool = False
    adopt: bool = False
    rounding: Rounding | None = None
    policy: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The options as they are written on the command line."""
        flags = (("--shrink-default", self.shrink_default), ("--assign-counters", self.assign_counters))
        values = (("--round", self.rounding), ("--policy", self.policy))
        given = [name for name, is_given in (*flags, ("--adopt", self.adopt)) if is_given]
        return (*given, *(f"{name} {value}" for name, value in values if value))


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The agent and its guests after the last round.

    ``pid`` and ``start_time`` (clock ticks after boot, field 22 of /proc/PID/stat) identify the process, so that an
    agent that was killed is recognized; ``running`` is false once it has stopped, and ``once`` true if it was to run
    only once. ``looked`` is the time of the last round, and ``problem`` why it could not observe the host. ``planning``
    is what it plans with; None in the status of an older version.
    """

    schema_version: Literal[1] = 1
    pid: Annotated[int, msgspec.Meta(ge=1)]
    start_time: int
    running: bool = True
    once: bool = False
    started: float
    looked: float
    period_seconds: float
    libvirt_events: bool = False
    problem: str = ""
    guests: tuple[GuestStatus, ...] = ()
    planning: AgentPlanning | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it is the result of ``agent --once``, which has ended as it should."""
        return self.once and not self.running


def status_problems(status: AgentStatus) -> Iterator[str]:
    """What contradicts itself in a status document."""
    yield from repeated("guest", (guest.name for guest in status.guests))
    times = [status.started, status.looked, *(guest.since for guest in status.guests)]
    times += [guest.changed for guest in status.guests if guest.changed is not None]
    for seconds in times:
        if not 0 <= seconds <= _LAST_SECOND:
            yield f"{seconds:g} is not a time"
    for pid in (status.pid, *(guest.pid for guest in status.guests if guest.pid is not None)):
        if not 0 < pid <= _LARGEST_PID:
            yield f"{pid} is not the id of a process"
    if status.start_time < 0 or not 0 < status.period_seconds <= _LAST_SECOND:
        yield f"a start time of {status.start_time} and a period of {status.period_seconds:g} s are not possible"
