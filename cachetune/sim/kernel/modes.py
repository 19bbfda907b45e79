"""The mode file: shareable, exclusive, pseudo-locksetup and pseudo-locked.

A group can become exclusive if it shares no bit with the hardware or another group, in any cache. An empty group can
enter pseudo-locksetup on processors that support it: it frees its RMID, its tasks and cpus files become inaccessible,
and the next valid write to schemata locks the region. Source: rdtgroup_mode_write and rdtgroup_locksetup_enter in Linux
6.1 to 7.3.
"""

from typing import Literal

from cachetune.sim.kernel import schemata
from cachetune.sim.kernel.rmids import OutOfRmidsError
from cachetune.sim.kernel.state import Group, RefusedError, State
from cachetune.sim.numbers import c_string


def show(group: Group) -> str:
    """Return the content of a group's mode file."""
    return f"{group.mode}\n"


def write(state: State, group: Group, text: str) -> None:
    """Execute one write to a mode file. Raises RefusedError."""
    if not text.endswith("\n"):
        state.refuse_input("mode")
    state.status.clear()
    wanted = c_string(text[:-1])
    if wanted == group.mode:
        return
    if group.mode == "pseudo-locked":
        state.refuse("Cannot change pseudo-locked group\n")
    if wanted == "shareable":
        _leave_setup(state, group, "shareable")
    elif wanted == "exclusive":
        _check_exclusive(state, group)
        _leave_setup(state, group, "exclusive")
    elif wanted == "pseudo-locksetup":
        _enter_setup(state, group)
    else:
        state.refuse("Unknown or unsupported mode\n")


def _check_exclusive(state: State, group: Group) -> None:
    for cache in state.caches:
        for cache_id in cache.ids:
            if schemata.overlaps(state, group, cache, cache_id, group.values[cache.name][cache_id]):
                state.refuse("Schemata overlaps\n")
    if not state.caches:
        state.refuse("Cannot be exclusive without CAT/CDP\n")


def _enter_setup(state: State, group: Group) -> None:
    obstacles = (
        (group is state.root, "Cannot pseudo-lock default group\n"),
        (state.cdp_mounted, "CDP enabled\n"),
        (not state.profile.pseudo_locking, "Pseudo-locking not supported\n"),
        (bool(group.monitors), "Monitoring in progress\n"),
        (bool(group.tids), "Tasks assigned to resource group\n"),
        (bool(group.cpus), "CPUs assigned to resource group\n"),
    )
    for there, message in obstacles:
        if there:
            state.refuse(message)
    if group.rmid is not None:
        state.counters.change()
        state.rmids.release(group.rmid)
        group.rmid = None
    group.mode = "pseudo-locksetup"


def _leave_setup(state: State, group: Group, mode: Literal["shareable", "exclusive"]) -> None:
    if group.mode == "pseudo-locksetup" and state.can_monitor:
        try:
            group.rmid = state.rmids.allocate(group.closid)
        except OutOfRmidsError as error:
            state.status.append("Out of RMIDs\n")
            raise RefusedError(error.errno) from error
        state.counters.start(group)
    group.mode, group.region = mode, None
