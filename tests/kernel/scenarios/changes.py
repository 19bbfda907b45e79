"""The system calls by which a run leaves something behind, one after the other, and a death between any two of them.

They are those on groups (mkdir, rmdir, one write for each command) and those on the journal, the ledger and the change
log. What lies between two of them only looks, so a death there is a death after the one and before the other.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

CALLS = ("open", "write", "mkdir", "rmdir", "rename", "unlink")


@contextlib.contextmanager
def watched(moment: Callable[[int], None]) -> Iterator[list[str]]:
    """Call ``moment(n)`` after n changes, starting with 0. Yields the changes so far, such as "mkdir a"."""
    made: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        @wraps(original)
        def call(target: Any, *rest: Any, **options: Any) -> Any:
            if name == "open" and not rest[0] & os.O_CREAT:
                return original(target, *rest, **options)
            if not made:
                moment(0)
            made.append(f"{name} {_name(target)}")
            try:
                return original(target, *rest, **options)
            finally:
                moment(len(made))

        return call

    with contextlib.ExitStack() as patches:
        for name in CALLS:
            patches.enter_context(mock.patch.object(os, name, counted(name)))
        yield made


def changes_of(run: Callable[[], object]) -> tuple[str, ...]:
    """The changes that a run makes when nothing befalls it."""
    with watched(lambda _: None) as made:
        run()
    return tuple(made)


def killed(run: Callable[[], object], number: int) -> int:
    """Run in a child that dies after this many changes. Returns the signal that ended it, 0 if it survived."""

    def die(made: int) -> None:
        if made == number:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        code = 9
        try:
            with watched(die):
                run()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status > 0:
        raise RuntimeError(f"the run failed before change {number}")
    return -status


def _name(target: Any) -> str:
    """The last part of a path, or of the path of an open file."""
    return (Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(target)).name
