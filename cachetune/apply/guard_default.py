"""Check a plan for the default group: only it may change that group's bandwidth, and its goal goes into the ledger."""

from cachetune.apply.state.ledger import Ledger
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.resctrl.schemata import Schemata, merge, parse
from cachetune.plan.group_state import GroupState
from cachetune.plan.model import NO_GUEST, DefaultGoal, Plan
from cachetune.plan.steps import WriteSchemata


def goal_problem(plan: Plan, host: Host, ledger: Ledger) -> str:
    """What a plan with a goal for the default group does that ``cachetune default`` would not do; "" for nothing.

    Whether each of its writes may be made is for the dry run.
    """
    goal = plan.default_group
    if goal is None:
        return ""
    if plan.groups or plan.guests != (NO_GUEST,) or not all(isinstance(step, WriteSchemata) for step in plan.steps):
        return "change guests together with the default group"
    if plan.host_groups.get(DEFAULT_GROUP) != GroupState.of(host.default_group):
        return "start from a default group that the host does not have"
    if goal.reset:
        return "" if _is_initial(goal, ledger) else "reset the default group to values that it did not have at first"
    return "" if _is_reached(goal, plan, host) else "record values of the default group that it does not write"


def _is_initial(goal: DefaultGoal, ledger: Ledger) -> bool:
    initial = ledger.initial
    return initial.masks.covers(goal.values.masks) and initial.bandwidth.covers(goal.values.bandwidth)


def _is_reached(goal: DefaultGoal, plan: Plan, host: Host) -> bool:
    """Whether the default group has the values of the goal after the plan, as far as the plan can know."""
    group = host.default_group
    values = Schemata(group.masks, group.bandwidth)
    for step in plan.steps:
        if isinstance(step, WriteSchemata) and step.path == DEFAULT_GROUP:
            values = merge(values, parse(step.after))
    return values.masks.covers(goal.values.masks) and goal.values.bandwidth.places() <= group.bandwidth.places()
