"""Kill code of ours in this process: before an operation on the simulated resctrl, or around a call on its records."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from cachetune.sim import SimulatedResctrl

RECORDS = (
    "open",
    "write",
    "rename",
    "unlink",
)  # the calls on the journal, the ledger, the change log and records of guests


class Killed(BaseException):
    """As close to SIGKILL as one process gets: no code of ours catches it, and what still runs then changes nothing."""


def until_death(sim: SimulatedResctrl, run: Path, action: Callable[[], object], number: int) -> bool:
    """Run ``action`` until its change with this number; return whether it died, or had fewer changes."""
    left = number

    def change(*_: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    sim.before_operation = change
    try:
        with _counted_records(change):
            action()
    except Killed:
        return True
    finally:
        sim.before_operation = None
        _close_journals(run)
    return left <= 0


@contextmanager
def _counted_records(change: Callable[[], None]) -> Iterator[None]:
    def counted(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*words: Any, **options: Any) -> Any:
            if name == "open" and not words[1] & os.O_CREAT:
                return original(*words, **options)
            change()
            answer = original(*words, **options)
            change()
            return answer

        return call

    with ExitStack() as patches:
        for name in RECORDS:
            patches.enter_context(mock.patch.object(os, name, counted(name)))
        yield


def _close_journals(run: Path) -> None:
    """As the end of a real process would."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if run in entry.readlink().parents:
                os.close(int(entry.name))
