"""The files cpus and cpus_list: CPUs whose tasks count as the group's unless the task itself is in a group.

A write replaces the set. A CPU is in exactly one control group: the CPUs that a group drops go to the default group,
which cannot drop any. A monitor group can only have CPUs of its parent, and loses them when the parent's set is
written. Source: rdtgroup_cpus_write in Linux 6.1 to 7.3.
"""

from collections.abc import Callable

from cachetune.sim.kernel.state import Group, RefusedError, State
from cachetune.sim.numbers import NumberError, format_cpu_list, format_cpu_mask, parse_cpu_list, parse_cpu_mask


def show_list(state: State, group: Group) -> str:
    """Return the content of cpus_list."""
    return format_cpu_list(_shown(state, group)) + "\n"


def show_mask(state: State, group: Group) -> str:
    """Return the content of cpus."""
    return format_cpu_mask(_shown(state, group), state.cpu_count) + "\n"


def _shown(_state: State, group: Group) -> frozenset[int]:
    if group.mode == "pseudo-locked" and group.region:
        return group.region.resource.cpus[group.region.cache_id]
    return group.cpus


def write_list(state: State, group: Group, text: str) -> None:
    """Execute one write to cpus_list. Raises RefusedError."""
    _write(state, group, text, parse_cpu_list)


def write_mask(state: State, group: Group, text: str) -> None:
    """Execute one write to cpus. Raises RefusedError."""
    _write(state, group, text, parse_cpu_mask)


def _write(state: State, group: Group, text: str, parse: Callable[[str, int], frozenset[int]]) -> None:
    if state.rules.groups_clear_status:
        state.status.clear()
    if group.mode in {"pseudo-locksetup", "pseudo-locked"}:
        state.refuse("Pseudo-locking in progress\n")
    try:
        wanted = parse(text, state.cpu_count)
    except NumberError as error:
        state.status.append("Bad CPU list/mask\n")
        raise RefusedError(error.errno) from error
    if group.parent is None:
        _write_control(state, group, wanted)
    else:
        _write_monitor(state, group, group.parent, wanted)


def _write_control(state: State, group: Group, wanted: frozenset[int]) -> None:
    dropped = group.cpus - wanted
    if dropped and group is state.root:
        state.refuse("Can't drop CPUs from default group\n")
    state.root.cpus |= dropped
    for other in state.groups.values():
        if other is not group:
            other.cpus -= wanted - group.cpus
            for monitor in other.monitors.values():
                monitor.cpus &= other.cpus
    group.cpus = wanted
    for monitor in group.monitors.values():
        monitor.cpus = frozenset()


def _write_monitor(state: State, group: Group, parent: Group, wanted: frozenset[int]) -> None:
    if wanted - parent.cpus:
        state.refuse("Can only add CPUs to mongroup that belong to parent\n")
    for other in parent.monitors.values():
        if other is not group:
            other.cpus -= wanted
    group.cpus = wanted
