"""What to do about an operation on resctrl that the kernel refused: one sentence for each reason that is
known.

The kernel's own words (info/last_cmd_status) tell more than the errno, so they are looked at first.
"""

import errno

_BY_STATUS = (
    ("Out of CLOSIDs", "all control groups that the hardware can hold exist; `cachetune show` says whose"),
    ("No space on", "exclusive or pseudo-locked groups own the whole cache; `cachetune show` says which"),
    ("Overlaps with exclusive group", "an exclusive group owns some of these ways; see `cachetune show`"),
    ("Overlaps with other group", "this group is exclusive and may not share ways with others or I/O"),
    ("pseudo-locked", "a pseudo-locked group cannot be changed, only removed"),
    ("Pseudo-locking in progress", "a pseudo-locked group cannot be changed, only removed"),
    ("Can't move task to different control group", "move the thread to the control group first"),
    ("Need at least", "take more ways: min_cbm_bits is the least"),
    ("non-consecutive", "the ways of a mask must stand side by side on this host"),
    ("Mask out of range", "a mask must have at least one bit, and none beyond info/*/cbm_mask"),
    ("out of range", "the bandwidth is outside what info/MB allows"),
    ("Unknown or unsupported resource name", "has resctrl been mounted anew with other options, such as cdp?"),
    ("Unknown or unsupported mode", "the modes are shareable, exclusive and pseudo-locksetup"),
    ("Can only assign online CPUs", "one of the CPUs is offline"),
)

_BY_ERRNO = {
    errno.EPERM: "only root may do this, or resctrl does not allow it in this place",
    errno.EACCES: "only root may do this",
    errno.EROFS: "resctrl is mounted read-only: mount -o remount,rw, or mount it anew",
    errno.ENODEV: "the group has been removed meanwhile",
    errno.ENOENT: "the group has been removed meanwhile, or this host does not have it",
    errno.ESRCH: "the thread has ended",
    errno.ENOSPC: "the hardware has no room for another group; `cachetune show` says who has them",
    errno.EEXIST: "somebody else has made a group of this name",
    errno.ELOOP: "a symbolic link stands in the way; there are none in a resctrl",
    errno.ENOTDIR: "a file or a symbolic link stands where a directory should be",
    errno.E2BIG: "one write takes 4096 bytes at most",
    errno.ENXIO: "this is not a file of resctrl",
}


def hint_for(number: int, operation: str, path: str, kernel_says: str, written: str | None, *, live: bool) -> str:
    """A sentence that says what to do, "" where none is known.

    ``live`` is false for a plain copy of a tree.
    """
    if not live and operation in {"write", "mkdir", "rmdir"}:
        return "this is a copy of a resctrl, not a mounted one"
    if "Out of RMIDs" in kernel_says:
        return _out_of_rmids(number)
    for words, hint in _BY_STATUS:
        if words in kernel_says:
            return hint
    if number == errno.EINVAL and written is not None and not kernel_says:
        return _silent_refusal(path.rpartition("/")[2], written)
    if number == errno.EBUSY and operation == "mkdir":
        return _out_of_rmids(number)
    return _BY_ERRNO.get(number, "")


def _silent_refusal(name: str, written: str) -> str:
    """The writes that are refused without a word."""
    if name == "schemata" and written.endswith("\n"):
        return "the kernel gave no reason; that is so for a cache id that does not exist"
    if name == "tasks":
        return "Linux 6.1 takes one thread id in a write, later kernels a comma list"
    return "" if written.endswith("\n") else "a command for this file ends with a newline"


def _out_of_rmids(number: int) -> str:
    if number == errno.EBUSY:
        return (
            "freed RMIDs are still in use by old cache lines: try again in a second, or raise "
            "info/L3_MON/max_threshold_occupancy"
        )
    return "every group that the hardware can monitor exists; `cachetune show` says who has them"
