"""From guests that run here to requests: their live XML as libvirt has it, or a file of the operator's.

Live XML has libvirt's own names for its groups, so that the plan knows again what libvirt has placed. A file's groups
are named after the guest (cachetune-NAME), whatever number libvirt gives it at its next start.
"""

import click
import msgspec

from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.findings import Finding
from cachetune.guests.find import SourceOptions, guest_named, look
from cachetune.guests.model import RunningGuest, SourceName
from cachetune.plan import PlanRefusedError
from cachetune.plan.request import GuestRequest
from cachetune.text import printable


def guest_request(
    key: str,
    source_options: SourceOptions,
    source: SourceName | None,
    data: bytes | None,
    document: str,
    machine_name: str | None,
) -> GuestRequest:
    """What the guest called ``key`` asks for: by ``data``, domain XML or a tuning file, or else by its live XML.

    Raises PlanRefusedError when that has errors; InputError for a guest that does not run, that has no XML, or whose
    name is not that of ``data``.
    """
    running = guest_named(key, source_options, source, per_vcpu=False)
    if data is None:
        return _live_request(running, machine_name or "")
    live = _live_domain(running)[0] if running.xml is not None else None
    domain, findings = _loaded(data, document, live.vcpus if live else None)
    if domain.name and domain.name != running.name:
        raise InputError(f"{document} is for the guest {domain.name!r}, not {running.name!r}")
    named = msgspec.structs.replace(domain, name=running.name, uuid=running.uuid, id=None)
    return _request(running, named, machine_name or "", findings)


def guest_requests(source_options: SourceOptions, source: SourceName | None) -> list[GuestRequest]:
    """What all guests ask for whose live XML asks for anything. Raises InputError if none does."""
    running = look(source_options, source)
    for note in running.notes:  # a guest that is left out is no guest that is as its XML asks
        click.echo(f"warning: {printable(note)}", err=True)
    found = running.guests
    requests = [_live_request(each, "") for each in found if each.xml is not None]
    asking = [request for request in requests if request.domain.groups]
    if not asking:
        raise InputError(
            f"none of the {len(found)} guests that run here asks for anything in XML that libvirt knows",
            hint="'cachetune guests' lists them; use --guest NAME with a tuning file",
        )
    return asking


def _live_request(running: RunningGuest, machine_name: str) -> GuestRequest:
    if running.xml is None:
        raise InputError(
            f"the XML of guest {running.name!r} is not known: it was found by {running.source}",
            hint=f"give a tuning file: --guest {running.name} FILE",
        )
    domain, findings = _live_domain(running)
    return _request(running, domain, machine_name, findings)


def _live_domain(running: RunningGuest) -> tuple[Domain, tuple[Finding, ...]]:
    return _loaded((running.xml or "").encode(), f"{running.name} (libvirt)", None)


def _request(running: RunningGuest, domain: Domain, machine_name: str, findings: tuple[Finding, ...]) -> GuestRequest:
    """The request, unless the vCPUs that it is about cannot be told apart."""
    for sentence in running.disagreements:
        click.echo(f"warning: guest {running.name!r}: {printable(sentence)}", err=True)
    if running.is_only_its_own_word:
        who = f"process {running.guest.pid} of the user {running.user}"
        click.echo(f"warning: nobody but {who} says that it is the guest {running.name!r}", err=True)
    if running.problem and domain.needs_vcpus:
        raise InputError(
            f"guest {running.name!r} (process {running.guest.pid}): {running.problem}",
            hint="tune the whole process (no vcpus), or name the threads with --vcpu N=TID",
        )
    return GuestRequest(domain, running.guest, machine_name, findings=findings)


def _loaded(data: bytes, document: str, vcpus: int | None) -> tuple[Domain, tuple[Finding, ...]]:
    loaded = load(data, document, vcpus=vcpus)
    if loaded.domain is None:
        raise PlanRefusedError(loaded.findings)
    return loaded.domain, loaded.findings
