"""A real agent in a separate process, over a mounted simulated resctrl, observed as systemd would observe it.

It reports each round through the sd_notify socket, so a test waits for rounds and never for time.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import waiting
from tests.sim.fuse.mounted import CACHETUNE, ROOT, Mounted, run

MAX_ROUNDS = 1000  # a condition that does not hold by then never will

TUNING = """<cputune>
  <cachetune vcpus='{vcpus}'>
    <cache id='0' level='3' type='both' size='{kib}' unit='KiB'/>
  </cachetune>
</cputune>
"""


class Scene:
    """A mounted host, a directory of guests, and what the agent's commands need to know of them."""

    def __init__(self, directory: Path, mount: Mounted) -> None:
        self.mount, self.directory = mount, directory
        self.guests_d, self.run = directory / "guests.d", directory / "agent"
        self.guests_d.mkdir()
        (directory / "libvirt").mkdir()

    @property
    def where(self) -> tuple[str | Path, ...]:
        """The options of every verb that looks at the scene."""
        where = ("--resctrl", self.mount.root, "--run", self.run, "--libvirt-run", self.directory / "libvirt")
        return (*where, "--guests-d", self.guests_d, "--source", "threads")

    @property
    def source_options(self) -> tuple[str | Path, ...]:
        return (*self.where, "--shrink-default")

    def tune(self, name: str, vcpus: str = "0-3", ways: int = 3) -> None:
        """Write the guest's file, as an editor does: a new file in place of the old."""
        self.write(name, TUNING.format(vcpus=vcpus, kib=ways * 2304))

    def write(self, name: str, text: str) -> None:
        part = self.directory / "part"
        part.write_text(text)
        part.rename(self.guests_d / f"{name}.xml")

    def groups(self) -> set[str]:
        """The control groups but the default one."""
        return {entry.name for entry in self.mount.root.iterdir() if (entry / "tasks").exists()}

    def threads(self, group: str) -> set[int]:
        return {int(line) for line in self.mount.read(f"{group}/tasks").split()}

    def status(self) -> dict[str, Any]:
        """The status document as it is on disk."""
        document: dict[str, Any] = json.loads((self.run / "agent.json").read_text())
        return document

    def state(self, name: str) -> str:
        """The state of a guest, "" if it is not managed."""
        return next((str(guest["state"]) for guest in self.status()["guests"] if guest["name"] == name), "")

    def once(self, *options: str) -> subprocess.CompletedProcess[str]:
        return run("agent", "--once", *self.source_options, *options)

    @contextmanager
    def agent(
        self, *options: str, command: tuple[str, ...] = CACHETUNE, stderr: int = subprocess.PIPE, **environment: str
    ) -> Iterator["LiveAgent"]:
        """An agent that looks only on SIGHUP, unless a --period is given; it ends with the block."""
        words = [*command, "agent", "--period", "3600", *map(str, self.source_options), *options]
        with notify_socket(self.directory / "notify") as notifications:
            env = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": notifications.getsockname(), **environment}
            with subprocess.Popen(words, env=env, stderr=stderr, text=True) as process:
                try:
                    yield LiveAgent(process, notifications, process.send_signal)
                finally:
                    process.kill()


@contextmanager
def notify_socket(address: Path) -> Iterator[socket.socket]:
    """A socket to which an agent can report."""
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(address))
        yield notifications


class LiveAgent:
    """The agent from outside: what it reports to systemd, and how to send it a signal."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        notifications: socket.socket,
        send: Callable[[signal.Signals], object],
        pids: Collection[int] = (),
    ) -> None:
        """``pids`` are other processes that work on what the agent waits for."""
        self.process, self._notifications, self._send = process, notifications, send
        self._pids = (process.pid, *pids)
        self.messages: list[dict[str, str]] = []
        self.watching = ""

    def ready(self) -> "LiveAgent":
        """Wait for the end of its first round."""
        self.hear("READY")
        return self

    def look(self) -> None:
        """Have it look now, and wait until it has."""
        self._send(signal.SIGHUP)
        self.hear("RELOADING")
        self.hear("READY")

    def until(self, condition: Callable[[], bool]) -> None:
        """Let it run, round after round, until the condition holds."""
        for _ in range(MAX_ROUNDS):
            if condition():
                return
            self.hear("STATUS")
        raise AssertionError(f"not so after {MAX_ROUNDS} rounds; the last message was {self.messages[-1]}")

    def end(self) -> list[str]:
        """End it as systemd does; what it has printed after the line that says what it watches."""
        self._send(signal.SIGTERM)
        lines = self.ended(0)
        if lines:
            self.watching = lines.pop(0)
            assert self.watching.startswith("info: watching /")
        return lines

    def ended(self, code: int) -> list[str]:
        """Wait until it exits with this code; everything it has printed."""
        _, said = waiting.finish(self.process, also=self._pids)
        assert self.process.returncode == code, said
        return (said or "").splitlines()

    def hear(self, what: str) -> None:
        """Wait for a message with this key."""
        while True:
            waiting.readable(self._notifications, f"the agent's {what}", pids=self._pids)
            lines = self._notifications.recv(4096).decode().splitlines()
            self.messages.append(dict(line.split("=", 1) for line in lines))
            if what in self.messages[-1]:
                return


DYING = (sys.executable, "-m", "tests.agent.dying")
