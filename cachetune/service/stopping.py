"""Signals that end a long task at a moment that it chooses: while it waits, and never while it cleans up."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from cachetune.errors import InterruptedRunError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stoppable:
    """In a with statement: SIGINT, SIGTERM and SIGHUP raise InterruptedRunError in ``wait`` and in ``check``.

    Outside the main thread, which alone gets signals, nothing is changed.
    """

    def __init__(self) -> None:
        self._caught: int | None = None
        self._waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        try:
            self._before = {each: signal.signal(each, self._stop) for each in SIGNALS}
        except ValueError:
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def check(self) -> None:
        """Raise InterruptedRunError if there was a signal."""
        if self._caught is not None:
            raise InterruptedRunError(signal.Signals(self._caught).name)

    def wait(self, seconds: float) -> None:
        """Wait. Raises InterruptedRunError for a signal, also for one that came before."""
        self._waiting = True
        try:
            self.check()
            time.sleep(max(seconds, 0.0))
        finally:
            self._waiting = False

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._caught = number
        if self._waiting:
            self.check()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that would stop the process wait until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
