"""The advisory lock on the root directory of one simulated resctrl, with the rules of flock.

It has any number of shared holders or one exclusive holder. Waiting can time out. It does not protect the files.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cachetune.errors import LockTimeoutError
from cachetune.host.resctrl.port import NOTICE_SECONDS, LockWait, OnWait


class Flock:
    """One lock. Every ``hold`` is a separate open file, so a second one in the same thread waits too."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._holders: list[tuple[bool, int | None]] = []

    @contextmanager
    def hold(self, *, exclusive: bool, timeout: float, holder: int | None, on_wait: OnWait) -> Iterator[None]:
        """Hold the lock. Raises LockTimeoutError with a holder after ``timeout`` seconds."""
        mine = (exclusive, holder)
        with self._changed:
            silent = min(timeout, NOTICE_SECONDS)
            if not self._becomes_free(silent, exclusive=exclusive):
                if timeout > silent:
                    on_wait(LockWait(self._path, self._holder()))
                if not self._becomes_free(timeout - silent, exclusive=exclusive):
                    raise LockTimeoutError(self._path, timeout, self._holder())
            self._holders.append(mine)
        try:
            yield
        finally:
            with self._changed:
                self._holders.remove(mine)
                self._changed.notify_all()

    def _becomes_free(self, seconds: float, *, exclusive: bool) -> bool:
        return self._changed.wait_for(lambda: self._is_free(exclusive=exclusive), seconds)

    def _holder(self) -> int | None:
        return next((pid for _, pid in self._holders if pid is not None), None)

    def _is_free(self, *, exclusive: bool) -> bool:
        return not self._holders if exclusive else not any(alone for alone, _ in self._holders)
