"""Which lines of info/last_cmd_status are the reason for one failed operation.

The file is one buffer for the whole machine, without a sign of whom a line is for. It can have lines of earlier
commands, of other programs, or none although the kernel had a reason:

- A failure before the command starts leaves the text as it was: every failed open, a text of more than a page, and
  before Linux 7.3 a missing newline and a wrong max_threshold_occupancy. 6.1 also refuses a list of thread ids so.
- Before Linux 6.18 mkdir and writes to cpus append to the text, and to a full buffer (512 bytes) nothing is added.
- Since Linux 7.3 reading any file of a group clears the text, so that any program that reads can take the reason away
  between the failure and our look. rmdir clears it, too, and never has a reason.
- A program that does not take the lock can run a command in between.

So a line counts only if the kernel says such a thing about this operation and this errno, and if what it quotes was
written. Sources: fs/resctrl of 6.1, 6.12 and 7.2, and the answers of 6.1 to 7.3 in tests/golden/conformance.
"""

import errno
import re
from collections.abc import Sequence
from typing import Literal

_PARSED = (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW)
_BUFFER = 512
_LONGEST_LINE = 64  # of those that are appended

# For the files that cachetune writes. What a line quotes is a group of the pattern: it must be part of what was
# written, and "tid" one of the thread ids in it.
_TEXTS: dict[str, tuple[str, ...]] = {
    "mkdir": (
        "Out of CLOSIDs",
        "Out of RMIDs",
        r"No space on \w+:\d+",
        "Failed to initialize allocations",
        "Pseudo-locking in progress",
        r"kernfs \w+ error",
        "Kernel out of memory",
    ),
    "schemata": (
        "Resource group is pseudo-locked",
        "Missing ':'",
        "Missing '(.*)' value",
        "Unknown or unsupported resource name '(.*)'",
        "Cannot pseudo-lock MBA resource",
        "Missing '=' or non-numeric domain",
        r"Duplicate domain (\d+)",
        "Non-hex character in the mask (.*)",
        "Mask out of range",
        r"The mask ([0-9a-f]+) has non-consecutive 1-bits",
        r"Need at least \d+ bits in the mask",
        "CBM overlaps with pseudo-locked region",
        "Pseudo-locked region in hierarchy",
        "Overlaps with exclusive group",
        "Overlaps with other group",
        "No support for non-linear MB domains",
        "Invalid MB value (.*)",
        r"MB value (\d+) out of range \[\d+,\d+\]",
        "Requested region exceeds maximum size",
    ),
    "tasks": (
        "Task list parsing error pid (.*)",
        r"Invalid pid (?P<tid>-\d+)",
        r"No task (?P<tid>\d+)",
        r"No permission to move task (?P<tid>\d+)",
        "Can't move task to different control group",
        r"Error while processing task (?P<tid>\d+)",
        "Pseudo-locking in progress",
    ),
    "cpus": (
        "Bad CPU list/mask",
        "Can only assign online CPUs",
        "Can't drop CPUs from default group",
        "Can only add CPUs to mongroup that belong to parent",
        "Pseudo-locking in progress",
    ),
    "mode": (
        "Unknown or unsupported mode",
        "Schemata overlaps",
        "Cannot be exclusive without CAT/CDP",
        "Cannot change pseudo-locked group",
        "Cannot pseudo-lock default group",
        "CDP enabled",
        "Pseudo-locking not supported",
        "Monitoring in progress",
        "Tasks assigned to resource group",
        "CPUs assigned to resource group",
    ),
    "max_threshold_occupancy": (r"max_threshold_occupancy: Exceeds limit .* of \d+ bytes",),
    "io_alloc": (
        r"io_alloc is not supported on \w+",
        r"io_alloc CLOSID \(ctrl_hw_id\) \d+ is not available",
        r"CLOSID \(ctrl_hw_id\) \d+ for io_alloc is used by .* group",
    ),
    "mbm_assign_mode": (
        "Unsupported assign mode",
        "mbm_event mode is not supported",
        "Counter assignment mode is not configurable",
    ),
    "mbm_L3_assignments": (
        "mbm_event mode is not enabled",
        "Invalid event (.*)",
        "Missing domain id",
        r"Invalid domain id (\d+)",
        "Assign operation '.*' failed",
        r"Failed to allocate counter for (\w+) in domain \d+",
    ),
}
_PATTERNS = {name: tuple(map(re.compile, texts)) for name, texts in _TEXTS.items()}
_APPEND = ("mkdir", "cpus")

