"""What to do about an operation that resctrl refused: one hint per known reason.

The kernel's message (info/last_cmd_status) is more specific than the errno, so it is consulted first.
"""

import errno

from cachetune.host.model import is_monitor

_BY_STATUS = (
    (
        "Out of CLOSIDs",
        "every control group that the hardware supports exists; run 'cachetune show' to see their owners",
    ),
    ("No space on", "exclusive or pseudo-locked groups own the whole cache; run 'cachetune show' to see them"),
    ("Overlaps with exclusive group", "an exclusive group owns some of these ways; run 'cachetune show' to see it"),
    ("Overlaps with other group", "this group is exclusive and cannot share ways with other groups or I/O"),
    ("Schemata overlaps", "an exclusive group cannot share ways with other groups or I/O"),
    ("pseudo-locked", "a pseudo-locked group cannot be changed, only removed"),
    ("Pseudo-locking in progress", "a pseudo-locked group cannot be changed, only removed"),
    ("Can't move task to different control group", "move the thread to the control group first"),
    ("Need at least", "use more ways: min_cbm_bits is the minimum"),
    ("non-consecutive", "use contiguous ways: this host does not support sparse masks"),
    ("Mask out of range", "use a mask with at least one bit and within info/*/cbm_mask"),
    ("out of range", "use a bandwidth within the limits in info/MB"),
    ("Unknown or unsupported resource name", "check whether resctrl was remounted with other options, such as cdp"),
    ("Unknown or unsupported mode", "use shareable, exclusive or pseudo-locksetup"),
    ("Can only assign online CPUs", "bring the CPUs online first"),
    ("Bad CPU list/mask", "pass CPUs of this machine, as ranges: 0-3,8"),
    ("schemata: Invalid input", "end the text with a newline"),
    ("mode: Invalid input", "end the text with a newline"),
)

_SILENT = (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW)
_BY_ERRNO = {
    errno.EPERM: "only root may do this, or resctrl does not allow it here",
    errno.EACCES: "only root may do this",
    errno.EROFS: "resctrl is mounted read-only; run mount -i -o remount,rw on its directory",
    errno.ENODEV: "the group was removed in the meantime",
    errno.EMFILE: "raise the limit on open files (LimitNOFILE= of a unit, ulimit -n), or read fewer groups or events",
    errno.ENOENT: "the group was removed in the meantime, or this host does not have the file",
    errno.ESRCH: "the thread has ended",
    errno.ENOSPC: "no CLOSID, RMID or way is left for another group; run 'cachetune show' to see their owners",
    errno.EEXIST: "another program has created a group with this name",
    errno.ELOOP: "the path contains a symbolic link; a real resctrl has none",
    errno.ENOTDIR: "the path has a file or a symbolic link where a directory should be",
    errno.E2BIG: "write at most 4096 bytes at once",
    errno.ENXIO: "this is not a resctrl file",
}


def hint_for(number: int, operation: str, path: str, kernel_says: str, written: str | None, *, live: bool) -> str:
    """Return what to do about the refusal, "" if unknown. ``live`` is false for a plain copy of a tree."""
    if not live and operation in {"write", "mkdir", "rmdir"}:
        return "this is a copy of a resctrl, not a mounted one; pass --resctrl DIR"
    if "Out of RMIDs" in kernel_says:
        return _out_of_rmids(number)
    for words, hint in _BY_STATUS:
        if words in kernel_says:
            return hint
    if number == errno.EBUSY and operation == "mkdir":
        return _out_of_rmids(number)
    if number in _SILENT and written is not None and not kernel_says:
        return _silent_refusal(path, written)
    return _BY_ERRNO.get(number, "")


def _silent_refusal(path: str, written: str) -> str:
    """Writes without a reason: the kernel gives none for some, and any can be lost (reasons.py)."""
    name = path.rpartition("/")[2]
    if name in {"schemata", "mode"} and not written.endswith("\n"):
        return "end the text with a newline"
    match name:
        case "schemata":
            return (
                "the kernel gave no reason, as for a cache id that does not exist, or kept none, because another "
                "program used resctrl at the same moment"
            )
        case "tasks" if "," in written:
            return "Linux 6.1 accepts one thread id per write, later kernels a list with commas"
        case "tasks" if is_monitor(path):
            return "a monitor group accepts only threads of its control group: move the thread there first"
        case "mode":
            return "an exclusive group cannot share ways with other groups or I/O"
        case "cpus" | "cpus_list":
            return "pass CPUs that are online; a monitor group accepts only CPUs of its control group"
        case _:
            return ""


def _out_of_rmids(number: int) -> str:
    if number == errno.EBUSY:
        return (
            "cache lines still hold the freed RMIDs: try again in a second, or raise "
            "info/L3_MON/max_threshold_occupancy"
        )
    return (
        "every group that the hardware can monitor exists (on Arm MPAM: in this control group); run 'cachetune show' "
        "to see their owners"
    )
