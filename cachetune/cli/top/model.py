"""What one row of ``top`` says: amounts, the ways they are compared with, and a state (docs/how-to/top.md)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import Owner

if TYPE_CHECKING:
    from cachetune.service.status import Tuning

State = Literal["over", "full", "no counter", "in use", "idle", ""]
STATES: tuple[State, ...] = ("over", "full", "no counter", "in use", "idle", "")
"""The most notable first: the state of a sum is the most notable one of its parts. "" is not known yet."""

Request = Literal["invalid", "refused", "drifted", "no request", "unknown", ""]
REQUESTS: tuple[Request, ...] = ("invalid", "refused", "drifted", "", "no request", "unknown")
"""What is to be known of a guest's request, the most notable first. The last two are of guests without groups only."""

FULL, OVER, LITTLE = 0.95, 1.05, 0.10
"""Shares of the own ways. Occupancy is approximate, so more than the ways hold is only what is clearly more."""
QUIET = float(1 << 20)
"""Bytes per second below which there is no traffic worth the name."""

OCCUPANCY, TOTAL, LOCAL = "llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"
EVENTS = (OCCUPANCY, TOTAL, LOCAL)

Key = tuple[str, ...]
Kind = Literal["guest", "ungrouped", "default", "foreign", "group", "cache"]
"""An "ungrouped" guest has no groups."""


class Amount(msgspec.Struct, frozen=True):
    """Bytes, or bytes per second. None is missing: ``why`` is the kernel's word, "" if there is no rate yet.

    ``partial`` marks a sum that lacks something.
    """

    value: float | None = None
    why: str = ""
    partial: bool = False


class Part(msgspec.Struct, frozen=True):
    """What one group uses of one L3 cache, or with ``node`` of a NUMA node within it.

    ``mask`` are the ways that the group's threads fill, for a monitor group those of its control group; None where the
    cache cannot be allocated. ``way_bytes`` None is not known. An amount is None where the host does not count it.
    """

    cache_id: int
    node: int | None
    mask: Cbm | None
    way_bytes: int | None
    occupancy: Amount | None
    total: Amount | None
    local: Amount | None

    @property
    def own_bytes(self) -> int | None:
        """What the ways hold."""
        return None if self.mask is None or self.way_bytes is None else self.mask.bit_count() * self.way_bytes


class Lack(msgspec.Struct, frozen=True):
    """Why there is no counter: the kernel's word for an event, or for the group if it has no events at all."""

    word: str
    event: str = ""

    def __str__(self) -> str:
        return f"{self.event} is {self.word}" if self.event else self.word


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table, and the rows that it unfolds to.

    ``key`` identifies it from look to look: its own last word after those of the rows around it. ``name`` is hostile
    text. ``letters`` are those of its control groups in the pictures of ways, ``paths`` its groups, or the foreign ones
    in which the threads of an ungrouped guest are. ``cache_id`` is None for a sum of several caches; ``mask`` are its
    ways of a single one. ``lack`` explains the state "no counter", ``where`` are the caches in which a sum is in its
    state, if it is not in all of them. ``tuning`` is that of a guest, whose ``request`` it decides.
    """

    key: Key
    kind: Kind
    name: str
    owner: Owner
    letters: str
    paths: tuple[str, ...]
    occupancy: Amount
    own_bytes: int | None
    total: Amount
    local: Amount
    state: State
    lack: Lack | None = None
    where: tuple[int, ...] = ()
    cache_id: int | None = None
    mask: Cbm | None = None
    tuning: "Tuning | None" = None
    rows: tuple["Row", ...] = ()

    @property
    def request(self) -> Request:
        """What is to be known of the guest's request."""
        if self.tuning is None:
            return ""
        match self.tuning.state:
            case "invalid" | "refused" | "drifted" as state:
                return state
            case "none" | "unknown" if self.kind != "ungrouped":
                return ""
            case "none":
                return "no request"
            case "unknown":
                return "unknown"
        return ""

    @property
    def depth(self) -> int:
        """How many rows are around it."""
        return len(self.key) - 1

    @property
    def fill(self) -> float | None:
        """The occupancy as a share of what its ways hold; None if one of them is not known."""
        if self.occupancy.value is None or not self.own_bytes:
            return None
        return self.occupancy.value / self.own_bytes


def state_of(part: Part) -> tuple[State, Lack | None]:
    """The state of one group in one cache, and what it lacks."""
    own, occupancy = part.own_bytes, part.occupancy or Amount()
    event, traffic = (LOCAL, part.local) if part.total is None else (TOTAL, part.total)
    if occupancy.why:
        return "no counter", Lack(occupancy.why, OCCUPANCY)
    fill = occupancy.value / own if occupancy.value is not None and own else None
    if fill is not None and fill >= FULL:
        return ("over" if fill > OVER else "full"), None
    if traffic is None:
        return ("idle" if (fill or 0.0) <= LITTLE else "in use"), None
    if traffic.value is None:
        return ("no counter", Lack(traffic.why, event)) if traffic.why else ("", None)
    return ("idle" if traffic.value < QUIET and (fill or 0.0) <= LITTLE else "in use"), None


def most_notable(states: Iterable[tuple[State, Lack | None]]) -> tuple[State, Lack | None]:
    """The state of a sum; that of a group without any counter is "no counter"."""
    return min(states, key=lambda each: STATES.index(each[0]), default=("no counter", Lack("no counters")))


def sum_of(parts: Iterable[Amount | None]) -> Amount:
    """The sum of what is known, partial if something is not; the first reason if nothing is."""
    amounts = [part for part in parts if part is not None]
    known = [amount.value for amount in amounts if amount.value is not None]
    if not known:
        return Amount(why=next((amount.why for amount in amounts if amount.why), ""))
    return Amount(sum(known), partial=len(known) < len(amounts) or any(amount.partial for amount in amounts))
