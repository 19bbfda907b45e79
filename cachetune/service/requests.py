"""From what several guests ask for to one plan, with what the ledger knows of each.

The one way from requests to a plan for everybody who applies: the command, the agent and the hook.
"""

from collections.abc import Sequence

import msgspec

from cachetune.apply.guard import ApplyRefusedError, check_names
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.plan import Options, Plan, PlanRefusedError, Wish, plan_guests


class Request(msgspec.Struct, frozen=True):
    """What one guest asks for. ``findings`` are those of its XML; ``machine_name`` "" is the domain's own."""

    domain: Domain
    guest: Guest | None = None
    machine_name: str = ""
    findings: tuple[Finding, ...] = ()


def plan_requests(requests: Sequence[Request], host: Host, book: Ledger, options: Options) -> Plan:
    """One plan for all requests, the findings of their XML first among its warnings.

    Raises PlanRefusedError with all findings, InputError for a name that cannot be used.
    """
    findings = tuple(finding for request in requests for finding in request.findings)
    try:
        made = plan_guests([_wish(request, book) for request in requests], host, options)
        check_names(made, host, book)
    except PlanRefusedError as refused:
        raise PlanRefusedError((*findings, *refused.findings)) from None
    except ApplyRefusedError as refused:
        raise PlanRefusedError((*findings, refused.finding)) from None
    return msgspec.structs.replace(made, warnings=(*findings, *made.warnings))


def _wish(request: Request, book: Ledger) -> Wish:
    wish = Wish(request.domain, request.guest, request.machine_name)
    return msgspec.structs.replace(wish, owned=book.groups_of(wish.machine))
