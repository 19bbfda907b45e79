"""Output that continues until SIGINT or SIGTERM, or until the reader of stdout ends, and ends with a whole line.

A signal takes effect between two writes. It ends a write only if the reader has not taken the rest after a second.
"""

import contextlib
import io
import os
import select
import signal
import sys
import time
from types import FrameType
from typing import Any, Self

import click

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WRITE_SECONDS = 1.0
_READER_HAS_ENDED = select.POLLERR | select.POLLHUP | select.POLLNVAL


class UntilStopped:
    """In a with statement: waits and writes to stdout until it is ``stopped``. In the main thread only.

    A second signal raises KeyboardInterrupt, for whatever does not end on its own.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.reader_has_ended = False
        self._stdout = _descriptor_of_stdout()

    def __enter__(self) -> Self:
        self._awake, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._handlers: dict[signal.Signals, Any] = {each: signal.signal(each, self._stop) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wake_before)
        os.close(self._awake)
        os.close(self._wake)

    def wait(self, seconds: float) -> bool:
        """Wait, at most ``seconds``; return whether it is stopped."""
        end = time.monotonic() + seconds
        while not self.stopped and (left := end - time.monotonic()) > 0:
            self._look_at_stdout(0, left)
        return self.stopped

    def write(self, data: bytes) -> bool:
        """Write to stdout at once; return whether all of it was written. Raises OSError for a full disk."""
        if self._stdout is None:
            click.echo(data, nl=False)
            return True
        sys.stdout.flush()
        rest, end = data, float("inf")
        while rest and time.monotonic() < end:
            if self.stopped:
                end = min(end, time.monotonic() + _WRITE_SECONDS)
            ready = self._look_at_stdout(select.POLLOUT, end - time.monotonic())
            if ready & _READER_HAS_ENDED:
                break
            if ready & select.POLLOUT:
                # A pipe that is ready takes this much without waiting. If its reader ends now, the next look says so.
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    rest = rest[os.write(self._stdout, rest[: select.PIPE_BUF]) :]
        return not rest

    def _look_at_stdout(self, events: int, seconds: float) -> int:
        """Wait for events of stdout, or for a signal unless there was one; what stdout is ready for.

        The end of the reader stops it.
        """
        poll = select.poll()
        if self._stdout is not None:
            poll.register(self._stdout, events)
        if not self.stopped:
            poll.register(self._awake, select.POLLIN)
        milliseconds = None if seconds == float("inf") else max(0.0, seconds * 1000)
        ready = dict(poll.poll(milliseconds)).get(-1 if self._stdout is None else self._stdout, 0)
        self.reader_has_ended = self.reader_has_ended or bool(ready & _READER_HAS_ENDED)
        self.stopped = self.stopped or self.reader_has_ended
        return ready

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True


def _descriptor_of_stdout() -> int | None:
    """None if stdout is not a file of this process, as in tests."""
    try:
        return sys.stdout.fileno()
    except io.UnsupportedOperation:
        return None
