"""Failures while another process reads the files of a group all the time: ``python -m … TIMES``.

Each kind of failure happens TIMES times as it comes, and TIMES times with a read of the other process between the
failure and the look at its reason.
"""

import contextlib
import errno
import itertools
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import msgspec

from cachetune import documents
from cachetune.errors import ResctrlError
from cachetune.host import SysfsResctrl
from tests.kernel.scenarios.tree import RESCTRL

GROUP = "silence"
READ = ("schemata", "tasks", "cpus_list", "mode", "size")


class Failure(msgspec.Struct, frozen=True):
    """One failure and the reason given for it; ``met`` is whether the other process was made to read in between."""

    kind: str
    met: bool
    errno: str
    says: str
    lost: bool
    text: str
    hint: str


class Outcome(msgspec.Struct, frozen=True):
    """The reasons by kind of failure without another process, and all failures with it; ``reads`` of that process."""

    alone: tuple[Failure, ...]
    failures: tuple[Failure, ...]
    reads: int


class Reader:
    """A process that reads the files of a group until it is killed, and counts."""

    def __init__(self) -> None:
        self._count = mmap.mmap(-1, mmap.PAGESIZE)
        self._pid = os.fork()
        if self._pid == 0:
            self._read_forever()

    @property
    def reads(self) -> int:
        return int.from_bytes(self._count[:8], "little")

    def wait(self) -> None:
        """Until a read that begins after this call is done."""
        until = self.reads + 2
        while self.reads < until:
            os.sched_yield()

    def stop(self) -> None:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)

    def _read_forever(self) -> None:
        for number, name in enumerate(itertools.cycle(READ), 1):
            fd = os.open(RESCTRL / GROUP / name, os.O_RDONLY)
            os.read(fd, 4096)
            os.close(fd)
            self._count[:8] = number.to_bytes(8, "little")


def main() -> None:
    """Print an Outcome."""
    times = int(sys.argv[1])
    resctrl = SysfsResctrl(RESCTRL)
    resctrl.mkdir(GROUP)
    taken = _take_all(resctrl)
    kinds: dict[str, Callable[[], None]] = {
        "mkdir": lambda: resctrl.mkdir("one-too-many"),
        "mask": lambda: resctrl.write(f"{GROUP}/schemata", "L3:0=0\n"),
        "name": lambda: resctrl.write(f"{GROUP}/schemata", "L9:0=1\n"),
        "task": lambda: resctrl.write(f"{GROUP}/tasks", "4194304\n"),
        "cpus": lambda: resctrl.write(f"{GROUP}/cpus_list", "77\n"),
        "mode": lambda: resctrl.write(f"{GROUP}/mode", "selfish\n"),
    }
    alone = tuple(_failure(kind, run, met=False) for kind, run in kinds.items())
    reader = Reader()
    failures = []
    for _ in range(times):
        failures += [_failure(kind, run, met=False) for kind, run in kinds.items()]
        with _after_a_refusal(reader.wait):
            failures += [_failure(kind, run, met=True) for kind, run in kinds.items()]
    reader.stop()
    for name in (*taken, GROUP):
        resctrl.rmdir(name)
    sys.stdout.buffer.write(documents.encode(Outcome(alone, tuple(failures), reader.reads)))


def _take_all(resctrl: SysfsResctrl) -> list[str]:
    taken: list[str] = []
    with contextlib.suppress(ResctrlError):
        for name in map("taken-{}".format, itertools.count()):
            resctrl.mkdir(name)
            taken.append(name)
    return taken


def _failure(kind: str, run: Callable[[], None], *, met: bool) -> Failure:
    try:
        run()
    except ResctrlError as error:
        number = errno.errorcode[error.errno]
        return Failure(kind, met, number, error.kernel_says, error.reason_lost, str(error), error.hint)
    raise RuntimeError(f"{kind} did not fail")


@contextlib.contextmanager
def _after_a_refusal(wait: Callable[[], None]) -> Iterator[None]:
    """Wait after each mkdir(2) and write(2) that fails, before its error is seen."""

    def patient(call: Callable[..., Any], *words: Any, **options: Any) -> Any:
        try:
            return call(*words, **options)
        except OSError:
            wait()
            raise

    with contextlib.ExitStack() as patches:
        for name in ("mkdir", "write"):
            patches.enter_context(mock.patch.object(os, name, partial(patient, getattr(os, name))))
        yield


if __name__ == "__main__":
    main()
