"""Faults at the n-th change of the real resctrl: an errno, or a foreign change just before it."""

import contextlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from unittest import mock

from cachetune.errors import ResctrlError
from cachetune.host import SysfsResctrl

CHANGES = ("mkdir", "rmdir", "write")


@contextlib.contextmanager
def before_change(number: int, strike: Callable[[str, str], None]) -> Iterator[list[str]]:
    """Call ``strike(operation, path)`` before the change of this number, counted from 1; yields the changes so far."""
    made: list[str] = []

    def counted(name: str) -> Callable[..., None]:
        original: Callable[..., None] = getattr(SysfsResctrl, name)

        @wraps(original)
        def change(self: SysfsResctrl, path: str, *rest: Any) -> None:
            made.append(name)
            if len(made) == number:
                strike(name, path)
            original(self, path, *rest)

        return change

    with contextlib.ExitStack() as patches:
        for name in CHANGES:
            patches.enter_context(mock.patch.object(SysfsResctrl, name, counted(name)))
        yield made


def fail(number: int) -> Callable[[str, str], None]:
    """A strike that refuses the change with this errno."""

    def strike(operation: str, path: str) -> None:
        raise ResctrlError(number, operation, path)

    return strike
