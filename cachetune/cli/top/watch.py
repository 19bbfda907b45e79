"""A thread that looks at the host, so that nothing on the screen waits for it."""

import threading
import time
from collections.abc import Callable

from textual.message import Message

from cachetune.errors import CachetuneError, error_text
from cachetune.service.looks import Look
from cachetune.watch.pace import ticks


class Looked(Message):
    """A look has succeeded, at ``second`` of the monotonic clock."""

    def __init__(self, look: Look, second: float) -> None:
        super().__init__()
        self.look, self.second = look, second


class Failed(Message):
    """A look has failed; the next may succeed."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error


class Watch(threading.Thread):
    """Looks every ``interval`` seconds, unless it is paused, and reports each look. The first is due in an interval."""

    def __init__(self, look: Callable[[], Look], report: Callable[[Message], object], interval: float) -> None:
        super().__init__(name="watch", daemon=True)  # the process may end while the host does not answer
        self.interval, self.paused = interval, False
        self._look, self._report = look, report
        self._changed, self._ended = threading.Event(), False
        self._last = time.monotonic()

    def change(self, *, interval: float, paused: bool) -> None:
        """Change the pace."""
        self.interval, self.paused = interval, paused
        self._changed.set()

    def end(self) -> None:
        """Look no more."""
        self._ended = True
        self._changed.set()

    def run(self) -> None:
        """Look until ``end``. A change of the pace never makes a look come early."""
        while True:
            self._changed.clear()
            if self._ended:
                return
            if self.paused:
                self._changed.wait()
                continue
            for _ in ticks(self.interval, wait=self._changed.wait):
                if self._changed.is_set():
                    break
                if time.monotonic() - self._last >= self.interval / 2:
                    self._look_once()

    def _look_once(self) -> None:
        self._last = time.monotonic()
        try:
            look = self._look()
        except CachetuneError as error:
            self._report(Failed(f"{error}; {error.hint}" if error.hint else f"{error}"))
        except Exception as error:  # noqa: BLE001 - a traceback would only garble the screen
            self._report(Failed(error_text(error)))
        else:
            self._report(Looked(look, time.monotonic()))
