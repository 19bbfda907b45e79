"""Faults on demand: make any operation on a simulated resctrl fail, before or after it takes effect."""

import dataclasses
import errno
from typing import Literal, get_args

import msgspec

Kind = Literal["mkdir", "rmdir", "write", "rename", "listdir", "read", "exists", "lock"]
MUTATING = frozenset({"mkdir", "rmdir", "write", "rename"})


class Operation(msgspec.Struct, frozen=True):
    """One operation. ``text`` is what was written, ``target`` the new path of a rename. Paths have no "./"."""

    kind: Kind
    path: str
    text: str | None = None
    target: str | None = None


@dataclasses.dataclass
class Fault:
    """Make the ``at``-th matching operation from now fail, and the next ``times`` - 1 that match.

    ``path`` and ``operation`` None match any path, and any operation that changes something. With ``after`` the
    operation still takes effect. ``kernel_says`` replaces last_cmd_status.
    """

    errno: int
    at: int
    operation: Kind | None
    path: str | None
    after: bool
    times: int
    kernel_says: str | None

    def strikes(self, operation: Operation) -> bool:
        """Whether this operation must fail. Counts the operations that match."""
        if self.times == 0 or not self._matches(operation):
            return False
        self.at -= 1
        if self.at > 0:
            return False
        self.times -= 1
        return True

    def _matches(self, operation: Operation) -> bool:
        kinds = MUTATING if self.operation is None else {self.operation}
        return operation.kind in kinds and self.path in {None, operation.path}


def parse_fault(text: str) -> Fault:
    """Parse a fault as written on a command line: OPERATION[@PATH]:ERRNO[:N][:after]. Raises ValueError."""
    where, *rest = text.split(":")
    name, _, path = where.partition("@")
    operation = next((kind for kind in get_args(Kind) if kind == name and kind not in {"exists", "lock"}), None)
    if operation is None:
        raise ValueError("the operation must be mkdir, rmdir, write, rename, listdir or read")
    number = getattr(errno, rest.pop(0), None) if rest and rest[0] in errno.errorcode.values() else None
    if number is None:
        raise ValueError("an errno must follow the operation, such as mkdir:ENOSPC")
    at = int(rest.pop(0)) if rest and rest[0].isdecimal() else 1
    if rest not in ([], ["after"]) or at < 1:
        raise ValueError("only a number of 1 or more and 'after' may follow the errno")
    return Fault(number, at, operation, path.strip("/") or None, after=bool(rest), times=1, kernel_says=None)
