"""From requests to plans: what a plan of a selection is, what a saved plan is, and what removes a guest's groups."""

from collections.abc import Sequence

import msgspec

from cachetune import documents
from cachetune.apply.guard import check_names
from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import ApplyRefusedError, DocumentError, InputError, PlanRefusedError
from cachetune.host.model import Host
from cachetune.idset import parse_vcpus
from cachetune.plan import plan_guests, plan_removal
from cachetune.plan.groups.names import checked_machine_name, machine_name, machine_name_of
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.connection import Location
from cachetune.service.hosts import read_for_planning
from cachetune.service.notes import noted
from cachetune.service.requests import Document, make_requests
from cachetune.service.select import Selection


class Planned(msgspec.Struct, frozen=True):
    """A plan, and ``notes``: warnings about the guests and the host."""

    plan: Plan
    notes: tuple[str, ...] = ()


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Whose groups to remove: those of a ``domain``, of a machine name, of a guest by name or uuid, or all of ours."""

    domain: Domain | None = None
    machine_name: str | None = None
    guest: str | None = None


def make_plan(location: Location, selection: Selection, document: Document | None, options: Options) -> Planned:
    """Plan the guests selected on the host as it is. Raises PlanRefusedError with all findings, and InputError."""
    asked = make_requests(selection, document, location)
    with noted(asked.notes):
        reading = read_for_planning(location)
    notes = (*asked.notes, *reading.notes)
    with noted(notes):
        return Planned(plan_requests(asked.requests, reading.host, reading.ledger, options), notes)


def plan_requests(requests: Sequence[GuestRequest], host: Host, ledger: Ledger, options: Options) -> Plan:
    """One plan for all requests, with what the ledger knows of each guest; the findings of their XML come first.

    Raises PlanRefusedError with all findings, InputError for a name that cannot be used.
    """
    owned = [msgspec.structs.replace(each, owned=ledger.groups_of(each.machine)) for each in requests]
    planned = plan_guests(owned, host, options)
    try:
        check_names(planned, host, ledger)
    except ApplyRefusedError as refused:
        findings = (finding for request in requests for finding in request.findings)
        raise PlanRefusedError((*findings, refused.finding)) from None
    return planned


def planner_of(requests: Sequence[GuestRequest], options: Options) -> Planner:
    """What plans the requests on the host as it is when the lock is held."""
    return lambda host, ledger: plan_requests(requests, host, ledger, options)


def removal_planner(removal: Removal) -> Planner:
    """What plans the removal on the host as it is when the lock is held."""

    def planner(host: Host, ledger: Ledger) -> Plan:
        guests = _guests_to_remove(removal, ledger)
        owned = {path for guest in guests for path in ledger.groups_of(guest.machine_name)}
        return plan_removal(host, guests, owned, ledger.shrunk)

    return planner


def is_saved_plan(document: Document) -> bool:
    """Whether a document is a plan in JSON rather than XML."""
    return document.data.lstrip()[:1] == b"{"


def read_plan(document: Document) -> Plan:
    """A saved plan, checked like any other input as far as that is possible without the host. Raises InputError."""
    saved = documents.decode(document.data, Plan, document.name)
    try:
        for group in saved.groups:
            parse_vcpus(group.vcpus or "0")
    except ValueError as error:
        raise DocumentError(document.name, str(error)) from None
    return saved


def _guests_to_remove(removal: Removal, ledger: Ledger) -> Sequence[PlanGuest]:
    """The guests with the machine names that the ledger has for them. Raises InputError."""
    if removal.domain:
        return [PlanGuest(removal.domain.name, machine_name_of(removal.domain), removal.domain.uuid)]
    if removal.machine_name is not None:
        return [PlanGuest("", checked_machine_name(removal.machine_name))]
    known = [PlanGuest(entry.name, machine, entry.uuid) for machine, entry in ledger.guests.items()]
    if removal.guest is None:
        if not known:
            raise InputError("cachetune has made no groups here", hint="'cachetune show' lists all groups")
        return known
    matching = [guest for guest in known if removal.guest in (guest.name, guest.uuid)]
    return matching or [PlanGuest("", machine_name(removal.guest))]
