"""The tasks files: which thread is in which group.

A task is in exactly one control group, and in at most one monitor group of it. 6.1 accepts one tid per write. 6.12
accepts a comma-separated list, moves from left to right and stops at the first error; tasks before it stay moved.
Numbers may be in any C base, and ``0`` is the writer. Source: rdtgroup_tasks_write in both kernels and their recorded
answers.
"""

import errno

from cachetune.sim.kernel.state import Group, RefusedError, State
from cachetune.sim.numbers import NumberError, c_string, signed, strip


def show(state: State, group: Group) -> str:
    """Return the content of a group's tasks file: its tids, including those of its monitor groups.

    A control group lists none if the processor cannot allocate, because the kernel compares CLOSIDs that do not exist.
    """
    if group.parent is None and not state.profile.can_allocate:
        return ""
    tids = {tid for member in group.members() for tid in member.tids}
    return "".join(f"{line}\n" for line in (*sorted(tids), *group.other_tasks))


def write(state: State, group: Group, text: str) -> None:
    """Execute one write to a tasks file. Raises RefusedError."""
    text = c_string(text)
    if state.rules.task_lists:
        _write_list(state, group, text)
    else:
        _write_one(state, group, text)


def _write_one(state: State, group: Group, text: str) -> None:
    try:
        tid = signed(strip(text), 0, 32)
    except NumberError:
        state.refuse()
    if tid < 0:
        state.refuse()
    state.status.clear()
    _refuse_locked(state, group)
    _move(state, group, tid)


def _write_list(state: State, group: Group, text: str) -> None:
    state.status.clear()
    _refuse_locked(state, group)
    rest = text
    while rest and rest[0] != "\n":
        item, _, rest = rest.partition(",")
        item = strip(item)
        try:
            tid = signed(item, 0, 32)
        except NumberError:
            state.refuse_formatted(f"Task list parsing error pid {item}\n")
        if tid < 0:
            state.refuse_formatted(f"Invalid pid {tid}\n")
        try:
            _move(state, group, tid)
        except RefusedError:
            state.status.append_formatted(f"Error while processing task {tid}\n")
            raise


def _refuse_locked(state: State, group: Group) -> None:
    if group.mode in {"pseudo-locksetup", "pseudo-locked"}:
        state.refuse("Pseudo-locking in progress\n")


def _move(state: State, group: Group, tid: int) -> None:
    if tid == 0:
        tid = state.writer
    if state.takes_any_tid and tid not in state.tasks:
        state.place(tid, state.root)
    old = state.tasks.get(tid)
    if old is None:
        state.refuse_formatted(f"No task {tid}\n", number=errno.ESRCH)
    if group.parent is not None and old.control is not group.parent:
        state.refuse("Can't move task to different control group\n")
    if old is not group:
        state.place(tid, group)


def give_back(state: State, group: Group, to: Group) -> None:
    """Move all tasks of a removed group and its monitor groups to another group."""
    for member in group.members():
        for tid in sorted(member.tids):
            state.place(tid, to)
