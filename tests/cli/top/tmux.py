"""A real terminal of any size: tmux on a separate socket."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import waiting
from tests.missing import skip_without

ROOT = Path(__file__).parents[3]


class Terminal:
    """What runs in it, what it shows, and its keys."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def pid(self) -> int:
        """The process that runs in it."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    @property
    def screen(self) -> list[str]:
        """The lines that it shows, looked at often enough for a person."""
        time.sleep(0.1)
        return self._tmux("capture-pane", "-p").splitlines()

    @property
    def escapes(self) -> str:
        """What it shows, with the escape sequences that tmux would send to its own terminal."""
        return self._tmux("capture-pane", "-p", "-e")

    @property
    def exit_code(self) -> str:
        """How the process ended, "" if it has not.

        tmux 3.3 sometimes misses the signal that it has ended, and leaves it a zombie until the next one.
        """
        os.kill(int(self._tmux("display-message", "-p", "#{pid}")), signal.SIGCHLD)
        return self._tmux("display-message", "-p", "#{pane_dead_status}").strip()

    def press(self, *keys: str) -> None:
        """Press keys, named as tmux names them."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    @property
    def directory(self) -> str:
        """The working directory of what runs in it."""
        return self._tmux("display-message", "-p", "#{pane_current_path}").strip()

    def resize(self, columns: int, lines: int) -> None:
        """Make it another size."""
        self._tmux("resize-window", "-x", f"{columns}", "-y", f"{lines}")

    def close(self) -> None:
        """Close it, as a window is closed or a connection lost."""
        self._tmux("kill-server")

    @property
    def words(self) -> str:
        """What it shows, as if all of it were in one line."""
        return " ".join(" ".join(self.screen).split())

    def wait_for(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""

        def is_shown() -> bool:
            words = self.words
            return all(text in words for text in texts)

        self.wait_until(is_shown, f"{texts} on the screen")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so. The program never rests, so that it works is no sign of progress."""
        try:
            waiting.until(condition, what)
        except waiting.StalledError as error:
            raise waiting.StalledError("\n".join([f"{error}; it shows:", *self.screen])) from None

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", f"{self._socket}", *words]
        return waiting.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def terminal(command: Sequence[object], columns: int, lines: int, **environment: str) -> Iterator[Terminal]:
    """A terminal in which the command runs; what it shows at the end stays. Skips without tmux, except in CI."""
    if shutil.which("tmux") is None:
        skip_without("tmux is missing (Debian package tmux)")
    with tempfile.TemporaryDirectory(prefix="top-") as directory:
        socket = Path(directory) / "tmux"  # pytest's own directories can be too long for the path of a socket
        start = ["tmux", "-S", f"{socket}", "-f", "/dev/null", "start-server", ";", "set-option", "-g"]
        start += ["remain-on-exit", "on", ";", "new-session", "-d", "-x", f"{columns}", "-y", f"{lines}"]
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        env = clean | {"PYTHONPATH": f"{ROOT}", "LC_ALL": "C.UTF-8"} | environment
        waiting.run([*start, *map(str, command)], env=env, check=True)
        made = Terminal(socket)
        try:
            yield made
        finally:
            waiting.run(["tmux", "-S", f"{socket}", "kill-server"], stderr=subprocess.DEVNULL)
