"""Plans: of the guests of a selection, of saved plans, and for the removal of groups."""

import contextlib
from collections.abc import Sequence

import msgspec

from cachetune import documents
from cachetune.apply.guard import check_names
from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import ApplyRefusedError, MachineNameError, PlanRefusedError, UnknownGuestError
from cachetune.guests.find import look
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.guests.tuning_files import names_in
from cachetune.host.model import Host
from cachetune.plan import plan_guests, plan_removal
from cachetune.plan.build import groups_of
from cachetune.plan.consistency import plan_problems
from cachetune.plan.default_findings import default_findings
from cachetune.plan.groups.names import checked_machine_name, machine_name, machine_name_of
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.policy import Policy
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.connection import Location
from cachetune.service.hosts import read_for_planning
from cachetune.service.notes import noted
from cachetune.service.policy import policy_notes
from cachetune.service.requests import Document, make_requests
from cachetune.service.select import Selection


class Planned(msgspec.Struct, frozen=True):
    """A plan, and ``notes``: warnings about the guests and the host."""

    plan: Plan
    notes: tuple[str, ...] = ()


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Whose groups to remove: those of a domain, of a machine name, of a guest (name or UUID), or all in the ledger.

    A guest without groups must at least have a tuning file or run; ``selection`` says where to look for both.
    """

    domain: Domain | None = None
    machine_name: str | None = None
    guest: str | None = None
    selection: Selection = Selection()


def make_plan(location: Location, selection: Selection, document: Document | None, options: Options) -> Planned:
    """Plan the selected guests on the host. Raises PlanRefusedError with all findings, and InputError."""
    made = make_requests(selection, document, location)
    with noted(made.notes):
        reading = read_for_planning(location)
    notes = (*made.notes, *reading.notes, *policy_notes(options.policy, reading.host))
    with noted(notes):
        return Planned(plan_requests(made.requests, reading.host, reading.ledger, options), notes)


def plan_requests(requests: Sequence[GuestRequest], host: Host, ledger: Ledger, options: Options) -> Plan:
    """Make one plan for all requests; the ledger lists the groups that each guest already has.

    It also gives ways back that the default group gave up for guests and that no group has after it.

    Raises PlanRefusedError with all findings (those of the XML first), MachineNameError and GroupConflictError.
    """
    owned = [msgspec.structs.replace(each, owned=ledger.groups_of(each.machine)) for each in requests]
    planned = plan_guests(owned, host, options, ledger.shrunk, guests_of_groups(ledger))
    try:
        check_names(planned, host, ledger)
    except ApplyRefusedError as refused:
        findings = (finding for request in requests for finding in request.findings)
        raise PlanRefusedError((*findings, refused.finding)) from None
    return planned


def compare_requests(requests: Sequence[GuestRequest], host: Host, ledger: Ledger, options: Options) -> Plan:
    """Plan only what these guests lack, without giving back what other guests left: to compare, not to apply.

    Raises as plan_requests does.
    """
    return plan_requests(requests, host, msgspec.structs.replace(ledger, shrunk=None), options)


def guests_of_groups(ledger: Ledger) -> dict[str, str]:
    """The name of the guest of each group in the ledger, by path."""
    return {path: entry.name for entry in ledger.guests.values() for path in entry.groups}


def planner_of(requests: Sequence[GuestRequest], options: Options) -> Planner:
    """A planner for the requests: it is called with the host once the lock is held."""
    return lambda host, ledger: plan_requests(requests, host, ledger, options)


def comparison(requests: Sequence[GuestRequest], options: Options) -> Planner:
    """A planner for ``compare_requests``."""
    return lambda host, ledger: compare_requests(requests, host, ledger, options)


def within_policy(plan: Plan, host: Host, policy: Policy | None) -> Plan:
    """The saved plan. Raises PlanRefusedError if it leaves the default group less than the host's policy says."""
    findings = tuple(f for f in default_findings(host, plan.steps, policy) if f.severity == "error")
    if findings:
        raise PlanRefusedError(findings)
    return plan


def removal_planner(removal: Removal) -> Planner:
    """A planner for the removal: it is called with the host once the lock is held.

    It raises UnknownGuestError for a guest that nothing on this machine knows, and what ``plan_removal`` raises.
    """

    def planner(host: Host, ledger: Ledger) -> Plan:
        guests = _guests_to_remove(removal, host, ledger)
        owned = {path for guest in guests for path in ledger.groups_of(guest.machine_name)}
        return plan_removal(host, guests, owned, ledger.shrunk)

    return planner


def is_saved_plan(document: Document) -> bool:
    """Whether a document is a saved plan (JSON) rather than XML."""
    return document.data.lstrip()[:1] == b"{"


def read_plan(document: Document) -> Plan:
    """Read a saved plan, and check it as far as that is possible without the host. Raises DocumentError."""
    return documents.decode(document.data, Plan, document.name, plan_problems)


def _guests_to_remove(removal: Removal, host: Host, ledger: Ledger) -> Sequence[PlanGuest]:
    """The guests to remove, with their machine names from the ledger. Raises InputError."""
    if removal.domain:
        return [PlanGuest(removal.domain.name, machine_name_of(removal.domain), removal.domain.uuid)]
    if removal.machine_name is not None:
        return [PlanGuest("", checked_machine_name(removal.machine_name))]
    known = [PlanGuest(entry.name, machine, entry.uuid) for machine, entry in ledger.guests.items()]
    if removal.guest is None:
        return known
    matching = [guest for guest in known if removal.guest in (guest.name, guest.uuid)]
    return matching or [_guest_without_record(removal.guest, removal.selection, host, ledger)]


def _guest_without_record(key: str, selection: Selection, host: Host, ledger: Ledger) -> PlanGuest:
    """The guest with this name or UUID, which is not in the ledger; groups can have its name nevertheless."""
    with contextlib.suppress(MachineNameError):
        machine = machine_name(key)
        if machine not in ledger.guests and groups_of(host, machine, ()):
            return PlanGuest(key, machine)
    files = names_in(selection.guests_d) or ()
    if key in files:
        return PlanGuest(key, machine_name(key))
    running = look(selection.sources, selection.source)
    uuid = canonical_uuid(key)
    for guest in running.guests:
        if key == guest.name or (uuid and uuid == guest.uuid):
            return PlanGuest(guest.name, machine_name(guest.name), guest.uuid)
    names = {entry.name for entry in ledger.guests.values()}
    known = sorted({*names, *files, *(guest.name for guest in running.guests)} - {""})
    raise UnknownGuestError(key, known, running.notes)
