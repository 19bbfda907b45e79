"""What applying a plan asks of resctrl, as strace sees it, and the least that it could ask.

An operation is a lock, a mkdir, a rmdir, a write, a file or directory that is opened to be read, or a look whether
there is one. A run counts one for its lock and, from the first that changes something on, all that follow; the one
reading of the host before that is left out.

The least possible is one for the lock; for each group one mkdir and one read of its tasks; for each schemata that is
changed one write and one read; and as many writes of tasks as the kernel needs: one for each move of a group on 6.12,
one for each thread moved on 6.1. The change log has what each group is after the run, which takes a read of the four
files of each control group that the run touched, and of the two of each monitor group.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from cachetune.host.model import is_monitor
from cachetune.plan.steps import CreateGroup, MoveTasks, Step, WriteSchemata, effect_of

_CALLS = "flock,openat,mkdirat,unlinkat,write,newfstatat,close"
_LOCKED = re.compile(r"flock\((\d+<.*>), LOCK_EX.* = 0$")
_CHANGE = re.compile(r"(mkdirat|unlinkat|write)\(")
# Directories on the way to a file are opened with O_PATH; stat of what is open comes along with listing it.
_LOOK = re.compile(r"openat\((?!.*(O_PATH|O_WRONLY))|newfstatat\((?!.*AT_EMPTY_PATH)")


def least(steps: Collection[Step], *, lists: bool) -> int:
    """The operations without which the steps cannot be carried out and read back; ``lists``: the kernel takes them."""
    count = 1
    for step in steps:
        match step:
            case CreateGroup() | WriteSchemata():
                count += 2
            case MoveTasks(_, _, tids):
                count += 1 if lists else len(tids)
            case _:
                raise ValueError(f"not known for steps such as {step}")
    touched = {path for step in steps for path in effect_of(step).groups}
    return count + sum(2 if is_monitor(path) else 4 for path in touched)


def strace(file: Path) -> list[str]:
    """The start of a command whose system calls on files are to be written down."""
    return ["/usr/bin/strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", str(file)]


def counted(trace: Iterable[str], root: Path) -> list[int]:
    """The operations of each run on the resctrl at ``root``, from the lines that strace wrote."""
    counts, changing, unlocked = [], False, ""
    for line in trace:
        if f"<{root}>" not in line and f"<{root}/" not in line:
            continue
        if locked := _LOCKED.search(line):
            counts.append(1)
            changing, unlocked = False, f"close({locked[1]})"
        elif unlocked and unlocked in line:
            unlocked = ""
        elif unlocked:
            changing |= bool(_CHANGE.search(line))
            counts[-1] += changing and bool(_CHANGE.search(line) or _LOOK.search(line))
    return counts
