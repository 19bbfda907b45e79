"""info/last_cmd_status: a buffer of 512 bytes that commands clear and append to.

It behaves as the kernel's seq_buf: a line that does not fit is truncated (formatted texts) or dropped (fixed texts),
and from then on everything is dropped until the buffer is cleared. Text has one character per byte.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_SIZE = 512


class Status:
    """The kernel's messages about the last commands. With ``marks_truncation`` an incomplete text says so."""

    def __init__(self, *, marks_truncation: bool) -> None:
        self._marks_truncation = marks_truncation
        self._text = ""
        self._full = False
        self._mark = 0

    def begin(self) -> None:
        """Start an operation: the present text belongs to earlier ones."""
        self._mark = len(self._text)

    def clear(self) -> None:
        """Clear the buffer."""
        self._text, self._full, self._mark = "", False, 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Leave the buffer as it was, whatever happens inside."""
        before = self._text, self._full, self._mark
        try:
            yield
        finally:
            self._text, self._full, self._mark = before

    def append(self, line: str) -> None:
        """Append a fixed text."""
        if self._full or len(self._text) + len(line) + 1 > _SIZE:
            self._full = True
        else:
            self._text += line

    def append_formatted(self, line: str) -> None:
        """Append a text that includes the caller's input, truncated to the space left."""
        if self._full:
            return
        space = _SIZE - len(self._text)
        self._full = len(line) >= space
        self._text += line[: space - 1]

    def show(self) -> str:
        """Return the content of the file."""
        if self._full and self._marks_truncation and self._text:
            return f"{self._text}[truncated]\n"
        return self._text or "ok\n"

    @property
    def message(self) -> str:
        """The kernel's message about the last operation, its lines joined; "" for none."""
        return "; ".join(line for line in self._text[self._mark :].split("\n") if line)
