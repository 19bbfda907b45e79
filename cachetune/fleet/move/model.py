"""How to translate a request, and what it became on the other host. Part of the document of ``fit --from --json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest
from cachetune.findings import Finding
from cachetune.fleet.move.places import Pin, Placed, PlaceRule
from cachetune.host.model import Host
from cachetune.plan.rules import RULES
from cachetune.units import Rounding

By = Literal["bytes", "ways", "percent"]
R = TypeVar("R", CacheRequest, BandwidthRequest)


class MoveOptions(msgspec.Struct, frozen=True):
    """How to translate: ``rounding`` None is up, and keeps a value in ways or percent as it was requested.

    ``by`` says what a size has in common on both hosts; None is the unit that it was requested in. ``cpus`` is the list
    of CPUs that the vCPUs will run on, "" for those they are pinned to.
    """

    rounding: Rounding | None = None
    by: By | None = None
    cpus: str = ""

    @property
    def direction(self) -> Rounding:
        """How a value is rounded that must be."""
        return self.rounding or "up"


class MovedValue(msgspec.Struct, frozen=True):
    """One value on B of a ``group``, and that on A from which it is.

    ``b_id`` is its cache or node in ``resource``. ``a_ids`` are the caches or nodes of A whose request became this one,
    by ``rule``: "cpus", those of the CPUs that the vCPUs are pinned to; "all", every one; "id", that with the same id.
    ``a`` and ``b`` are the values in words. The amounts are in bytes of a cache, or in the host's unit of bandwidth;
    None if not known.
    """

    group: str
    resource: str
    a_ids: tuple[int, ...]
    b_id: int
    a: str
    b: str
    a_amount: int | None
    b_amount: int | None
    rule: PlaceRule


class Lost(msgspec.Struct, frozen=True):
    """A request of a ``group`` that is left out, and the ``rule`` why B cannot have it."""

    group: str
    what: str
    rule: str
    reason: str
    hint: str


class Translation(msgspec.Struct, frozen=True):
    """The request on B, where each of its values is from, and what was left out."""

    domain: Domain
    values: tuple[MovedValue, ...]
    lost: tuple[Lost, ...]


class Move(msgspec.Struct, frozen=True):
    """The move of one group: from A to B, with the ``pins`` of its vCPUs."""

    group: GroupRequest
    a: Host
    b: Host
    pins: frozenset[Pin]
    options: MoveOptions

    def lost(self, what: str, finding: Finding) -> Lost:
        """What is left out because of a finding."""
        return Lost(self.group.who, what, finding.rule, finding.message, finding.hint)

    def lost_places(self, places: Placed, requests: Mapping[int, Sequence[R]]) -> Iterator[Lost]:
        """What is left out because the vCPUs run elsewhere on B."""
        rule = RULES["CT223"]
        for place in places.unused:
            yield from (self._elsewhere(each, "no vCPU of the group runs there", rule.fix) for each in requests[place])
        if places.rule == "cpus":
            why = "B has none with a CPU that the vCPUs are pinned to"
            for place in places.missing:
                yield from (self._elsewhere(each, why, "pass --cpus LIST") for each in requests[place])

    def _elsewhere(self, request: CacheRequest | BandwidthRequest, why: str, hint: str) -> Lost:
        return Lost(self.group.who, name_of(request), "CT223", why, hint)


class Part(msgspec.Struct, Generic[R], frozen=True):
    """The requests of one kind on B, with their values, and what was left out."""

    requests: tuple[R, ...]
    values: tuple[MovedValue, ...]
    lost: tuple[Lost, ...]


def name_of(request: CacheRequest | BandwidthRequest) -> str:
    """A request as a message names it: "2.25 MiB of L3 cache 0", "50% of MB node 1"."""
    if isinstance(request, CacheRequest):
        kind = "" if request.type == "both" else f" {request.type}"
        return f"{request.size} of L{request.level} cache {request.cache_id}{kind}"
    return f"{request.bandwidth} of {request.resource} node {request.node_id}"
