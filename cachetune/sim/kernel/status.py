"""info/last_cmd_status: 512 bytes that commands clear and append to.

Text is one character per byte. A line that does not fit is cut (formatted texts) or left out (fixed texts), and
after that nothing more is taken until the buffer is cleared: the kernel's seq_buf.
"""

_SIZE = 512


class Status:
    """What the kernel said of the last commands."""

    def __init__(self) -> None:
        self._text = ""
        self._full = False
        self._mark = 0

    def begin(self) -> None:
        """A new operation begins: what is there was said by others."""
        self._mark = len(self._text)

    def clear(self) -> None:
        """Forget everything."""
        self._text, self._full, self._mark = "", False, 0

    def say(self, line: str) -> None:
        """Append a fixed text."""
        if self._full or len(self._text) + len(line) + 1 > _SIZE:
            self._full = True
        else:
            self._text += line

    def say_of(self, line: str) -> None:
        """Append a text with something of the caller's in it; it is cut where the room ends."""
        if self._full:
            return
        room = _SIZE - len(self._text)
        self._full = len(line) >= room
        self._text += line[: room - 1]

    def show(self) -> str:
        """The content of the file."""
        return self._text or "ok\n"

    @property
    def message(self) -> str:
        """What the kernel said of the operation that began last, its lines joined; "" for nothing."""
        return "; ".join(line for line in self._text[self._mark :].split("\n") if line)
