"""One request for each guest: from a document, or else from its tuning file in guests.d or its live XML.

Live XML contains the guest's number in libvirt, so a plan recognizes the groups that libvirt made. The groups of a
document or a tuning file are named cachetune-NAME, because the number changes at each start of the guest.
"""

import msgspec

from cachetune.domain import load, read_file
from cachetune.domain.model import Domain
from cachetune.errors import GuestVcpusUnknownError, InputError, InvalidDomainError, WrongGuestError
from cachetune.findings import Finding
from cachetune.guests import find_guest, find_process, named_threads
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.proc.vhost import with_workers
from cachetune.guests.tuning_files import path_for
from cachetune.plan.request import GuestRequest
from cachetune.service.connection import Location
from cachetune.service.notes import noted
from cachetune.service.select import Selection, select_guests, warnings_about
from cachetune.service.wanted import Wanted, conflict_of, file_of, wanted
from cachetune.text import count


class Document(msgspec.Struct, frozen=True):
    """The content of a file (domain XML, tuning file or saved plan), and its ``name`` for messages.

    ``live``: it is the XML that libvirt has printed for a running guest.
    """

    name: str
    data: bytes
    live: bool = False


class Requests(msgspec.Struct, frozen=True):
    """One request for each guest, and ``notes``: warnings about the guests.

    ``conflict`` says why a document must not become the guest's tuning file ("" if it may).
    """

    requests: tuple[GuestRequest, ...]
    notes: tuple[str, ...] = ()
    conflict: str = ""


def read_document(file: str | None) -> Document | None:
    """Read a file, "-" for standard input; without a file, return None. Raises UnreadableFileError."""
    return None if file is None else Document("<stdin>" if file == "-" else file, read_file(file))


def load_document(document: Document, vcpus: int | None = None) -> tuple[Domain, tuple[Finding, ...]]:
    """The domain of a document and the warnings about it. Raises InvalidDomainError with all findings.

    ``vcpus`` is the maximum number of vCPUs for a tuning file, which does not contain it.
    """
    loaded = load(document.data, document.name, vcpus=vcpus, live=document.live)
    if loaded.domain is None:
        raise InvalidDomainError(loaded.findings)
    return loaded.domain, loaded.findings


def make_requests(selection: Selection, document: Document | None, location: Location) -> Requests:
    """The requests of the selected guests: all running guests, one of them, or the guest of the document.

    Raises InvalidDomainError, GuestNotFoundError and other InputErrors.
    """
    check_selection(selection, document, location)
    if selection.all_guests:
        return _requests_of_all(selection)
    if selection.guest is not None:
        (running,) = select_guests(selection).guests
        warnings = warnings_about(running)
        with noted(warnings):
            request = _request_of_one(running, document, selection)
            return Requests((request,), warnings, conflict_of(request.domain, running.live_domain))
    if document is None:
        raise InputError("nothing to plan", hint="pass domain XML, --guest NAME or --all-guests")
    domain, findings = load_document(document)
    if not domain.name and not selection.machine_name:
        raise InputError(f"{document.name} does not name its guest", hint="pass --guest NAME or --machine-name NAME")
    guest = _named_guest(selection, domain, location)
    return Requests((GuestRequest(domain, guest, selection.machine_name or "", findings=findings),))


def for_guest(domain: Domain, running: RunningGuest, document: str) -> Domain:
    """The domain of a document for a running guest: with its name and UUID. Raises WrongGuestError for another name."""
    if domain.name and domain.name != running.name:
        raise WrongGuestError(document, domain.name, running.name)
    return msgspec.structs.replace(domain, name=running.name, uuid=running.uuid, id=None)


def request_of(running: RunningGuest, domain: Domain, findings: tuple[Finding, ...] = ()) -> GuestRequest:
    """The request of a domain for a running guest. Raises GuestVcpusUnknownError if it needs unidentified vCPUs."""
    if running.problem and domain.needs_vcpus:
        hint = "tune the whole process (no vcpus), or name the threads with --vcpu N=TID"
        raise GuestVcpusUnknownError(running.name, running.guest.pid, running.problem, hint=hint)
    return GuestRequest(domain, running.guest, findings=findings)


def domain_to_save(made: Requests, document: Document | None, selection: Selection) -> Domain:
    """What becomes the tuning file of the only guest. Raises InputError if it must not.

    What is in guests.d is applied under the guest's own name, and not to a guest whose live XML requests tuning.
    """
    if document is None:
        raise InputError("--save needs FILE", hint="without FILE, the request is in guests.d or libvirt's XML already")
    if selection.machine_name:
        raise InputError("--save and --machine-name exclude each other", hint="tuning files have no machine names")
    (request,) = made.requests
    if made.conflict:
        hint = "remove the tuning from the guest's XML in libvirt and restart it, or omit --save"
        raise InputError(f"the request of guest {request.domain.name!r} cannot be saved: {made.conflict}", hint=hint)
    if path_for(request.domain.name, selection.guests_d) is None:
        raise InputError(f"guest {request.domain.name!r} cannot have a tuning file: no file can have this name")
    return request.domain


