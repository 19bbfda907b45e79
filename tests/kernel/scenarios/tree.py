"""The whole resctrl tree as a value, to compare two moments."""

import errno
from collections.abc import Collection
from pathlib import Path

RESCTRL = Path("/sys/fs/resctrl")
# Files that change on their own, or that describe the last command rather than the state.
_PASSING = {"last_cmd_status", "llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"}


def state(tids: Collection[int]) -> dict[str, str]:
    """Every directory and file with mode and content; of ``tasks`` only the given ones, counters without content."""
    found = {}
    for path in sorted(RESCTRL.rglob("*")):
        name = str(path.relative_to(RESCTRL))
        text = "" if path.is_dir() or path.name in _PASSING else _text(path)
        if path.name == "tasks":
            text = " ".join(tid for tid in text.split() if int(tid) in tids)
        found[name] = f"{path.stat().st_mode:o} {text}"
    return found


def _text(path: Path) -> str:
    """The content, or why it cannot be read: so it is with assignable counters and io_alloc while these are off."""
    try:
        return path.read_text()
    except OSError as error:
        return errno.errorcode[error.errno or errno.EIO]


def groups() -> dict[str, dict[str, str]]:
    """Of each group ("." is the default group) what it is made of: schemata, tasks, mode."""
    files = ("schemata", "tasks", "mode")
    roots = sorted(path.parent for path in RESCTRL.rglob("tasks"))
    return {
        str(root.relative_to(RESCTRL)): {name: (root / name).read_text() for name in files if (root / name).exists()}
        for root in roots
    }


def mark(name: str) -> None:
    """Have the registers of this moment kept by the runner."""
    Path("/dev/kernelvm").write_text(f"mark {name}\n")


def differences(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """A line for each path that is not as it was; none when the tree is as found."""
    return tuple(
        f"{path}: {before.get(path)!r} became {after.get(path)!r}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )
