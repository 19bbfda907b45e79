"""libvirt's API: the guests that libvirt runs, and their live XML. Needs the extra ``libvirt`` (libvirt-python).

libvirt has no call for thread ids. The alternative, a command to QEMU's monitor, needs a writable connection and taints
the guest. So name, uuid, number and XML come from libvirt over a read-only connection, the process is the emulator
with that uuid, and thread names identify its vCPUs.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from cachetune.errors import MissingExtraError, SourceTimeoutError, SourceUnavailableError
from cachetune.guests.proc.processes import Process, with_uuid
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.guests.sources.live_xml import LiveDomain, LiveXmlError, live_domain, parse
from cachetune.guests.sources.sighting import Search, Seen, Sighting, seen
from cachetune.guests.sources.threads import sighting_of

LABEL = "libvirt"

SYSTEM = "qemu:///system"
SECONDS = 10.0
"""How long libvirt may take to answer; its own calls have no timeout."""

_SOCKETS = ("libvirt-sock-ro", "virtqemud-sock-ro")


def is_installed() -> bool:
    """Whether libvirt-python can be imported."""
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return False
    return True


def worth_asking(search: Search) -> bool:
    """If libvirt runs on this host, libvirt-python is installed, and an emulator is still unknown."""
    runs = any((search.options.libvirt_run.parent / socket).exists() for socket in _SOCKETS)
    return runs and is_installed() and bool(search.unseen)


def look(search: Search) -> Seen:
    """Return every guest that libvirt runs and whose process is on this host.

    Raises SourceUnavailableError if libvirt does not answer, MissingExtraError without libvirt-python.
    """
    if not is_installed():
        raise MissingExtraError("libvirt", "libvirt-python", "source libvirt")
    return seen(_sighting(xml, search.processes) for xml in _bounded(search.options.connect or SYSTEM))


def _sighting(xml: str, processes: Sequence[Process]) -> Sighting | str:
    try:
        domain = live_domain(parse(xml.encode()))
    except LiveXmlError as error:
        return f"rejected libvirt's XML of a guest: {error}"
    process = with_uuid(canonical_uuid(domain.uuid), [one for one in processes if domain.may_run_as(one.user)])
    if process is None:
        return f"libvirt runs {domain.name}, but no single process on this host has its uuid"
    return _identified(domain, process)


def _identified(domain: LiveDomain, process: Process) -> Sighting:
    return msgspec.structs.replace(
        sighting_of(process),
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
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            answer.set_exception(error)

    # Not a pool: the interpreter would wait for its threads at exit.
    threading.Thread(target=ask, name="libvirt", daemon=True).start()
    try:
        return answer.result(SECONDS)
    except TimeoutError:
        hint = "check whether libvirtd is stuck"
        raise SourceTimeoutError("libvirt", uri, SECONDS, hint=hint) from None


def _live_xml(uri: str) -> Iterator[str]:
    import libvirt

    libvirt.registerErrorHandler(_silent, None)  # by default it prints errors as well as raising them
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
                continue  # it has ended since
    except libvirt.libvirtError as error:
        raise SourceUnavailableError("libvirt", f"no answer from {uri}: {error}") from None
    finally:
        connection.close()


def _silent(_context: Any, _error: Any) -> None:
    """An error handler that prints nothing: the exception is enough."""
