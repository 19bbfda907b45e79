"""The change log: one line of JSON for each run that changed something, or that recover finished or undid.

The system's log is /var/log/cachetune/changes.jsonl. A simulated resctrl, and another run directory, have theirs in the
run directory, so that tests leave no trace in the system's. Lines are appended with one write each and never changed;
logrotate may move the file at any time. It is a record for people, not state: no run reads it, and none fails because
it cannot be written.
"""

import errno
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from cachetune import documents
from cachetune.text import printable

SYSTEM_RUN = Path("/run/cachetune")
SYSTEM_LOG = Path("/var/log/cachetune/changes.jsonl")
LONGEST_LINE = 1 << 16

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST_TEXT, _LONGEST_STATE, _MOST_NOTES = 300, 2000, 5
_UNSET = 0xFFFFFFFF  # of loginuid: a process that no login started

Outcome = Literal["done", "rolled back", "rollback incomplete", "finished", "undone"]
Id = Annotated[int, msgspec.Meta(ge=0, lt=_UNSET)]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The user who ran the program.

    ``login_uid`` is the user who logged in, according to the kernel's audit, whatever su and sudo did since; None for a
    service. ``sudo_user`` is what the environment claims, which any root process can set.
    """

    uid: Id
    login_uid: Id | None = None
    sudo_user: str = ""


class ChangedGuest(msgspec.Struct, frozen=True):
    """A guest that the run was for, or whose groups it wrote. ``name`` is "" if only its machine name is known."""

    name: str
    machine_name: str
    uuid: str | None = None


class LoggedGroup(msgspec.Struct, frozen=True):
    """A group at one moment: its ``state`` as in a plan, and its number of tasks. None and "" are unknown."""

    state: str
    tasks: Annotated[int, msgspec.Meta(ge=0)] | None = None


class GroupChange(msgspec.Struct, frozen=True):
    """A group that the run touched; ``before`` or ``after`` is None where it did not exist."""

    path: str
    before: LoggedGroup | None
    after: LoggedGroup | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Recover has the ``run_id`` of the run that it finished or undid.

    ``groups`` are before and after this program, and for "finished" before the interrupted run. The counts of what is
    left out keep a line short. ``plan`` is the plan in a sentence.
    """

    schema_version: Literal[1] = 1
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    boot_id: str
    run_id: str
    program: str
    user: User
    resctrl: str
    outcome: Outcome
    guests: tuple[ChangedGuest, ...]
    guests_left_out: Annotated[int, msgspec.Meta(ge=0)] = 0
    plan: str
    groups: tuple[GroupChange, ...] = ()
    groups_left_out: Annotated[int, msgspec.Meta(ge=0)] = 0
    error: str = ""
    notes: tuple[str, ...] = ()


def log_of(run: Path, *, is_system: bool) -> Path:
    """The log of the programs that use this run directory, with the system's resctrl or a simulated one."""
    return SYSTEM_LOG if is_system and run == SYSTEM_RUN else run / SYSTEM_LOG.name


def line_of(change: Change) -> bytes:
    """The change as a line of at most LONGEST_LINE bytes: long texts are cut, long lists have a count of the rest."""
    short = _with_short_texts(change)
    while len(line := documents.encode_line(short)) > LONGEST_LINE:
        short = _with_shorter_lists(short)
    return line


def append(path: Path, line: bytes) -> None:
    """Append a line with one write. If the last one is incomplete, it stays a separate line. Raises OSError."""
    fd = _open(path)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        is_torn = status.st_size > 0 and os.pread(fd, 1, status.st_size - 1) != b"\n"
        data = b"\n" + line if is_torn else line
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, "the line is incomplete, because the disk is full", str(path))
    finally:
        os.close(fd)


def this_user() -> User:
    """The user who runs this process."""
    claimed = printable(os.environ.get("SUDO_USER", ""))
    return User(uid=os.getuid(), login_uid=_login_uid(), sudo_user=_cut(claimed))


def _open(path: Path) -> int:
    try:
        return os.open(path, _FLAGS, 0o640)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        return os.open(path, _FLAGS, 0o640)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        raise


def _login_uid() -> int | None:
    """None for a service, and on a kernel without audit."""
    try:
        text = Path("/proc/self/loginuid").read_text()
    except OSError:
        return None
    number = int(text) if text.strip().isdecimal() else _UNSET
    return number if number < _UNSET else None


def _with_short_texts(change: Change) -> Change:
    groups = (GroupChange(_cut(g.path), _short(g.before), _short(g.after)) for g in change.groups)
    guests = (ChangedGuest(_cut(g.name), _cut(g.machine_name), g.uuid and _cut(g.uuid)) for g in change.guests)
    left = len(change.notes) - _MOST_NOTES
    notes = [_cut(note) for note in change.notes[:_MOST_NOTES]] + ([f"and {left} more"] if left > 0 else [])
    return replace(
        change,
        program=_cut(change.program),
        resctrl=_cut(change.resctrl),
        plan=_cut(change.plan),
        error=_cut(change.error),
        guests=tuple(guests),
        groups=tuple(groups),
        notes=tuple(notes),
    )


def _short(group: LoggedGroup | None) -> LoggedGroup | None:
    return group and LoggedGroup(_cut(group.state, _LONGEST_STATE), group.tasks)


def _with_shorter_lists(change: Change) -> Change:
    """Half of the longer list: one group and one guest always fit."""
    if len(change.groups) >= len(change.guests):
        kept = change.groups[: len(change.groups) // 2]
        return replace(change, groups=kept, groups_left_out=change.groups_left_out + len(change.groups) - len(kept))
    guests = change.guests[: len(change.guests) // 2]
    return replace(change, guests=guests, guests_left_out=change.guests_left_out + len(change.guests) - len(guests))


def _cut(text: str, most: int = _LONGEST_TEXT) -> str:
    """At most this many characters, all of which JSON can have."""
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return short.encode(errors="backslashreplace").decode()
