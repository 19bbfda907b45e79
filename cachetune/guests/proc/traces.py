"""What is compared of each process to see whether the guests may have changed, without reading their threads.

A process that can be a guest leaves a trace: start time, user, arguments and the ids of its threads. Programs that
cannot be guests leave none, so that they may come and go. Every process is looked at each time, because any of them can
execute QEMU. Thread names are not part of it: QEMU sets them just after it has started a thread, and never again.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cachetune.errors import UnreadableFileError
from cachetune.guests.proc.content import content_of
from cachetune.guests.proc.programs import can_be_guest, is_qemu, split_arguments
from cachetune.guests.proc.stat import WORKER, parse_stat


class Trace(NamedTuple):
    """A process that can be a guest, or a vhost worker of the kernel, which has no arguments and no other threads."""

    pid: int
    start_time: int
    user: int
    arguments: bytes
    tids: tuple[str, ...]


class Traces:
    """Takes the traces of all processes, again and again; it remembers which arguments can be those of a guest."""

    def __init__(self, proc: Path) -> None:
        self._proc = str(proc)
        self._can_be_guest: dict[bytes, bool] = {}

    def take(self) -> tuple[Trace, ...]:
        """The traces of now. Raises UnreadableFileError if /proc cannot be listed."""
        try:
            pids = [name for name in os.listdir(self._proc) if name.isdecimal()]  # noqa: PTH208 - names are enough
        except OSError as error:
            raise UnreadableFileError(self._proc, error.strerror, hint="pass --proc DIR") from None
        known, self._can_be_guest = self._can_be_guest, {}
        return tuple(trace for pid in pids for trace in self._of(pid, known))

    def _of(self, pid: str, known: dict[bytes, bool]) -> Iterator[Trace]:
        directory = f"{self._proc}/{pid}"
        stat = parse_stat(_read(f"{directory}/stat"))
        if stat is None:
            return
        if stat.is_kernel_thread:
            if WORKER.fullmatch(stat.comm):
                yield Trace(int(pid), stat.start_time, 0, stat.comm.encode(), ())
            return
        arguments = _read(f"{directory}/cmdline")
        if not self._is_candidate(arguments, known):
            return
        try:
            user, tids = os.stat(directory).st_uid, os.listdir(f"{directory}/task")  # noqa: PTH116, PTH208 - as above
        except OSError:
            return
        yield Trace(int(pid), stat.start_time, user, arguments, tuple(tids))

    def _is_candidate(self, arguments: bytes, known: dict[bytes, bool]) -> bool:
        if not arguments:
            return False
        found = known.get(arguments)
        if found is None:
            words = split_arguments(arguments)
            found = is_qemu(words) or can_be_guest(words)
        self._can_be_guest[arguments] = found
        return found


def _read(path: str) -> bytes:
    """The content of a file in /proc; b"" if it cannot be read."""
    try:
        return content_of(path)
    except OSError:
        return b""
