"""The errors that cachetune raises: classes with fields and a one-line text made from them.

Everything that can go wrong for a user's sake is a ``CachetuneError``; the command prints its text and ``hint`` and
never a traceback. Anything else that escapes is a bug.
"""

import errno as _errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cachetune.findings import Finding


class CachetuneError(Exception):
    """Base class: ``str(error)`` says what is wrong and where, ``hint`` what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(CachetuneError):
    """A file, snapshot, plan or option that cannot be used (exit code 2)."""


class HostError(CachetuneError):
    """A resctrl or sysfs tree that cannot be read as a host."""


class LockTimeoutError(CachetuneError):
    """The lock on the resctrl directory was not free in time; ``holder`` is the pid that has it, if known."""

    def __init__(self, path: str, seconds: float, holder: int | None) -> None:
        by = f" by process {holder}" if holder else ""
        super().__init__(
            f"{path} is still locked{by} after {seconds:g} s",
            hint="another program is changing resctrl; try again or raise --lock-timeout",
        )
        self.path, self.seconds, self.holder = path, seconds, holder


class ResctrlError(CachetuneError):
    """One operation on resctrl failed.

    ``errno`` is the kernel's, ``path`` relative to the resctrl root, ``written`` the text of a failed write (or None)
    and ``kernel_says`` the content of info/last_cmd_status ("" where the kernel said nothing).
    """

    def __init__(
        self,
        errno: int,
        operation: str,
        path: str,
        *,
        written: str | None = None,
        kernel_says: str = "",
        hint: str = "",
    ) -> None:
        what = f"{operation} {path}"
        if written is not None:
            what = f"write {written!r} to {path}"
        said = f"; the kernel says: {kernel_says}" if kernel_says else ""
        super().__init__(f"cannot {what}: {_errno.errorcode.get(errno, errno)}{said}", hint=hint)
        self.errno, self.operation, self.path = errno, operation, path
        self.written, self.kernel_says = written, kernel_says


class PlanRefusedError(CachetuneError):
    """The domains cannot be planned; ``findings`` say why, all at once."""

    def __init__(self, findings: "Iterable[Finding]") -> None:
        self.findings = tuple(findings)
        super().__init__(f"{sum(f.severity == 'error' for f in self.findings)} reasons why this cannot be planned")
