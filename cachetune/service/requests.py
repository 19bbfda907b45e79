"""From requests to one plan, with what the ledger knows of each guest: the one way for everybody who applies."""

from collections.abc import Sequence

import msgspec

from cachetune.apply.guard import check_names
from cachetune.apply.state.ledger import Ledger
from cachetune.errors import ApplyRefusedError, PlanRefusedError
from cachetune.host.model import Host
from cachetune.plan import Plan, plan_guests
from cachetune.plan.request import GuestRequest, Options


def plan_requests(requests: Sequence[GuestRequest], host: Host, ledger: Ledger, options: Options) -> Plan:
    """One plan for all requests, the findings of their XML first among its warnings.

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
