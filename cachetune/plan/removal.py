"""Plan the removal of guests: remove their groups and give the default group back the ways that it had before."""

from collections.abc import Collection, Sequence

from cachetune.errors import PlanRefusedError
from cachetune.host.model import Host
from cachetune.plan.build import groups_of, resources_of
from cachetune.plan.counts import summarize
from cachetune.plan.diff import Removal, steps_between
from cachetune.plan.giveback import returning_steps
from cachetune.plan.group_state import group_states
from cachetune.plan.model import NO_GUEST, DefaultShrink, Plan, PlanGuest
from cachetune.plan.ownership import nested_findings


def plan_removal(
    host: Host, guests: Sequence[PlanGuest], owned: Collection[str] = (), shrunk: DefaultShrink | None = None
) -> Plan:
    """The plan that removes the guests' groups and returns ways to the default group unless another group took them.

    Without guests it only returns ways. Raises PlanRefusedError if a foreign monitor group is inside a group to be
    removed.
    """
    removed = tuple(dict.fromkeys(path for g in guests for path in groups_of(host, g.machine_name, owned)))
    if findings := nested_findings(host, removed):
        raise PlanRefusedError(findings)
    steps = steps_between(host, (), {}, {}, Removal(removed, first=True))
    steps += returning_steps(host, steps, shrunk)
    return Plan(
        guests=tuple(guests) or (NO_GUEST,),
        host_fingerprint=host.fingerprint,
        host_groups=group_states(host),
        resources=resources_of(host),
        groups=(),
        steps=steps,
        summary=summarize(steps, host),
    )
