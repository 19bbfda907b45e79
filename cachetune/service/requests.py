"""One request for each guest, from a document or from the guest's live XML.

Live XML contains the guest's number in libvirt, so a plan recognizes the groups that libvirt made. The groups of a
document are named cachetune-NAME, because the number changes at each start of the guest.
"""

import msgspec

from cachetune.domain import load, read_file
from cachetune.domain.model import Domain
from cachetune.errors import GuestVcpusUnknownError, InputError, InvalidDomainError, WrongGuestError
from cachetune.findings import Finding
from cachetune.guests import find_guest, find_process, named_threads
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.proc.vhost import with_workers
from cachetune.plan.request import GuestRequest
from cachetune.service.connection import Location
from cachetune.service.notes import noted
from cachetune.service.select import Selection, select_guests, warnings_about
from cachetune.text import count


class Document(msgspec.Struct, frozen=True):
    """The content of a file (domain XML, tuning file or saved plan), and its ``name`` for messages.

    ``live``: it is the XML that libvirt has printed for a running guest.
    """

    name: str
    data: bytes
    live: bool = False


class Requests(msgspec.Struct, frozen=True):
    """One request for each guest, and ``notes``: warnings about the guests."""

    requests: tuple[GuestRequest, ...]
    notes: tuple[str, ...] = ()


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


def live_domain(guest: RunningGuest) -> Domain | None:
    """The domain of a guest's live XML; None if it is not available or has errors."""
    return None if guest.xml is None else load(guest.xml.encode(), guest.name, live=True).domain


def make_requests(selection: Selection, document: Document | None, location: Location) -> Requests:
    """The requests of the selected guests: all running guests, one of them, or the guest of the document.

    Raises InvalidDomainError, GuestNotFoundError and other InputErrors.
    """
    _check(selection, document, location)
    if selection.all_guests:
        return _requests_of_all(selection)
    if selection.guest is not None:
        (running,) = select_guests(selection).guests
        warnings = warnings_about(running)
        with noted(warnings):
            return Requests((_request_of(running, document, selection.machine_name or ""),), warnings)
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


def request_of(running: RunningGuest, domain: Domain) -> GuestRequest:
    """The request of a domain for a running guest. Raises GuestVcpusUnknownError if it needs unidentified vCPUs."""
    if running.problem and domain.needs_vcpus:
        hint = "tune the whole process (no vcpus), or name the threads with --vcpu N=TID"
        raise GuestVcpusUnknownError(running.name, running.guest.pid, running.problem, hint=hint)
    return GuestRequest(domain, running.guest)


def _check(selection: Selection, document: Document | None, location: Location) -> None:
    """Raise InputError for contradictory options."""
    threads = selection.pid is not None or bool(selection.vcpus)
    if selection.pid is not None and selection.vcpus:
        raise InputError("--pid and --vcpu exclude each other", hint="--pid finds the vCPU threads")
    if (selection.guest or selection.all_guests) and threads:
        raise InputError(
            "--guest and --all-guests exclude --pid and --vcpu", hint="--guest finds the process and its vCPU threads"
        )
    if selection.all_guests and (selection.guest or document or selection.machine_name):
        raise InputError("--all-guests plans every guest from its live XML", hint="use --guest NAME for one guest")
    if location.host and (selection.guest or selection.all_guests):
        raise InputError("running guests cannot be planned on another host", hint="omit --host")


def _requests_of_all(selection: Selection) -> Requests:
    selected = select_guests(selection)
    notes = list(selected.notes)  # a guest that is skipped must not be mistaken for one without differences
    requests = []
    for running in selected.guests:
        if running.xml is not None:
            with noted(notes):
                request = _request_of(running, None, "")
            notes += warnings_about(running)
            requests.append(request)
    tuned = tuple(request for request in requests if request.domain.groups)
    if not tuned:
        found = len(selected.guests)
        why = "no guests are running" if not found else f"no tuning in the live XML of {count(found, 'running guest')}"
        with noted(notes):
            raise InputError(why, hint="run 'cachetune guests' to list them, or use --guest NAME with a tuning file")
    return Requests(tuned, tuple(notes))


def _request_of(running: RunningGuest, document: Document | None, machine_name: str) -> GuestRequest:
    """The request of a running guest: its document, or else its live XML. Raises InvalidDomainError and InputError."""
    live = None if running.xml is None else Document(f"{running.name} (libvirt)", running.xml.encode(), live=True)
    if document is None:
        if live is None:
            raise InputError(
                f"the live XML of guest {running.name!r} is not available: the guest was found by {running.source}",
                hint=f"pass a tuning file: --guest {running.name} FILE",
            )
        domain, findings = load_document(live)
    else:
        domain, findings = load_document(document, load_document(live)[0].vcpus if live else None)
        domain = for_guest(domain, running, document.name)
    return msgspec.structs.replace(request_of(running, domain), machine_name=machine_name, findings=findings)


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
