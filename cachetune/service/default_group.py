"""Planners for the default group: give it values, or those that it had at first."""

from cachetune.apply.run import Planner
from cachetune.plan.default_group import DefaultRequest, plan_default, plan_policy, plan_reset
from cachetune.plan.policy import Policy
from cachetune.units import Rounding


def default_planner(request: DefaultRequest, rounding: Rounding | None = None, policy: Policy | None = None) -> Planner:
    """A planner that gives the default group these values: it is called with the host once the lock is held."""
    return lambda host, _ledger: plan_default(host, request, rounding, policy)


def policy_planner(policy: Policy) -> Planner:
    """A planner that gives the default group what the policy says."""
    return lambda host, _ledger: plan_policy(host, policy)


def reset_planner(policy: Policy | None = None) -> Planner:
    """A planner that gives the default group the values that the ledger remembers."""
    return lambda host, ledger: plan_reset(host, ledger.initial, ledger.initial_unit, policy)
