"""A real QEMU that does nothing: paused before its first instruction, with threads as any guest has them."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import waiting

_PROGRAM = "qemu-system-x86_64"


def missing() -> str:
    """Why there can be no such guest here; "" when there can."""
    return "" if shutil.which(_PROGRAM) else f"{_PROGRAM} is missing (Debian package qemu-system-x86)"


class Qemu:
    """A running QEMU, asked through its monitor (QMP)."""

    def __init__(self, process: subprocess.Popen[bytes], monitor: socket.socket) -> None:
        self.pid, self._process = process.pid, process
        self._monitor = monitor.makefile("rwb", buffering=0)  # so that no line waits unseen in a buffer
        self._read()
        self._ask("qmp_capabilities")

    def vcpu_tids(self) -> list[int]:
        """The threads of its vCPUs, in order."""
        return [cpu["thread-id"] for cpu in self._ask("query-cpus-fast")]

    def plug(self) -> int:
        """Plug one more vCPU in; its thread."""
        free = [slot for slot in self._ask("query-hotpluggable-cpus") if "qom-path" not in slot]
        self._ask("device_add", driver=free[-1]["type"], id="plugged", **free[-1]["props"])
        return self.vcpu_tids()[-1]

    def iothreads(self) -> dict[str, int]:
        """The threads of its iothreads, by the names of the objects."""
        return {each["id"]: each["thread-id"] for each in self._ask("query-iothreads")}

    def add_iothread(self, name: str) -> int:
        """Add an iothread; its thread."""
        self._ask("object-add", **{"qom-type": "iothread", "id": name})
        return self.iothreads()[name]

    def tids(self) -> set[int]:
        """All its threads."""
        return {int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir()}

    def end(self) -> None:
        """End it, and wait until it has ended."""
        self._process.kill()
        waiting.finish(self._process)

    def _ask(self, command: str, **arguments: Any) -> Any:
        self._monitor.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._monitor.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise AssertionError(answer)
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(waiting.readline(self._monitor, "QEMU's monitor", pids=[self.pid]))
        return answer


@contextmanager
def running(name: str, vcpus: int = 2) -> Iterator[Qemu]:
    """A guest with this number of vCPUs, and two more that can be plugged in; it ends with the block."""
    ours, theirs = socket.socketpair()
    command = [_PROGRAM, "-name", f"guest={name},debug-threads=on", "-accel", "tcg,thread=multi", "-machine", "q35"]
    command += ["-smp", f"{vcpus},maxcpus={vcpus + 2}", "-m", "32", "-S", "-display", "none", "-nodefaults"]
    command += ["-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control"]
    with ours, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield Qemu(process, ours)
        finally:
            process.kill()
