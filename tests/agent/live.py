"""A real agent in a process of its own, over a mounted simulated resctrl, observed as systemd would observe it.

It tells of each round through the socket of sd_notify, so a test waits for rounds and never for time.
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

MAX_ROUNDS = 1000  # what has not happened after so many rounds does not happen

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
    def source_options(self) -> tuple[str | Path, ...]:
        where = ("--resctrl", self.mount.root, "--run", self.run, "--libvirt-run", self.directory / "libvirt")
        return (*where, "--guests-d", self.guests_d, "--source", "threads", "--shrink-default")

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
        """How the guest is, "" for one that is not kept."""
        return next((str(guest["state"]) for guest in self.status()["guests"] if guest["name"] == name), "")

    def once(self, *options: str) -> subprocess.CompletedProcess[str]:
        return run("agent", "--once", *self.source_options, *options)

    @contextmanager
    def agent(
        self, *options: str, command: tuple[str, ...] = CACHETUNE, stderr: int = subprocess.PIPE, **environment: str
    ) -> Iterator["LiveAgent"]:
        """An agent that looks only when it is told to, unless a --period is given; it ends with the block."""
        words = [*command, "agent", "--period", "3600", *map(str, self.source_options), *options]
        with told_of(self.directory / "notify") as told:
            env = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": told.getsockname(), **environment}
            with subprocess.Popen(words, env=env, stderr=stderr, text=True) as process:
                try:
                    yield LiveAgent(process, told, process.send_signal)
                finally:
                    process.kill()


@contextmanager
def told_of(address: Path) -> Iterator[socket.socket]:
    """A socket on which an agent can tell how it goes."""
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(address))
        yield told


class LiveAgent:
    """The agent from outside: what it tells to systemd, and how to send it a signal."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        told: socket.socket,
        send: Callable[[signal.Signals], object],
        pids: Collection[int] = (),
    ) -> None:
        """``pids`` are other processes that work on what the agent waits for."""
        self.process, self._told, self._send = process, told, send
        self._pids = (process.pid, *pids)
        self.messages: list[dict[str, str]] = []

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
        """Let it go on, round after round, until something is so."""
        for _ in range(MAX_ROUNDS):
            if condition():
                return
            self.hear("STATUS")
        raise AssertionError(f"not so after {MAX_ROUNDS} rounds; the last message was {self.messages[-1]}")

    def end(self) -> list[str]:
        """End it as systemd does; what it has said in all."""
        self._send(signal.SIGTERM)
        return self.ended(0)

    def ended(self, code: int) -> list[str]:
        """Wait until it has ended by itself, with this code; what it has said in all."""
        _, said = waiting.finish(self.process, also=self._pids)
        assert self.process.returncode == code, said
        return (said or "").splitlines()

    def hear(self, what: str) -> None:
        """Wait for a message that says this."""
        while True:
            waiting.readable(self._told, f"the agent's {what}", pids=self._pids)
            lines = self._told.recv(4096).decode().splitlines()
            self.messages.append(dict(line.split("=", 1) for line in lines))
            if what in self.messages[-1]:
                return


DYING = (sys.executable, "-m", "tests.agent.dying")
