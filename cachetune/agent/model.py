"""What the agent says of itself: the status document, written after every round."""

from typing import Annotated, Literal

import msgspec

State = Literal["placed", "failed", "drifted", "waiting"]
RequestedBy = Literal["file", "libvirt"]


class GuestStatus(msgspec.Struct, frozen=True, kw_only=True, rename={"requested_by": "asker"}):
    """One guest that the agent keeps. Times are seconds since 1970.

    ``requested_by`` ("asker" in JSON) is a file in guests.d, or libvirt's live XML. ``since`` is when the state
    or its reason last changed, ``changed`` when something was last done for the guest and ``change`` what that was.
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

    ``pid`` and ``start_time`` (ticks after boot, field 22 of its stat) tell a living agent from one that has gone
    without a word; ``running`` is false once it has ended properly. ``problem`` is why the last round could not look.
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
