"""The emulators that run here, as /proc has them: process, name and uuid from the command line, threads.

What a process says of itself (its arguments, the names of its threads) anybody can say; sources that only root can
write to are asked first for that reason. A process that ends while we look is left out, and so is a zombie.

In a pid namespace (a container) an emulator knows its threads by other numbers than we do. The kernel gives all of
them, ours first, in the line NSpid of ``status``; ``tids_at`` translates.
"""

import re
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from cachetune.errors import ProcessNotFoundError, UnreadableFileError
from cachetune.guests.model import Thread
from cachetune.guests.proc.threads import ONE_THREAD, find_process

_PROGRAM = re.compile(r"qemu-system-.+|qemu-kvm|kvm|qemu")
_NAMING = frozenset({"-name", "--name", "-uuid", "--uuid"})
_NO_UUID = uuid.UUID(int=0)


class Process(msgspec.Struct, frozen=True):
    """An emulator. ``name`` is "" and ``uuid`` None where its arguments do not tell them.

    ``threads`` are all its threads, ascending; the one whose tid is ``pid`` is its leader. ``user`` is its effective
    uid, None where that cannot be read.
    """

    pid: int
    start_time: int
    name: str
    uuid: str | None
    threads: tuple[Thread, ...]
    user: int | None = None

    @property
    def tids(self) -> frozenset[int]:
        """The ids of its threads."""
        return frozenset(thread.tid for thread in self.threads)


def emulators(proc: Path) -> tuple[Process, ...]:
    """Every process that is an emulator by its program's name, or by a QEMU's arguments and threads, ascending by pid.

    Raises UnreadableFileError when ``proc`` cannot be listed.
    """
    try:
        pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
    except OSError as error:
        raise UnreadableFileError(proc, error.strerror, hint="pass --proc DIR") from None
    found = (_emulator(pid, proc) for pid in pids)
    return tuple(process for process in found if process)


def read_process(pid: int, proc: Path) -> Process | None:
    """A process, whatever it is, as if it were an emulator; None when it has ended or is hidden from us."""
    try:
        threads = find_process(pid, proc).threads
    except (ProcessNotFoundError, UnreadableFileError):
        return None
    leader = next((thread for thread in threads if thread.tid == pid), None)
    if leader is None:
        return None
    arguments = _arguments(proc / str(pid))
    name = _guest_option(_value_of("name", arguments))
    known_as = canonical_uuid(_value_of("uuid", arguments))
    return Process(pid, leader.start_time, name, known_as, threads, _user(proc / str(pid)))


def tids_at(process: Process, pid: int | None, proc: Path) -> dict[int, int] | None:
    """Translate thread ids: those of the namespace where the process is called ``pid`` to ours.

    ``pid`` None is the namespace of the process itself, the innermost. None when it has no such name anywhere.
    """
    task = proc / str(process.pid) / "task"
    # A kernel without namespaces has no such line; a thread that has ended meanwhile has none either.
    names = {thread.tid: _names(task / str(thread.tid)) or (thread.tid,) for thread in process.threads}
    own = names.get(process.pid, (process.pid,))
    if pid is not None and pid not in own:
        return None
    level = len(own) - 1 if pid is None else own.index(pid)
    return {all_names[level]: tid for tid, all_names in names.items() if len(all_names) == len(own)}


def with_uuid(wanted: str | None, processes: Iterable[Process]) -> Process | None:
    """The only process with that uuid; None when there is none or more than one."""
    found = [process for process in processes if wanted and process.uuid == wanted]
    return found[0] if len(found) == 1 else None


def canonical_uuid(text: str) -> str | None:
    """The uuid in libvirt's form (lower case, with hyphens); None for what is none, and for zeros, QEMU's "none"."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return None if value == _NO_UUID else str(value)


def _emulator(pid: int, proc: Path) -> Process | None:
    arguments = _arguments(proc / str(pid))  # a thread of the kernel has none
    looks_so = bool(arguments) and _PROGRAM.fullmatch(arguments[0].rpartition("/")[2]) is not None
    if not looks_so and _NAMING.isdisjoint(arguments):
        return None  # only a name makes QEMU name its threads; so most processes cost no more than one file
    process = read_process(pid, proc)
    if process is None or looks_so:
        return process
    return process if any(t.vcpu is not None or t.comm == ONE_THREAD for t in process.threads) else None


def _arguments(directory: Path) -> list[str]:
    try:
        text = (directory / "cmdline").read_bytes().decode("utf-8", "replace")  # the kernel bounds its length
    except OSError:
        return []
    return text.rstrip("\0").split("\0") if text else []


def _value_of(option: str, arguments: list[str]) -> str:
    """The argument after the last ``-option`` (QEMU also takes two hyphens)."""
    for at in range(len(arguments) - 2, 0, -1):
        if arguments[at] in (f"-{option}", f"--{option}"):
            return arguments[at + 1]
    return ""


def _guest_option(text: str) -> str:
    """The guest's name in QEMU's ``-name``: ``guest=NAME,…`` or ``NAME,…``, where a comma in NAME is doubled."""
    parts = [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]
    named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
    if named:
        return named[-1]
    return parts[0] if "=" not in parts[0] else ""


def _names(directory: Path) -> tuple[int, ...]:
    """A thread's ids, ours first, the innermost namespace's last; () when there is no such thread or no such line."""
    return _numbers("NSpid", directory)


def _user(directory: Path) -> int | None:
    """The effective uid. Who owns the directory in /proc says less: a process can have that be root."""
    real_and_effective = _numbers("Uid", directory)[:2]
    return real_and_effective[1] if len(real_and_effective) > 1 else None


def _numbers(field: str, directory: Path) -> tuple[int, ...]:
    """The numbers in a line of ``status``; () when there is no such thread or no such line."""
    try:
        text = (directory / "status").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ()
    match = re.search(rf"^{field}:((?:[ \t]+[0-9]+)+)$", text, re.MULTILINE | re.ASCII)
    return tuple(map(int, match[1].split())) if match else ()
