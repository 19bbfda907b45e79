"""Faults on order: any operation on a simulated resctrl can be made to fail, before or after it took effect."""

import dataclasses
from typing import Literal

import msgspec

Kind = Literal["mkdir", "rmdir", "write", "rename", "listdir", "read", "exists", "lock"]
MUTATING = frozenset({"mkdir", "rmdir", "write", "rename"})


class Operation(msgspec.Struct, frozen=True):
    """One operation: ``text`` is what was written, ``target`` the new path of a rename. Paths are without a "./"."""

    kind: Kind
    path: str
    text: str | None = None
    target: str | None = None


@dataclasses.dataclass
class Fault:
    """An order: let the ``at``-th operation from now that fits fail, and the ``times`` - 1 that fit after it."""

    errno: int
    at: int
    operation: Kind | None
    path: str | None
    after: bool
    times: int
    kernel_says: str | None

    def strikes(self, operation: Operation) -> bool:
        """Whether this is the operation that has to fail; counts those that fit."""
        if self.times == 0 or not self._fits(operation):
            return False
        self.at -= 1
        if self.at > 0:
            return False
        self.times -= 1
        return True

    def _fits(self, operation: Operation) -> bool:
        kinds = MUTATING if self.operation is None else {self.operation}
        return operation.kind in kinds and self.path in {None, operation.path}
