"""Faults on order: any operation on a simulated resctrl can be made to fail, before or after it took effect."""

import dataclasses
import errno
from typing import Literal, get_args

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


def parse_fault(text: str) -> Fault:
    """A fault as it is written on a command line: OPERATION[@PATH]:ERRNO[:N][:after]. Raises ValueError."""
    where, *rest = text.split(":")
    name, _, path = where.partition("@")
    operation = next((kind for kind in get_args(Kind) if kind == name and kind not in {"exists", "lock"}), None)
    if operation is None:
        raise ValueError("the operation is one of mkdir, rmdir, write, rename, listdir, read")
    number = getattr(errno, rest.pop(0), None) if rest and rest[0] in errno.errorcode.values() else None
    if number is None:
        raise ValueError("after the operation comes an errno, such as ENOSPC")
    at = int(rest.pop(0)) if rest and rest[0].isdecimal() else 1
    if rest not in ([], ["after"]) or at < 1:
        raise ValueError("after the errno comes a number from 1 on, or 'after', or both")
    return Fault(number, at, operation, path.strip("/") or None, after=bool(rest), times=1, kernel_says=None)
