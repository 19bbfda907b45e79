"""What one look at a host has found: the value that the metrics are made from."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from cachetune.agent.model import AgentStatus
from cachetune.host.model import Host
from cachetune.service.status import Tuning
from cachetune.watch import Reading

Reason = Literal["not_mounted", "host", "counters", "guests", "agent_status"]
REASONS: tuple[Reason, ...] = get_args(Reason)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look. What could not be read is None or empty, and ``errors`` counts by reason how often, since the start.

    ``groups`` are the readings of all groups, without counters on a host that has none. ``idle_ways`` are by resource
    and cache id. ``guests`` are the requests of running guests by name, and their states. ``agent`` is the status file,
    ``agent_is_alive`` whether its agent still runs. ``time`` is in seconds since 1970, ``duration`` in seconds;
    ``looks`` counts them.
    """

    host: Host | None = None
    groups: tuple[Reading, ...] = ()
    idle_ways: Mapping[tuple[str, int], int] | None = None
    guests: Mapping[str, Tuning] = {}
    agent: AgentStatus | None = None
    agent_is_alive: bool = False
    interrupted: bool = False
    errors: Mapping[Reason, int] = {}
    looks: int = 1
    time: float = 0.0
    duration: float = 0.0
