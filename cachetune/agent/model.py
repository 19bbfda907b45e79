"""The agent's status document, written after every round."""

from typing import Annotated, Literal

import msgspec

State = Literal["placed", "failed", "drifted", "waiting"]
RequestedBy = Literal["file", "libvirt"]


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


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The agent and its guests after the last round.

    ``pid`` and ``start_time`` (clock ticks after boot, field 22 of /proc/PID/stat) identify the process, so that an
    agent that was killed is recognized; ``running`` is false once it has stopped. ``looked`` is the time of the last
    round, and ``problem`` why it could not observe the host.
    """

    schema_version: Literal[1] = 1
    pid: Annotated[int, msgspec.Meta(ge=1)]
    start_time: int
    running: bool = True
    started: float
    looked: float
    period_seconds: float
    libvirt_events: bool = False
    problem: str = ""
    guests: tuple[GuestStatus, ...] = ()
