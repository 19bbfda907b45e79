"""The directories and files of a simulated resctrl: their names, permissions and handlers.

The content of files is up to schemata, tasks, cpus, modes and info. mkdir, rmdir and rename change the tree; every read
computes the content of a file from the state.
"""

from cachetune.sim.kernel import assignments, cpus, info, mbps_event, modes, schemata, tasks
from cachetune.sim.kernel.nodes import Directory, File, Node
from cachetune.sim.kernel.state import Group, State
from cachetune.sim.profile import TelemetryEvent


def make_root(state: State) -> Directory:
    """Return the tree of a freshly mounted resctrl."""
    root = Directory(0o555, "root", state.root, _control_files(state, state.root))
    root.entries["info"] = info.make_info(state)
    if state.can_monitor:
        root.entries["mon_data"] = _mon_data(state, state.root, 0o555)
        root.entries["mon_groups"] = Directory(0o555, "mon_groups", state.root)
    return root


def make_control(state: State, group: Group, mode: int) -> Directory:
    """Return the directory of a new control group."""
    directory = Directory(mode, "group", group, _control_files(state, group))
    if state.can_monitor:
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
    if "debug" in state.profile.mount_options and state.can_monitor:
        files["mon_hw_id"] = File(0o444, lambda: f"{state.rmids.hardware_id(group.rmid or 0)}\n")
    if state.assignments.total:
        files["mbm_L3_assignments"] = File(
            0o644, lambda: assignments.show(state, group), lambda t: assignments.write(state, group, t)
        )
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
    for cache_id in state.profile.monitored_ids if state.profile.monitoring else ():
        nodes = [domain.id for domain in state.domains if domain.cache_id == cache_id]
        inside = _counters(state, group, mode, nodes)
        if state.profile.nodes_per_cache(state.rules) > 1:
            inside.entries |= {f"mon_sub_L3_{node:02d}": _counters(state, group, mode, [node]) for node in nodes}
        directory.entries[f"mon_L3_{cache_id:02d}"] = inside
    if state.telemetry:
        for package in state.telemetry.packages:
            events = {event.name: _telemetry_event(state, group, event) for event in state.telemetry.events}
            directory.entries[f"mon_PERF_PKG_{package:02d}"] = Directory(mode, "inside", group, {**events})
    return directory


def _counters(state: State, group: Group, mode: int, domains: list[int]) -> Directory:
    """Return a directory with the counters of domains, which are summed."""
    events = {event: _event(state, group, domains, event) for event in state.profile.events}
    return Directory(mode, "inside", group, {**events})


def _event(state: State, group: Group, domains: list[int], event: str) -> File:
    return File(0o444, lambda: state.counters.read(group, domains, event), counter=True)


def _telemetry_event(state: State, group: Group, event: TelemetryEvent) -> File:
    return File(0o444, lambda: state.counters.task_seconds.read(group, event), counter=True)
