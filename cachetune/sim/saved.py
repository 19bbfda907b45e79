"""A saved host as a simulated resctrl, with the host's capabilities, groups, masks, assigned counters and tasks.

``from_host`` guesses what a Host does not contain. Sizes are the Host's. As on any machine, the ``size`` file rounds a
cache size that is not a multiple of the ways; the sysfs from ``copies.write_sysfs`` has it exactly.
"""

import time
from collections.abc import Callable, Sequence
from typing import get_args

from cachetune.errors import DocumentError
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.model import Group as SavedGroup
from cachetune.sim.from_host import cpus_in, profile_of
from cachetune.sim.kernel import tree
from cachetune.sim.kernel.groups import find_directory
from cachetune.sim.kernel.nodes import Directory, LookupFailedError, split
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.sim.kernel.rmids import OutOfRmidsError
from cachetune.sim.kernel.state import Group, Mode, Region, State
from cachetune.sim.workloads import WorkloadEntry

_DIRECTORY_MODE = 0o755
_MODES: dict[str, Mode] = {mode: mode for mode in get_args(Mode)}


def simulate_host(
    host: Host,
    *,
    kernel: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    writer: int = 1,
    workloads: Sequence[WorkloadEntry] = (),
) -> SimulatedResctrl:
    """Return a simulated resctrl in the state of a saved host, to rehearse a plan on.

    ``kernel``, ``clock``, ``writer`` and ``workloads`` are those of SimulatedResctrl; None is the oldest kernel that
    has what the host has. The Host has been through ``check_host``. Raises DocumentError if it cannot be simulated.
    """
    sim = SimulatedResctrl(profile_of(host), kernel=kernel, clock=clock, writer=writer, workloads=workloads)
    sim.mount_options, sim.topology = host.mount_options, host.topology
    _switch(sim.state, host)
    take_over(sim.state, sim.root, host)
    if sim.state.assignments.total:
        _assign(sim.state, host)
    return sim


def take_over(state: State, root: Directory, host: Host) -> None:
    """Add the groups of a saved host as they are, whether or not the kernel would allow them.

    Monitor groups are added last, so that a task ends up in its innermost group.
    """
    for saved in sorted(host.groups, key=lambda g: (g.kind == "monitor", g.path != DEFAULT_GROUP)):
        parts = split("" if saved.path == DEFAULT_GROUP else saved.path)
        if not parts:
            group = state.root
        elif saved.kind == "control":
            group = _add_control(state, root, parts[0], host)
        else:
            group = _add_monitor(state, root, parts, host)
        if saved.kind == "control":
            _fill(state, group, saved)
            tree.follow_mode(find_directory(root, parts), group)
        group.cpus, group.other_tasks = cpus_in(saved.cpus), saved.other_tasks
        for tid in saved.tids:
            state.place(tid, group)
    for monitor in host.monitors:
        if monitor.name == "L3_MON" and monitor.max_threshold_occupancy is not None:
            state.rmids.threshold = monitor.max_threshold_occupancy


def _switch(state: State, host: Host) -> None:
    """Switch on what the host has switched on: io_alloc with its masks, and how counters are assigned."""
    for cache in host.caches:
        if cache.io_alloc and state.io is not None:
            ids = cache.size_bytes
            state.io.masks = {i: int(cache.io_alloc_cbm.get(i, cache.cbm_mask)) for i in ids}
    if host.counter_assignment and state.assignments.total:
        state.assignments.enabled = host.counter_assignment.is_active
        state.assignments.on_mkdir = host.counter_assignment.on_mkdir is not False


def _assign(state: State, host: Host) -> None:
    """Give each group the counters that it has, in place of those of a new one."""
    state.assignments.free_all()
    for saved in host.groups:
        group = _find(state, saved.path)
        for event, by_id in saved.assignments.items():
            for cache_id, has in by_id.items():
                if has and event in state.assignments.events and cache_id in state.assignments.domains:
                    state.assignments.take(group, cache_id, event)


def _find(state: State, path: str) -> Group:
    parent, _, name = ("" if path == DEFAULT_GROUP else path).rpartition("mon_groups/")
    control = state.groups[parent.rstrip("/") if "mon_groups/" in path else name]
    return control.monitors[name] if "mon_groups/" in path else control


def _refuse(host: Host, path: str, reason: str) -> DocumentError:
    return DocumentError(f"snapshot {host.source}", f"it cannot be simulated: group {path!r} {reason}")


def _add_control(state: State, root: Directory, name: str, host: Host) -> Group:
    if name in root.entries:
        raise _refuse(host, name, "has the name of a file")
    closid = _unused_closid(state)
    group = state.groups[name] = Group(name, closid=closid, rmid=_rmid(state, closid), values=state.defaults())
    state.counters.start(group)
    root.entries[name] = tree.make_control(state, group, _DIRECTORY_MODE)
    return group


def _add_monitor(state: State, root: Directory, parts: list[str], host: Host) -> Group:
    try:
        inside = find_directory(root, parts[:-1])
    except LookupFailedError:
        raise _refuse(host, "/".join(parts), "is a monitor group, but the host has no monitoring") from None
    parent = inside.group or state.root
    group = parent.monitors[parts[-1]] = Group(parts[-1], parent, rmid=_rmid(state, parent.closid))
    state.counters.start(group)
    inside.entries[parts[-1]] = tree.make_monitor(state, group, _DIRECTORY_MODE)
    return group


def _unused_closid(state: State) -> int:
    """Return the next free CLOSID, or a number past the end if a saved host has more groups than CLOSIDs."""
    closid = state.free_closid()
    return state.closids + len(state.groups) if closid is None else closid


def _rmid(state: State, closid: int | None) -> int | None:
    try:
        return state.rmids.allocate(closid) if state.can_monitor else None
    except OutOfRmidsError:
        return None


def _fill(state: State, group: Group, saved: SavedGroup) -> None:
    """Set a control group's values. Ids that the saved group does not have stay unlimited."""
    for values in (saved.masks, saved.bandwidth):
        for name, by_id in values.items():
            known = group.values.get(name, {})
            known.update({i: int(value) for i, value in by_id.items() if i in known})
    group.mode = _MODES.get(saved.mode, "shareable")
    group.other_lines = saved.other_lines
    if group.mode == "pseudo-locked":
        group.closid = group.rmid = None
        group.region = next(
            (Region(c, i, int(mask)) for c in state.caches for i, mask in saved.masks.row(c.name).items()), None
        )
