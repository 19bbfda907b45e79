"""The document of ``fit --assign --json``: which host gets which guest."""

from typing import Literal

import msgspec

from cachetune.findings import Finding
from cachetune.fleet.model import FleetHost, Unusable

Solver = Literal["cp-sat", "greedy"]


class Why(msgspec.Struct, frozen=True):
    """Why a guest is not on these ``hosts``: the ``rule`` by which the plan refuses it, and its message for the first.

    Without a rule it is one of the assignment's own, such as the sum of bandwidths.
    """

    rule: str
    hosts: tuple[str, ...]
    example: str


class AssignedGuest(msgspec.Struct, frozen=True):
    """A guest and its ``host``; None, and ``why``, if it has none. ``warnings`` are about its XML in ``file``."""

    guest: str
    file: str
    host: str | None
    why: tuple[Why, ...] = ()
    warnings: tuple[Finding, ...] = ()


class CacheAvailable(msgspec.Struct, frozen=True):
    """What of a cache of ``ways`` ways further guests could get with the same options.

    ``available_ways`` are free or would be made free for them; ``largest_group_ways`` are the ways of the largest group
    that fits.
    """

    resource: str
    id: int
    ways: int
    available_ways: int
    largest_group_ways: int


class AssignedHost(msgspec.Struct, frozen=True):
    """A host that gets guests, in the order in which they can be applied one after another.

    ``caches`` are those in which these guests request ways. ``closids_left`` and ``rmids_left`` are None if unknown.
    """

    host: str
    file: str
    guests: tuple[str, ...]
    caches: tuple[CacheAvailable, ...]
    closids_left: int | None
    rmids_left: int | None


class FleetAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """Which host gets which guest.

    ``placed`` guests have a host, of at most ``placed_at_most`` that any assignment could place. They are on
    ``hosts_used`` hosts, and need at least ``hosts_at_least``. A bound is None if it was not searched for: greedy has
    none, and ``spread`` none of the hosts. ``optimal`` says that the bounds are reached, with ``spread`` that no
    assignment is more even. ``stopped`` says that a signal ended the search.
    """

    schema_version: Literal[1] = 1
    solver: Solver
    spread: bool = False
    placed: int
    placed_at_most: int | None = None
    hosts_used: int
    hosts_at_least: int | None = None
    optimal: bool = False
    stopped: bool = False
    seconds: float
    budget_seconds: float
    guests: tuple[AssignedGuest, ...]
    hosts: tuple[AssignedHost, ...]
    candidates: tuple[FleetHost, ...]
    unusable: tuple[Unusable, ...] = ()

    @property
    def exit_code(self) -> int:
        """2 if a file was not used or there are no guests or hosts, 1 if some guest has no host, else 0."""
        if self.unusable or not self.guests or not self.candidates:
            return 2
        return 0 if self.placed == len(self.guests) else 1
