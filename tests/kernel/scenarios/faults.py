"""Faults at the n-th change of the real resctrl: an errno, or a foreign change just before it."""

import contextlib
from collections.abc import Callable, Iterator
from errno import EIO
from functools import wraps
from typing import Any
from unittest import mock

import msgspec

from cachetune.apply.run import Connection, apply
from cachetune.errors import ResctrlError
from cachetune.host import SysfsResctrl
from cachetune.plan.model import Plan
from tests.kernel.scenarios import tree

CHANGES = ("mkdir", "rmdir", "write")


class Attempt(msgspec.Struct, frozen=True):
    """A run that failed at one of its changes: its outcome, and what differs from before."""

    outcome: str
    differs: tuple[str, ...]


def failures(plan: Plan, connection: Connection, look: Callable[[], dict[str, str]]) -> tuple[Attempt, ...]:
    """The run with a failure at its first change of resctrl, at the second, and so on until none is left to fail.

    ``look`` returns the state that must be as before.
    """
    found: list[Attempt] = []
    before = look()
    while len(found) < 100:
        with before_change(len(found) + 1, fail(EIO)):
            outcome = apply(plan, connection).outcome
        if outcome == "done":
            break
        found.append(Attempt(outcome, tree.differences(before, look())))
    return tuple(found)


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
