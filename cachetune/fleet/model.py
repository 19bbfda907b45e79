"""A host that may take a guest, the answer whether it can, and the document with all answers: ``FleetFit``."""

from typing import Literal

import msgspec

from cachetune.cbm import Bandwidth, Cbm
from cachetune.findings import Finding
from cachetune.host.model import Host
from cachetune.plan.model import MovedGroup

Answer = Literal["fits", "possible", "refused"]
Mean = Literal["rounded", "shrunk", "compacted"]
MEANS: tuple[Mean, ...] = ("rounded", "shrunk", "compacted")
"""What may have to be done so that a guest fits, the least first."""


class Candidate(msgspec.Struct, frozen=True):
    """A host that may take guests. ``name`` is unique among the candidates.

    ``file`` is where its snapshot is from: a path, "<stdin>" or sim:NAME. ``taken`` is when the snapshot was taken, in
    seconds since 1970, None if it does not say.
    """

    name: str
    host: Host
    file: str = ""
    taken: float | None = None


class CacheFit(msgspec.Struct, frozen=True):
    """One cache in which the guest requests ways, as it would be with the guest.

    ``masks`` are those of the guest's groups by path. ``default`` is the default group's, and ``default_before`` the
    one that it has now. ``others`` are the ways of all other groups. ``free`` are those of no group,
    ``free_ways`` their number, and ``largest_hole_ways`` the length of their longest run. ``way_bytes`` None is
    unknown.
    """

    resource: str
    id: int
    ways: int
    way_bytes: int | None
    masks: dict[str, Cbm]
    default: Cbm
    default_before: Cbm
    others: Cbm
    free: Cbm
    free_ways: int
    largest_hole_ways: int

    @property
    def default_left(self) -> int:
        """The ways that only the default group has: it could still give them up, as far as it may."""
        taken = int(self.others)
        for mask in self.masks.values():
            taken |= mask
        return (self.default & ~taken).bit_count()


class Rounded(msgspec.Struct, frozen=True):
    """A value that the host cannot have as it was ``requested`` ("30%"), and the ``amount`` that the guest would get.

    The amount is in bytes for a cache (0 if the size of its ways is unknown), else in the host's unit of bandwidth.
    """

    group: str
    resource: str
    id: int
    requested: str
    amount: int
    ways: int | None = None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a host can take a guest, by the plan for it.

    ``answer`` is "fits" with the options that were given; "possible" with the ``missing`` options in addition, such as
    --shrink-default; or "refused", with the ``findings`` of the plan with the options that were given. ``means`` is
    what is done so that it fits, empty if nothing is. ``present``: the guest's groups are on the host already.

    ``closids_left`` and ``rmids_left`` are after the plan, None if unknown. The ``findings`` of a host that fits are
    warnings.
    """

    guest: str
    host: str
    answer: Answer
    means: tuple[Mean, ...] = ()
    missing: tuple[str, ...] = ()
    present: bool = False
    caches: tuple[CacheFit, ...] = ()
    bandwidth: dict[str, Bandwidth] = {}
    rounded: tuple[Rounded, ...] = ()
    moved: tuple[MovedGroup, ...] = ()
    closids_left: int | None = None
    rmids_left: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def free_ways(self) -> int:
        """The free ways of the caches in which the guest requests ways."""
        return sum(cache.free_ways for cache in self.caches)

    @property
    def largest_hole_ways(self) -> int:
        """The largest hole of these caches."""
        return max((cache.largest_hole_ways for cache in self.caches), default=0)

    @property
    def default_left(self) -> int:
        """The ways that the default groups of these caches could still give up."""
        return sum(cache.default_left for cache in self.caches)

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The errors because of which the guest does not fit with the options that were given."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


class Unusable(msgspec.Struct, frozen=True):
    """A file that was not used, and why; ``findings`` are all of those in XML that is not valid."""

    file: str
    reason: str
    hint: str = ""
    findings: tuple[Finding, ...] = ()


class GuestFit(msgspec.Struct, frozen=True):
    """A guest and the answers of all hosts, the best host first. ``warnings`` are about its XML in ``file``."""

    guest: str
    file: str
    warnings: tuple[Finding, ...]
    hosts: tuple[Fit, ...]

    def answering(self, answer: Answer) -> tuple[Fit, ...]:
        """The hosts with this answer, the best first."""
        return tuple(fit for fit in self.hosts if fit.answer == answer)


class FleetHost(msgspec.Struct, frozen=True):
    """A host that has answered: its snapshot, and the ``older`` ones of the same host, which do not count.

    ``taken`` is in seconds since 1970, None if the snapshot does not say; ``stale`` if that is too long ago.
    """

    host: str
    file: str
    taken: float | None = None
    age_seconds: float | None = None
    stale: bool = False
    older: tuple[str, ...] = ()


class FleetFit(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``fit --json``: for each guest the hosts, the best first. ``spread`` says what best means."""

    schema_version: Literal[1] = 1
    spread: bool = False
    guests: tuple[GuestFit, ...] = ()
    hosts: tuple[FleetHost, ...] = ()
    unusable: tuple[Unusable, ...] = ()

    @property
    def exit_code(self) -> int:
        """2 if a file was not used, or without guests or hosts, 1 if some guest fits nowhere, else 0."""
        if self.unusable or not self.guests or not self.hosts:
            return 2
        return 0 if all(guest.answering("fits") for guest in self.guests) else 1