# The errnos for which the kernel has a text. Others are the file system's: the operation was refused before resctrl.
_SPEAKING: dict[str, tuple[int, ...]] = {
    "mkdir": (errno.ENOSPC, errno.EBUSY, errno.EINVAL, errno.ENOMEM),
    "schemata": (errno.EINVAL, errno.E2BIG),
    "tasks": (errno.EINVAL, errno.ESRCH, errno.EPERM),
    "cpus": _PARSED,
    "mode": (errno.EINVAL,),
    "max_threshold_occupancy": _PARSED,
    "io_alloc": (errno.EINVAL, errno.ENOSPC, errno.ENODEV),
    "mbm_assign_mode": (errno.EINVAL,),
    "mbm_L3_assignments": (errno.EINVAL, errno.ENOSPC, errno.ENOENT),
}
# Without a newline at the end, they are refused before the text is cleared; since 7.3 with "NAME: Invalid input".
_LINES = ("schemata", "mode", "mbm_assign_mode", "mbm_L3_assignments")
_PAGE = 4096

Silence = Literal["usual", "possible", "lost"]


def reason_in(status: str, operation: str, path: str, number: int, written: str | None) -> str:
    """The kernel's reason, its lines joined; "" if the file has none for this failure.

    ``status`` is the content of info/last_cmd_status, ``operation`` "mkdir" or "write", ``number`` the errno, and
    ``written`` the text of a write that was refused by write(2), not by open(2).
    """
    if silence_about(operation, path, number, written) == "usual":
        return ""
    command, text = _command(operation, path), written or ""
    lines = [line.removesuffix("[truncated]") for line in status.split("\n") if line not in {"", "ok"}]
    if command in _APPEND:
        lines = [] if len(status) > _BUFFER - _LONGEST_LINE else lines[-1:]
    if command in _LINES and not text.endswith("\n"):
        lines = [line for line in lines if line.endswith(": Invalid input")]
    ours = [line for line in lines if _is_about(line, command, text)]
    return "; ".join(_of_one_write(ours, text) if command == "tasks" else ours)


def silence_about(operation: str, path: str, number: int, written: str | None) -> Silence:
    """What it means that there is no reason for a failure: that is usual, it is possible, or the reason was lost."""
    command, text = _command(operation, path), written or ""
    if number not in _SPEAKING.get(command, ()) or len(text.encode("utf-8", "surrogateescape")) > _PAGE:
        return "usual"
    match command:
        case "schemata" | "max_threshold_occupancy" | "io_alloc" | "mbm_L3_assignments":
            return "possible"  # an unknown cache id has no text, and the threshold has one since 7.3
        case "mkdir" if number == errno.EINVAL and "\n" in path:
            return "usual"
        case "mkdir" if number == errno.ENOMEM:
            return "possible"
        case "tasks" if number == errno.EINVAL and not _is_one_tid(text):
            return "possible"
        case _ if command in _LINES and not text.endswith("\n"):
            return "possible"
        case _:
            return "lost"


def _command(operation: str, path: str) -> str:
    """What the rules depend on: "mkdir", or the name of the file that is written; "" if the kernel never has a text."""
    if operation == "mkdir":
        return operation
    if operation != "write":
        return ""
    name = path.rpartition("/")[2]
    return "cpus" if name == "cpus_list" else name


def _is_about(line: str, command: str, written: str) -> bool:
    """Whether the kernel can say this about the command, and quotes only what was written."""
    return line == f"{command}: Invalid input" or any(
        (found := p.fullmatch(line)) and _was_written(found, written) for p in _PATTERNS[command]
    )


def _was_written(found: re.Match[str], written: str) -> bool:
    fields = found.groupdict()
    if "tid" in fields:
        return fields["tid"] in re.split(r"[,\s]+", written)
    return all(quoted.lower() in written.lower() for quoted in found.groups())


def _of_one_write(lines: Sequence[str], written: str) -> Sequence[str]:
    """Lines about tasks, unless they can be older: 6.1 takes no list and leaves the text as it was.

    Kernels that take lists name the task in a second line.
    """
    named = any(line.startswith(("Error while processing", "Task list parsing", "Invalid pid")) for line in lines)
    return lines if named or _is_one_tid(written) else ()


def _is_one_tid(written: str) -> bool:
    text = written.strip()
    return text.isascii() and text.isdigit() and int(text) < 1 << 31