def check_selection(selection: Selection, document: Document | None, location: Location) -> None:
    """Raise InputError for contradictory options."""
    threads = selection.pid is not None or bool(selection.vcpus)
    if selection.pid is not None and selection.vcpus:
        raise InputError("--pid and --vcpu exclude each other", hint="--pid finds the vCPU threads")
    if (selection.guest or selection.all_guests) and threads:
        raise InputError(
            "--guest and --all-guests exclude --pid and --vcpu", hint="--guest finds the process and its vCPU threads"
        )
    if selection.all_guests and (selection.guest or document or selection.machine_name):
        raise InputError(
            "--all-guests plans every guest from its tuning file or its live XML", hint="use --guest NAME for one guest"
        )
    if location.host and (selection.guest or selection.all_guests):
        raise InputError("running guests cannot be planned on another host", hint="omit --host")


def _requests_of_all(selection: Selection) -> Requests:
    selected = select_guests(selection)
    notes = list(selected.notes)  # a guest that is skipped must not be mistaken for one without differences
    requests = []
    for running in selected.guests:
        with noted(notes):
            request = _own_request(running, wanted(running, file_of(running, selection.guests_d), selected.guests))
        if request is not None:
            notes += warnings_about(running)
            requests.append(request)
    tuned = tuple(request for request in requests if request.domain.groups)
    if not tuned:
        found = len(selected.guests)
        why = f"no tuning file and no tuning in the live XML of {count(found, 'running guest')}"
        with noted(notes):
            hint = f"run 'cachetune guests' to list them, or write {selection.guests_d}/NAME.xml"
            raise InputError(why if found else "no guests are running", hint=hint)
    return Requests(tuned, tuple(notes))


def _request_of_one(running: RunningGuest, document: Document | None, selection: Selection) -> GuestRequest:
    """The request of a guest that was named: its document, or else what it should have."""
    if document is not None:
        live = running.live_domain
        domain, findings = load_document(document, live.vcpus if live else None)
        request = request_of(running, for_guest(domain, running, document.name), findings)
    else:
        own = _own_request(running, wanted(running, file_of(running, selection.guests_d)))
        if own is None:
            raise InputError(
                f"the request of guest {running.name!r} is not known: it has no tuning file in {selection.guests_d}, "
                f"and its live XML is not available, because the guest was found by {running.source}",
                hint=f"pass a tuning file: --guest {running.name} FILE",
            )
        request = own
    return msgspec.structs.replace(request, machine_name=selection.machine_name or "")


def _own_request(running: RunningGuest, found: Wanted) -> GuestRequest | None:
    """The request of a tuning file or live XML; None without either. Raises InvalidDomainError and InputError."""
    if found.problem:
        raise InputError(f"guest {running.name!r}: {found.problem}", hint=f"pass a file: --guest {running.name} FILE")
    if found.xml is None:
        return None
    if found.xml.domain is None:
        raise InvalidDomainError(found.xml.findings)
    return request_of(running, own_domain(running, found.xml.domain), found.xml.findings)


def own_domain(running: RunningGuest, domain: Domain) -> Domain:
    """The domain of a tuning file or live XML with the UUID of the running guest, which a tuning file may lack."""
    return msgspec.structs.replace(domain, uuid=running.uuid or domain.uuid)


def _named_guest(selection: Selection, domain: Domain, location: Location) -> Guest | None:
    """The guest of --pid or --vcpu; without these options, None."""
    if selection.pid is not None:
        guest = guest_of_process(selection.pid, domain, location)
        return guest.without_affinity() if location.host else guest  # those are CPUs of this host
    if not selection.vcpus:
        return None
    threads = dict(selection.vcpus)
    if len(threads) != len(selection.vcpus):
        raise InputError("--vcpu names the same vCPU twice")
    guest = named_threads(threads, None if location.host else location.proc)
    return msgspec.structs.replace(guest, pid=None)  # without a pid, only the given threads count


def guest_of_process(pid: int, domain: Domain, location: Location) -> Guest:
    """The guest of a process, with its vCPU threads and vhost workers if the domain needs them. Raises InputError."""
    guest = (find_guest if domain.needs_vcpus else find_process)(pid, location.proc)
    return with_workers(guest, location.proc) if any(scope.threads for scope in domain.scopes) else guest
