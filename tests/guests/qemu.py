"""A real QEMU without a guest system: x86, emulated (TCG), four vCPUs, paused. Nothing runs in it but its threads."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import waiting
from tests.missing import skip_without

PROGRAM = "qemu-system-x86_64"
UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
_HARDWARE = ("-machine", "q35", "-cpu", "qemu64", "-smp", "4,maxcpus=6", "-m", "64", "-S")
_NOTHING_ELSE = ("-nodefaults", "-no-user-config", "-display", "none")


def need_qemu() -> None:
    """Skip without QEMU; in CI that is a failure."""
    if not shutil.which(PROGRAM):
        skip_without(f"{PROGRAM} is missing")


class Qemu:
    """A started QEMU with all its threads. ``socket`` is a monitor for the test subject; the test's own is on stdio."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str, socket: Path) -> None:
        self._process, self.name, self.socket = process, name, socket
        self.pid = process.pid
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command in QEMU's monitor and return its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        self._process.stdin.flush()
        while "event" in (answer := self._read()):
            continue
        return answer["return"]

    def vcpus(self) -> dict[int, int]:
        """The thread of each vCPU, according to QEMU."""
        return {cpu["cpu-index"]: cpu["thread-id"] for cpu in self.execute("query-cpus-fast")}

    def iothreads(self) -> dict[str, int]:
        """The thread of each iothread, according to QEMU."""
        return {each["id"]: each["thread-id"] for each in self.execute("query-iothreads")}

    def plug(self, core: int) -> None:
        """Add the vCPU with this number."""
        place = {"socket-id": 0, "core-id": core, "thread-id": 0}
        self.execute("device_add", driver="qemu64-x86_64-cpu", id=f"core{core}", **place)

    def names(self) -> set[str]:
        """The names of its threads."""
        return {path.read_text().rstrip("\n") for path in Path(f"/proc/{self.pid}/task").glob("*/comm")}

    def quit(self) -> None:
        """Stop it and wait."""
        self.execute("quit")
        waiting.finish(self._process)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(waiting.readline(self._process.stdout, "QEMU", pids=[self.pid]))
        return answer


@contextmanager
def running(
    directory: Path,
    name: str,
    *,
    uuid: str = UUID,
    thread: str = "multi",
    named: bool = True,
    before: Sequence[str] = (),
    iothreads: Sequence[str] = (),
) -> Iterator[Qemu]:
    """A QEMU that ends with the block. ``named`` is debug-threads, ``thread`` TCG's way to run vCPUs.

    ``before`` are the words of a command that starts it, ``iothreads`` the names of its iothreads.
    """
    need_qemu()
    socket = directory / "qmp"
    command = [*before, PROGRAM, *_HARDWARE, *_NOTHING_ELSE, "-accel", f"tcg,thread={thread}", "-uuid", uuid]
    command += ["-name", f"guest={name},debug-threads={'on' if named else 'off'}"]
    command += [word for iothread in iothreads for word in ("-object", f"iothread,id={iothread}")]
    command += ["-qmp", f"unix:{socket},server=on,wait=off", "-qmp", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            yield Qemu(process, name, socket)
        finally:
            process.kill()
