"""The terminal of the live view, which may be stopped, stuck or closed at any time. Textual expects it to stay.

Textual writes in a thread that ends with the first error, and then waits for that thread forever; and SIGCONT, which
also follows SIGHUP, makes it start a second time.
"""

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

from cachetune.cli.show.console import has_unicode, in_ascii

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 3.0


class Terminal(LinuxDriver):
    """Stdin and stdout. Ends the application when they are closed."""

    def __init__(
        self, app: "App[Any]", *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._loop = asyncio.get_running_loop()
        self._file = cast("Any", _Output(self._end))
        self._is_stopped = False

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended as well
            self._loop.call_soon_threadsafe(self._app.exit)

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            self._end()

    def _sigtstp_application(self, *_: object) -> None:
        self._is_stopped = True
        super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        if self._is_stopped:
            self._is_stopped = False
            super()._sigcont_application()


class _Output:
    """Stdout without a buffer; ``gone`` is called once it takes no more, and what is written then is lost."""

    encoding = "utf-8"

    def __init__(self, gone: "Callable[[], object]") -> None:
        self._gone = gone
        self._fd = sys.__stdout__.fileno() if sys.__stdout__ else 1
        self._is_unicode = has_unicode(sys.__stdout__.encoding if sys.__stdout__ else None, os.environ)

    def write(self, text: str) -> int:
        """Write all of a text."""
        rest = memoryview(text.encode() if self._is_unicode else in_ascii(text).encode("ascii", "replace"))
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:
                self._gone()
                break
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._fd)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd


def is_gone() -> bool:
    """Whether the terminal has been closed."""
    try:
        termios.tcgetattr(0)
    except termios.error:
        return True
    return False


def end_on_signals(app: "App[Any]") -> None:
    """End the application on SIGINT, SIGTERM and SIGHUP, also while it is stuck in writing to the terminal."""
    loop, before = asyncio.get_running_loop(), termios.tcgetattr(0)

    def give_up() -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, before)
        os._exit(0)

    def end(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(app.exit)
        timer = threading.Timer(_GRACE_SECONDS, give_up)
        timer.daemon = True
        timer.start()

    for number in ENDING:
        signal.signal(number, end)
