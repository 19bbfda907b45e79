"""Whether a guest has the threads, other than its vCPUs, that a domain requests groups for."""

from collections.abc import Iterator

from cachetune.domain.model import Domain, GroupRequest, MonitorRequest
from cachetune.domain.threads import Threads
from cachetune.findings import Finding
from cachetune.guests.model import Guest
from cachetune.idset import numbered
from cachetune.plan.groups.translate import iothread_number
from cachetune.plan.rules import RULES
from cachetune.text import listed, printable

_NAMES = 8  # of iothreads, in one message


def thread_findings(domain: Domain, guest: Guest) -> Iterator[Finding]:
    """CT410 to CT412, once for each kind of threads that is requested and that the guest lacks."""
    first: dict[Threads, GroupRequest | MonitorRequest] = {}
    for scope in domain.scopes:
        if scope.threads:
            first.setdefault(scope.threads, scope)
    for threads, scope in first.items():
        if threads.kind == "vhost":
            if not any(thread.vhost for thread in guest.threads):
                yield RULES["CT412"].at(scope.at)
        elif not guest.kinds_known:
            yield RULES["CT410"].at(scope.at, who=threads.shown)
        elif threads.kind == "iothreads" and (missing := _missing(threads, guest)):
            yield RULES["CT411"].at(scope.at, who=missing, has=_iothreads(guest))


def _missing(threads: Threads, guest: Guest) -> str:
    """The iothreads that the guest does not have; "" if it has all."""
    names = _names(guest)
    if threads.iothreads is None:
        return "" if names else "iothreads"
    lacking = threads.iothreads.difference(iothread_number(name) for name in names)
    return numbered("iothread", lacking) if lacking else ""


def _iothreads(guest: Guest) -> str:
    names = [printable(name) for name in _names(guest)]
    return f"{listed(names, _NAMES)}" if names else "no iothreads"


def _names(guest: Guest) -> list[str]:
    return sorted(thread.iothread for thread in guest.threads if thread.iothread is not None)
