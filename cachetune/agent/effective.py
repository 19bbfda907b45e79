"""The options that the agent of a host plans with, for those who ask what it would do."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from cachetune.agent import status_file
from cachetune.agent.model import AgentPlanning
from cachetune.errors import CachetuneError
from cachetune.plan.request import Options
from cachetune.service.connection import Location
from cachetune.service.policy import read_policy
from cachetune.service.select import Selection

_DEFAULTS = Options()


class EffectiveOptions(msgspec.Struct, frozen=True):
    """Options of a plan. ``words`` are those that are the agent's, as they are written on the command line."""

    options: Options = _DEFAULTS
    words: tuple[str, ...] = ()


def effective_options(location: Location, selection: Selection, given: Options = _DEFAULTS) -> EffectiveOptions:
    """The options ``given``, and for what is not given those of the agent that works on this host.

    That is a running agent, or ``agent --once`` whose result is left; it has the same resctrl and the same directory of
    tuning files. A status or a policy that cannot be read counts as none: the agent itself reports that.
    """
    planning = _planning_for(location, selection)
    if planning is None:
        return EffectiveOptions(given)
    taken = AgentPlanning(
        shrink_default=planning.shrink_default and not given.shrink_default,
        assign_counters=planning.assign_counters and not given.assign_counters,
        adopt=planning.adopt and not given.adopt,
        rounding=planning.rounding if given.rounding is None else None,
        policy=planning.policy if given.policy is None else None,
    )
    options = replace(
        given,
        shrink_default=given.shrink_default or taken.shrink_default,
        assign_counters=given.assign_counters or taken.assign_counters,
        adopt=given.adopt or taken.adopt,
        rounding=given.rounding or taken.rounding,
    )
    if given.policy is None:
        try:
            options = replace(options, policy=read_policy(Path(taken.policy) if taken.policy else None))
        except CachetuneError:
            taken = replace(taken, policy=None)
    return EffectiveOptions(options, taken.words)


def _planning_for(location: Location, selection: Selection) -> AgentPlanning | None:
    if location.host is not None:
        return None
    try:
        status = status_file.read(location.run)
    except CachetuneError:
        return None
    if status is None or status.planning is None or not (status.is_complete or status_file.is_alive(status)):
        return None
    same = (status.planning.resctrl, status.planning.guests_d) == (str(location.resctrl), str(selection.guests_d))
    return status.planning if same else None
