"""libvirt's API: which guests libvirt runs, and their live XML. Needs the extra ``libvirt`` (libvirt-python).

The connection is read-only, and a read-only connection does not tell threads: libvirt has no call for them, and the
way around (a command to QEMU's monitor) needs to write and marks the guest as tainted. So name, uuid, number and XML
are libvirt's, the process is the emulator with that uuid, and its vCPUs are told by the names of its threads.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from cachetune.errors import MissingExtraError, SourceTimeoutError, SourceUnavailableError
from cachetune.guests.proc.processes import Process, canonical_uuid, with_uuid
from cachetune.guests.sources import thread_names as threads
from cachetune.guests.sources.live_xml import LiveDomain, LiveXmlError, live_domain, parse
from cachetune.guests.sources.sighting import Seen, Sighting, seen

SYSTEM = "qemu:///system"
SECONDS = 10.0
"""How long libvirt may take to answer; its own calls have no limit."""


def is_installed() -> bool:
    """Whether libvirt-python can be used."""
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return False
    return True


def look(uri: str | None, processes: Sequence[Process]) -> Seen:
    """Every guest that libvirt runs and whose process is here. Raises SourceUnavailableError
    when libvirt does not answer, MissingExtraError without libvirt-python."""
    if not is_installed():
        raise MissingExtraError("libvirt", "libvirt-python", "source libvirt")
    return seen(_sighting(xml, processes) for xml in _bounded(uri or SYSTEM))


def _sighting(xml: str, processes: Sequence[Process]) -> Sighting | str:
    try:
        domain = live_domain(parse(xml.encode()))
    except LiveXmlError as error:
        return f"libvirt's XML of a guest is not believed: {error}"
    process = with_uuid(canonical_uuid(domain.uuid), [one for one in processes if domain.may_run_as(one.user)])
    if process is None:
        return f"libvirt runs {domain.name}, but not one process here has its uuid"
    return _told(domain, process)


def _told(domain: LiveDomain, process: Process) -> Sighting:
    (named,) = threads.look((process,)).sightings
    return msgspec.structs.replace(
        named,
        source="libvirt",
        name=domain.name,
        uuid=canonical_uuid(domain.uuid),
        libvirt_id=domain.id,
        xml=domain.xml,
    )


def _bounded(uri: str) -> list[str]:
    """The live XML of all running guests, or a SourceTimeoutError after SECONDS: libvirtd may hang, we must not."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(list(_live_xml(uri)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it is waited for
            answer.set_exception(error)

    # A thread of a pool would be waited for at exit, hanging or not.
    threading.Thread(target=ask, name="libvirt", daemon=True).start()
    try:
        return answer.result(SECONDS)
    except TimeoutError:
        hint = "check whether libvirtd is stuck"
        raise SourceTimeoutError("libvirt", uri, SECONDS, hint=hint) from None


def _live_xml(uri: str) -> Iterator[str]:
    import libvirt

    libvirt.registerErrorHandler(_silent, None)  # else it prints what it raises
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError as error:
        hint = "check that libvirt is running, or pass --connect URI"
        raise SourceUnavailableError("libvirt", f"cannot connect to {uri}: {error}", hint=hint) from None
    try:
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            try:
                yield domain.XMLDesc()
            except libvirt.libvirtError:
                continue  # it has ended meanwhile
    except libvirt.libvirtError as error:
        raise SourceUnavailableError("libvirt", f"no answer from {uri}: {error}") from None
    finally:
        connection.close()


def _silent(_context: Any, _error: Any) -> None:
    """An error handler that says nothing: the exception does."""
