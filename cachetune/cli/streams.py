"""The standard streams: errors name them, and a verb ends as other programs do when the reader of its output ends.

The status is then that of SIGPIPE, without a message. A verb that changes a host continues, and keeps its exit code.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from cachetune.errors import CachetuneError, error_text

_NAMES = {"stdout": "standard output", "stderr": "standard error"}


class ReaderEndedError(Exception):
    """The reader of the output has ended, as in ``cachetune show | head -1``."""


def open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed, so that no file of ours gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open until the end


def name_streams() -> None:
    """Make errors of stdout and stderr name them, as errors of other files do."""
    for stream, name in _NAMES.items():
        plain = getattr(sys, stream)
        if plain is getattr(sys, f"__{stream}__") and isinstance(plain, io.TextIOWrapper):
            file = io.BufferedWriter(_Named(plain.fileno(), name))
            text = io.TextIOWrapper(
                file,
                plain.encoding,
                plain.errors,
                line_buffering=plain.line_buffering,
                write_through=plain.write_through,
            )
            setattr(sys, stream, text)


class _Named(io.FileIO):
    """The file of a stream, whose error names it: "standard output: No space left on device".

    After that it drops everything, because the interpreter tries again at exit.
    """

    def __init__(self, number: int, stream: str) -> None:
        super().__init__(number, "w", closefd=False)
        self._stream = stream
        self._has_failed = False

    def write(self, data: Any, /) -> int:
        """Write as much as possible, and return the number of bytes."""
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            # A verb that changes a host goes on without a reader, and has to notice at its last line of output again.
            self._has_failed = not (isinstance(error, BrokenPipeError) and self._stream == _NAMES["stdout"])
            error.filename = self._stream
            raise


@contextlib.contextmanager
def ending_with_the_reader() -> Iterator[None]:
    """Raise ReaderEndedError in place of the stream's error, which click would turn into another exit code."""
    try:
        yield
    except BrokenPipeError as error:
        if error.filename in _NAMES.values():
            raise ReaderEndedError from None
        raise CachetuneError(error_text(error)) from None


@contextlib.contextmanager
def read_or_not() -> Iterator[None]:
    """What the block prints is lost if its reader has ended, and the work continues."""
    with contextlib.suppress(BrokenPipeError):
        yield


def end_by_sigpipe() -> NoReturn:
    """End as the signal ends programs that do not handle it: a shell reports 141. Source: signal(7)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPIPE,))
    signal.raise_signal(signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)


def discard_stdout() -> None:
    """Drop what stdout could not take: the interpreter would fail to flush it at exit, and exit with 120."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end
