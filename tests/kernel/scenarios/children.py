"""Children of this process: with everything imported, they begin at once where starting a program takes seconds."""

import fcntl
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.kernel.scenarios.tree import RESCTRL


class Child:
    """A function that runs in a child and gives its answer back. Several may run at once."""

    def __init__(self, run: Callable[[], bytes]) -> None:
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.write(answer, run())
                code = 0
            except BaseException:  # noqa: BLE001 - reported to the parent
                os.write(answer, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(answer)

    def answer(self) -> bytes:
        """What the function gave back, at most a few pages. Raises RuntimeError with its traceback if it raised."""
        with os.fdopen(self._answer, "rb") as file:
            text = file.read()
        if os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]):
            raise RuntimeError(text.decode())
        return text


@contextmanager
def lock_held() -> Iterator[int]:
    """Another process, whose pid this yields, has the lock on resctrl until the end of the block."""
    (ready, tell), (until, end) = os.pipe(), os.pipe()

    def hold() -> bytes:
        fcntl.flock(os.open(RESCTRL, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
        os.write(tell, b".")
        return os.read(until, 1)

    child = Child(hold)
    os.read(ready, 1)
    try:
        yield child.pid
    finally:
        os.write(end, b".")
        child.answer()
        for fd in (ready, tell, until, end):
            os.close(fd)
