"""Create, remove and rename groups.

mkdir checks the name, then the parent, and then allocates. 6.1 allocates the RMID before the CLOSID, 6.12 the CLOSID
first. If the rest fails, both are freed, an RMID through limbo. Source: rdtgroup_mkdir, rdtgroup_rmdir and
rdtgroup_rename in Linux 6.1 to 7.3, and the VFS before them.
"""

import errno

from cachetune.sim.kernel import assignments, schemata, tasks, tree
from cachetune.sim.kernel.nodes import Directory, File, Node, find
from cachetune.sim.kernel.rmids import OutOfRmidsError
from cachetune.sim.kernel.state import Group, RefusedError, State


def make(state: State, parent: Directory, name: str, mode: int) -> Directory:
    """Create the group for a new directory. Raises RefusedError."""
    if "\n" in name:
        raise RefusedError(errno.EINVAL)
    if parent.group is None and state.rules.info_is_no_group and state.can_monitor:
        raise RefusedError(errno.ENODEV)
    if state.rules.groups_clear_status and (state.can_monitor or parent.role == "root"):
        state.status.clear()
    if parent.role == "root" and state.profile.can_allocate:
        return _make_control(state, name, mode)
    if parent.role == "mon_groups" and parent.group is not None and name != "mon_groups":
        return _make_monitor(state, parent.group, name, mode)
    raise RefusedError(errno.EPERM)


def _make_control(state: State, name: str, mode: int) -> Directory:
    group = Group(name)
    try:
        steps = (_take_closid, _take_rmid) if state.rules.closid_first else (_take_rmid, _take_closid)
        for take in steps:
            take(state, group)
        group.values = schemata.initial_values(state)
    except RefusedError:
        _give_rmid(state, group)
        raise
    state.groups[name] = group
    state.counters.start(group)
    return tree.make_control(state, group, mode)


def _make_monitor(state: State, parent: Group, name: str, mode: int) -> Directory:
    if parent.mode in {"pseudo-locksetup", "pseudo-locked"}:
        state.refuse("Pseudo-locking in progress\n")
    group = Group(name, parent)
    _take_rmid(state, group)
    parent.monitors[name] = group
    state.counters.start(group)
    return tree.make_monitor(state, group, mode)


def _take_closid(state: State, group: Group) -> None:
    group.closid = state.free_closid()
    if group.closid is None:
        state.refuse("Out of CLOSIDs\n", number=errno.ENOSPC)


def _take_rmid(state: State, group: Group) -> None:
    if not state.can_monitor:
        return
    try:
        group.rmid = state.rmids.allocate(group.control.closid)
    except OutOfRmidsError as error:
        state.refuse("Out of RMIDs\n", number=error.errno)
    assignments.assign_on_mkdir(state, group)


def _give_rmid(state: State, group: Group) -> None:
    if group.rmid is not None:
        assignments.free(state, group)
        state.counters.change()
        state.rmids.release(group.rmid)
        group.rmid = None


def remove(state: State, group: Group) -> None:
    """Remove a group. Its tasks and CPUs go to its parent, those of a control group to the default group."""
    if group.parent is None:
        tasks.give_back(state, group, state.root)
        state.root.cpus |= group.cpus
        del state.groups[group.name]
    else:
        tasks.give_back(state, group, group.parent)
        del group.parent.monitors[group.name]
    for member in group.members():
        _give_rmid(state, member)


def rename(state: State, root: Directory, old: list[str], new: list[str]) -> None:
    """Rename or move a monitor group. Raises RefusedError and LookupFailedError."""
    if old == new and find(root, old):
        return  # the VFS returns early for the same node
    source, target_directory = _rename_ends(root, old, new)
    if not state.rules.rename:
        raise RefusedError(errno.EPERM)
    if _group_of(root, old) is None or target_directory.group is None:
        raise RefusedError(errno.ENOENT)
    state.status.clear()
    if isinstance(source, File):
        state.status.append("Source and destination must be directories")
        raise RefusedError(errno.EPERM)
    group, parent = source.group, target_directory.group
    if source.role != "group" or group is None or group.parent is None:
        state.refuse("Source must be a MON group\n", number=errno.EPERM)
    if target_directory.role != "mon_groups" or new[-1] == "mon_groups":
        state.refuse("Destination must be a mon_groups subdirectory\n", number=errno.EPERM)
    if group.cpus and group.parent is not parent:
        state.refuse("Cannot move a MON group that monitors CPUs\n", number=errno.EPERM)
    if new[-1] in target_directory.entries:
        raise RefusedError(errno.EEXIST)
    del find_directory(root, old[:-1]).entries[old[-1]]
    target_directory.entries[new[-1]] = source
    _reparent(state, group, group.parent, parent, new[-1])


def _reparent(state: State, group: Group, old: Group, new: Group, name: str) -> None:
    state.counters.change()
    del old.monitors[group.name]
    group.name, group.parent = name, new
    new.monitors[name] = group


def find_directory(root: Directory, parts: list[str]) -> Directory:
    """Return the directory at a path. Raises LookupFailedError, and RefusedError (ENOTDIR) for a file."""
    node = find(root, parts)
    if isinstance(node, File):
        raise RefusedError(errno.ENOTDIR)
    return node


def _rename_ends(root: Directory, old: list[str], new: list[str]) -> tuple[Node, Directory]:
    """Return the node to move and its new directory, after the checks of the VFS."""
    find_directory(root, old[:-1])
    target_directory = find_directory(root, new[:-1])
    if bool(old) != bool(new):
        raise RefusedError(errno.EXDEV)  # the root's parent is in another file system
    source = find(root, old)
    if new[: len(old)] == old and len(new) > len(old):
        raise RefusedError(errno.EINVAL)
    if old[: len(new)] == new and len(old) > len(new):
        raise RefusedError(errno.ENOTEMPTY)
    target = target_directory.entries.get(new[-1])
    if isinstance(source, Directory) and isinstance(target, File):
        raise RefusedError(errno.ENOTDIR)
    if isinstance(source, File) and isinstance(target, Directory):
        raise RefusedError(errno.EISDIR)
    return source, target_directory


def _group_of(root: Directory, parts: list[str]) -> Group | None:
    """Return the group of a directory, or of a file's directory."""
    node = find(root, parts)
    return find_directory(root, parts[:-1]).group if isinstance(node, File) else node.group
