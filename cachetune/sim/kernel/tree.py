"""The directories and files of a simulated resctrl: their names, permissions and handlers.

The content of files is up to schemata, tasks, cpus, modes and info. mkdir, rmdir and rename change the tree; every read
computes the content of a file from the state.
"""

from cachetune.sim.kernel import cpus, info, mbps_event, modes, schemata, tasks
from cachetune.sim.kernel.nodes import Directory, File, Node
from cachetune.sim.kernel.state import Group, State


def make_root(state: State) -> Directory:
    """Return the tree of a freshly mounted resctrl."""
    root = Directory(0o555, "root", state.root, _control_files(state, state.root))
    root.entries["info"] = info.make_info(state)
    if state.profile.monitoring:
        root.entries["mon_data"] = _mon_data(state, state.root, 0o555)
        root.entries["mon_groups"] = Directory(0o555, "mon_groups", state.root)
    return root


def make_control(state: State, group: Group, mode: int) -> Directory:
    """Return the directory of a new control group."""
    directory = Directory(mode, "group", group, _control_files(state, group))
    if state.profile.monitoring:
        directory.entries["mon_data"] = _mon_data(state, group, mode)
        directory.entries["mon_groups"] = Directory(mode, "mon_groups", group)
    return directory


def make_monitor(state: State, group: Group, mode: int) -> Directory:
    """Return the directory of a new monitor group."""
    directory = Directory(mode, "group", group, _base_files(state, group))
    directory.entries["mon_data"] = _mon_data(state, group, mode)
    return directory


def follow_mode(directory: Directory, group: Group) -> None:
    """Set the permissions of a control group's files according to its mode.

    In pseudo-locksetup not even root can open its tasks and CPUs; in pseudo-locked its CPUs are readable.
    """
    closed = {"pseudo-locksetup": (0, 0), "pseudo-locked": (0, 0o444)}
    tasks_mode, cpus_mode = closed.get(group.mode, (0o644, 0o644))
    directory.entries["tasks"].mode = tasks_mode
    directory.entries["cpus"].mode = directory.entries["cpus_list"].mode = cpus_mode
    if "mon_groups" in directory.entries:
        directory.entries["mon_groups"].mode = directory.mode if group.mode in {"shareable", "exclusive"} else 0


def _base_files(state: State, group: Group) -> dict[str, Node]:
    files: dict[str, Node] = {
        "cpus": File(0o644, lambda: cpus.show_mask(state, group), lambda t: cpus.write_mask(state, group, t)),
        "cpus_list": File(0o644, lambda: cpus.show_list(state, group), lambda t: cpus.write_list(state, group, t)),
        "tasks": File(0o644, lambda: tasks.show(state, group), lambda t: tasks.write(state, group, t)),
    }
    if "debug" in state.profile.mount_options and state.profile.monitoring:
        files["mon_hw_id"] = File(0o444, lambda: f"{group.rmid or 0}\n")
    return files


def _control_files(state: State, group: Group) -> dict[str, Node]:
    files = _base_files(state, group)
    files |= {
        "mode": File(0o644, lambda: modes.show(group), lambda t: modes.write(state, group, t)),
        "schemata": File(0o644, lambda: schemata.show(state, group), lambda t: schemata.write(state, group, t)),
        "size": File(0o444, lambda: schemata.show_size(state, group)),
    }
    if "mba_MBps" in state.profile.mount_options and state.rules.mbps_event_file:
        files["mba_MBps_event"] = File(
            0o644, lambda: mbps_event.show(state, group), lambda t: mbps_event.write(state, group, t)
        )
    if "debug" in state.profile.mount_options:
        files["ctrl_hw_id"] = File(0o444, lambda: f"{group.closid or 0}\n")
    return files


def _mon_data(state: State, group: Group, mode: int) -> Directory:
    directory = Directory(mode, "inside", group)
    events = state.profile.monitoring.events if state.profile.monitoring else ()
    for cache_id in state.profile.monitored_ids:
        inside = Directory(mode, "inside", group)
        for event in events:
            inside.entries[event] = _event(state, group, cache_id, event)
        directory.entries[f"mon_L3_{cache_id:02d}"] = inside
    return directory


def _event(state: State, group: Group, cache_id: int, event: str) -> File:
    return File(0o444, lambda: state.counters.read(group, cache_id, event), counter=True)
