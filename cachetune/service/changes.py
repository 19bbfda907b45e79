"""Change a host: plan and apply, under one lock or with the user's approval in between."""

from collections.abc import Callable, Sequence

from cachetune.apply.report import Report
from cachetune.apply.run import Connection, OnStep, Planner, apply, apply_planned
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.host.model import Host
from cachetune.plan.model import Plan
from cachetune.service.hosts import problems_of

OnPlan = Callable[[Plan], None]
Warn = Callable[[Sequence[str]], None]


def _ignore(_: object) -> None:
    return None


def carry_out(
    planner: Planner,
    connection: Connection,
    *,
    show: OnPlan = _ignore,
    approve: OnPlan | None = None,
    on_step: OnStep = _ignore,
    warn: Warn = _ignore,
    adopt: bool = False,
) -> Report:
    """Plan and apply: all of the plan, or nothing.

    ``warn`` is called with the warnings about the host, and ``show`` with the plan before the first step. Without
    ``approve``, one lock covers planning and applying. With it, the plan is made and approved without the lock, and
    refused if the host changes before it is applied. ``approve`` is not called for a plan without steps; to reject the
    plan it raises an exception, which is propagated.

    Raises what the planner raises, and ApplyRefusedError, LockTimeoutError, HostError or InputError if nothing was
    changed; later failures are in the report.
    """
    if approve is None:
        return apply_planned(shown(planner, show, warn), connection, on_step, adopt=adopt)
    ledger = load_ledger(connection.run)
    plan = shown(planner, show, warn)(connection.look(ledger), ledger)
    if plan.steps:
        approve(plan)
    return apply(plan, connection, on_step, adopt=adopt)


def shown(planner: Planner, show: OnPlan, warn: Warn) -> Planner:
    """The planner, which calls ``warn`` with the warnings about the host and ``show`` with the plan."""

    def plan_and_show(host: Host, ledger: Ledger) -> Plan:
        warn(problems_of(host))
        plan = planner(host, ledger)
        show(plan)
        return plan

    return plan_and_show
