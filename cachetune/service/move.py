"""What a guest's tuning on host A becomes on host B: the request is read, translated, and planned on B."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from cachetune.domain import SCHEMA, Head, tuning_text
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.fleet.compare import ComparedHost, compared_host
from cachetune.fleet.fit import fit
from cachetune.fleet.model import Candidate, Fit
from cachetune.fleet.move.model import Lost, MovedValue, MoveOptions
from cachetune.fleet.move.translate import translate
from cachetune.host.model import Host
from cachetune.plan.request import Options
from cachetune.service.applied import AppliedGuest, read_applied
from cachetune.service.connection import Location
from cachetune.service.hosts import problems_of, read_location
from cachetune.service.select import Selection
from cachetune.text import count, listed

RequestFrom = Literal["groups", "file"]


class MovedGuest(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``fit --from --json``: the tuning of a guest on A, and what it becomes on B.

    ``request_from`` says where the request on A is from: the guest's groups, or the file that was given. ``a_tuning``
    and ``b_tuning`` are tuning files. ``values`` are those of B and where each is from, ``lost`` what is left out.
    ``fit`` is the planner's answer for B with the rest. ``notes`` are warnings.
    """

    schema_version: Literal[1] = 1
    guest: str
    a: ComparedHost
    b: ComparedHost
    request_from: RequestFrom
    a_tuning: str
    b_tuning: str
    values: tuple[MovedValue, ...]
    lost: tuple[Lost, ...]
    fit: Fit
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all of the tuning fits on B with the options that were given, else 1."""
        return int(bool(self.lost) or self.fit.answer != "fits")


class MoveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which guest moves from ``a``, the file of a snapshot, "-" or ``sim:NAME``, to the host ``b``.

    ``domain`` is that of the guest's XML, if it was given. Without requests, it still says where vCPUs are pinned.
    """

    a: str
    b: Candidate
    guest: str | None = None
    domain: Domain | None = None
    schema: str = SCHEMA


def move_guest(request: MoveRequest, how: MoveOptions, options: Options) -> MovedGuest:
    """Translate the tuning of a guest from A to B, and plan it there.

    Raises InputError for a guest without groups on A and without requests in its XML, and what ``read_location`` does
    for A.
    """
    domain, a, notes = _request_on_a(request)
    b = request.b
    moved = translate(domain, a, b.host, how)
    return MovedGuest(
        guest=domain.name,
        a=compared_host(a, request.a),
        b=compared_host(b.host, b.file),
        request_from="file" if request.domain and request.domain.groups else "groups",
        a_tuning=tuning_text(domain, Head()),
        b_tuning=tuning_text(moved.domain, Head().naming(request.schema)),
        values=moved.values,
        lost=moved.lost,
        fit=fit(moved.domain, replace(b, name=b.name or b.file), options),
        notes=(*notes, *problems_of(b.host)),
    )


def _request_on_a(request: MoveRequest) -> tuple[Domain, Host, Sequence[str]]:
    """The request on A, and A."""
    given = request.domain
    if given and request.guest not in (None, given.name):
        raise InputError(f"the XML is that of guest {given.name!r}, not of {request.guest!r}")
    location = Location(host=request.a)
    if given and given.groups:
        reading = read_location(location)
        return _unnumbered(given), reading.host, reading.notes
    name = request.guest or (given.name if given else None)
    applied = read_applied(location, Selection(guest=name))
    chosen, notes = _only_one(applied.guests, request.a)
    domain = chosen.domain
    if given:
        domain = replace(domain, name=given.name, vcpus=given.vcpus, cpuset=given.cpuset, vcpupins=given.vcpupins)
    return _unnumbered(domain), applied.host, (*applied.notes, *notes, *chosen.notes)


def _unnumbered(domain: Domain) -> Domain:
    """The domain without its number, which it has on one host only."""
    return replace(domain, id=None)


def _only_one(guests: Sequence[AppliedGuest], source: str) -> tuple[AppliedGuest, Sequence[str]]:
    """The only guest; of one with groups by libvirt and by cachetune, those of cachetune, with a note."""
    names = sorted({guest.name for guest in guests})
    if not names:
        raise InputError(f"{source} has no groups of guests", hint="pass the guest's XML or its tuning file")
    if len(names) > 1:
        raise InputError(
            f"{source} has groups of {count(len(names), 'guest')}", hint=f"pass --guest: {listed(names, 8)}"
        )
    ours = sorted(guests, key=lambda guest: guest.owner != "cachetune")
    return ours[0], [f"the groups called {guest.machine_name} are left out" for guest in ours[1:]]
