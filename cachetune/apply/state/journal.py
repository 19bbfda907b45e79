"""The journal: each step of a run, recorded before it is taken, so that a killed run can be undone.

One file in the run directory. The first line has the plan. Each further line is a step that is about to be taken, or
says that the kernel refused it; then one line says that all steps are done, or that undo has started. A line is JSON, a
blank and the CRC-32 of all JSON so far: only what was done may be undone, so an edited journal is refused. A line
without its newline is incomplete, and nothing was done for it. resctrl's state ends with the boot, so the journal has
the boot id.
"""

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from cachetune import documents
from cachetune.errors import DocumentError, JournalDamagedError, StateFileError
from cachetune.host.model import parent_of
from cachetune.plan.consistency import plan_problems
from cachetune.plan.model import Plan
from cachetune.plan.steps import MoveTasks, Step

_NAME = "journal.jsonl"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Begin(msgspec.Struct, frozen=True, tag_field="record", tag="begin"):
    plan: Plan
    resctrl: str
    boot_id: str
    run_id: str = ""
    schema_version: Literal[1] = 1


class _Taking(msgspec.Struct, frozen=True, tag_field="record", tag="taking"):
    step: Step


class _NotTaken(msgspec.Struct, frozen=True, tag_field="record", tag="not_taken"):
    pass


class _Undoing(msgspec.Struct, frozen=True, tag_field="record", tag="undoing"):
    pass


class _Done(msgspec.Struct, frozen=True, tag_field="record", tag="done"):
    pass


_RECORD: Any = _Begin | _Taking | _NotTaken | _Undoing | _Done


class Unfinished(msgspec.Struct, frozen=True):
    """The content of a journal: the plan, the steps that were started, and whether the run completed all of them.

    ``plan`` is None if not even the plan was written completely, so that no step can have been started. ``run_id`` is
    the run's id in the change log.
    """

    plan: Plan | None
    resctrl: str
    same_boot: bool
    started: tuple[Step, ...]
    complete: bool
    run_id: str = ""


class Journal:
    """An open journal. Each method returns once its line is on disk. ``run_id`` names the run in the change log."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self._path = fd, path
        self._sum = 0
        self.run_id = os.urandom(8).hex()

    @classmethod
    def begin(cls, run: Path, plan: Plan, resctrl: str) -> "Journal":
        """Start a journal with the whole plan in it. Raises StateFileError when it cannot be written."""
        path = run / _NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
        try:
            run.mkdir(mode=0o755, parents=True, exist_ok=True)
            journal = cls(os.open(path, flags, 0o644), path)
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            journal._append(_Begin(plan, resctrl, boot_id(), journal.run_id))
        except OSError as error:
            journal.discard()
            raise _unwritable(path, error) from None
        return journal

    def taking(self, step: Step) -> None:
        """Record a step that is about to be taken."""
        self._append(_Taking(step))

    def not_taken(self) -> None:
        """Record that the last step was refused without any effect, so that there is nothing to undo."""
        self._append(_NotTaken())

    def undoing(self) -> None:
        """Record that the steps are being undone: recover continues to undo."""
        self._append(_Undoing())

    def done(self) -> None:
        """Record that every step was taken and verified: recover only updates the ledger."""
        self._append(_Done())

    def keep(self) -> None:
        """Close the journal and leave it for ``recover``."""
        os.close(self._fd)

    def discard(self) -> None:
        """Close and delete the journal: there is nothing to recover."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)

    def _append(self, record: msgspec.Struct) -> None:
        text = documents.encode_line(record).rstrip(b"\n")
        total = zlib.crc32(text, self._sum)
        line = b"%s %08x\n" % (text, total)
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(
                self._fd, os.fstat(self._fd).st_size - written
            )  # a later line must not follow an incomplete one
            raise OSError(errno.ENOSPC, "the journal is incomplete", str(self._path))
        self._sum = total
        os.fsync(self._fd)


def read(run: Path) -> Unfinished | None:
    """What the last run left unfinished; None if there is no journal. Raises JournalDamagedError."""
    path = run / _NAME
    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise JournalDamagedError(path, error.strerror or "it cannot be read") from None
    whole = data.split(b"\n")[:-1]
    if not whole:
        return Unfinished(None, "", same_boot=True, started=(), complete=False)
    try:
        records: list[_Begin | _Taking | _NotTaken | _Undoing | _Done] = [
            documents.decode(text, _RECORD, f"line {n}") for n, text in enumerate(_checked(whole), 1)
        ]
    except DocumentError as error:
        raise JournalDamagedError(path, str(error)) from None
    first, rest = records[0], records[1:]
    if not isinstance(first, _Begin):
        raise JournalDamagedError(path, "it does not start with a plan")
    for problem in (*plan_problems(first.plan), *_problems(first.plan, rest)):
        raise JournalDamagedError(path, problem)
    steps = [record.step for record in rest if isinstance(record, _Taking)]
    if any(isinstance(record, _NotTaken) for record in rest):
        steps.pop()
    complete = bool(rest) and isinstance(rest[-1], _Done)
    return Unfinished(first.plan, first.resctrl, first.boot_id == boot_id(), tuple(steps), complete, first.run_id)


def _problems(plan: Plan, rest: Sequence[msgspec.Struct]) -> Iterator[str]:
    """What no run writes. It takes the plan's steps one by one, then moves new threads, then records how it ended."""
    taken = [record.step for record in rest if isinstance(record, _Taking)]
    end = rest[len(taken) :]
    kinds = [type(record) for record in end]
    if kinds not in ([], [_Done], [_Undoing], [_Done, _Undoing], [_NotTaken], [_NotTaken, _Undoing]):
        yield "its records are not in the order of a run"
    if kinds[:1] == [_NotTaken] and not taken:
        yield "a step was not taken, but none was recorded"
    ours = {path for group in plan.groups for path in (group.path, parent_of(group.path))}
    for number, step in enumerate(taken):
        if number < len(plan.steps):
            if step != plan.steps[number]:
                yield f"step {number + 1} is not that of the plan"
        elif not isinstance(step, MoveTasks) or step.path not in ours:
            yield f"step {number + 1} is not in the plan"
    if kinds[:1] == [_Done] and len(taken) < len(plan.steps):
        yield f"all steps are done, but only {len(taken)} of {len(plan.steps)} were started"


def _checked(lines: Sequence[bytes]) -> Iterator[bytes]:
    """The JSON of each line. Raises DocumentError at the first whose checksum differs."""
    total = 0
    for number, line in enumerate(lines, 1):
        text, _, written = line.rpartition(b" ")
        total = zlib.crc32(text, total)
        if written != b"%08x" % total:
            raise DocumentError(f"line {number}", "its checksum differs")
        yield text


def _content(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def exists(run: Path) -> bool:
    """Whether there is a journal, damaged or not."""
    return os.path.lexists(run / _NAME)


def delete(run: Path) -> None:
    """Delete the journal."""
    (run / _NAME).unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StateFileError:
    hint = "nothing was changed; run as root, free space there, or pass another directory with --run"
    return StateFileError(path, error.strerror, operation="write", hint=hint)


def boot_id() -> str:
    """The kernel's id of this boot; "" if it has no such file."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
