"""A process that looks like a QEMU with iothreads and vhost: ``python -m … [ARGUMENT …]``.

It has two vCPU threads, two iothreads and a worker thread, named as QEMU names them, and owns a vhost-vsock device, as
a guest with a vsock does: the kernel has a worker for it. First it prints who is who. For each line on standard input
it opens one more device, now with a request for a kernel thread, starts one more thread of each kind, and prints who is
who again.
"""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from tests.kernel.scenarios.guest_process import Named

# Of linux/vhost.h: _IO(0xAF, 0x01), and _IOW(0xAF, 0x84, __u8), where 0 requests a kernel thread.
_SET_OWNER, _SET_FORK_FROM_OWNER, _KERNEL_THREAD = 0xAF01, 0x4001AF84, b"\0"
_WORKER = re.compile(rf"vhost-{os.getpid()}")


class Who(msgspec.Struct, frozen=True):
    """The process, the ids of its threads, and of the kernel's workers for it, which belong to ``tgids``."""

    pid: int
    vcpus: tuple[int, ...]
    iothreads: tuple[int, ...]
    workers: tuple[int, ...]
    vhost: tuple[int, ...]
    tgids: tuple[int, ...]


class VhostProcess:
    """Such a process from outside."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers
        self.who = msgspec.json.decode(answers.readline(), type=Who)

    def grow(self) -> Who:
        """Have it start more threads."""
        self._orders.write(b"more\n")
        self._orders.flush()
        return msgspec.json.decode(self._answers.readline(), type=Who)


@contextmanager
def running(*arguments: str) -> Iterator[VhostProcess]:
    """Start one, with arguments of QEMU's that it does not look at; it is ended on exit."""
    command = [sys.executable, "-m", __spec__.name, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        try:
            yield VhostProcess(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def main() -> None:
    """Start the threads, print which is which, start more on command."""
    vcpus = [Named(f"CPU {n}/KVM").tid for n in range(2)]
    iothreads = [Named(f"IO iothread{n}").tid for n in (1, 2)]
    workers = [threading.get_native_id(), Named("worker").tid]
    devices = [_vhost_device()]

    def tell() -> None:
        vhost = _workers()
        tgids = [_tgid(tid) for tid in vhost]
        who = Who(os.getpid(), *map(tuple, (vcpus, iothreads, workers, vhost, tgids)))  # type: ignore[arg-type]
        print(json.dumps(msgspec.to_builtins(who)), flush=True)  # noqa: T201

    tell()
    for _ in sys.stdin:
        vcpus.append(Named(f"CPU {len(vcpus)}/KVM").tid)
        iothreads.append(Named(f"IO iothread{len(iothreads) + 1}").tid)
        workers.append(Named("worker").tid)
        devices.append(_vhost_device(_KERNEL_THREAD))
        tell()


def _vhost_device(request: bytes = b"") -> IO[bytes]:
    """A device with its worker. A request for a kernel thread is ignored by kernels that have no choice."""
    device = open("/dev/vhost-vsock", "r+b", buffering=0)  # noqa: PTH123, SIM115 - open as long as the process runs
    if request:
        with contextlib.suppress(OSError):
            fcntl.ioctl(device, _SET_FORK_FROM_OWNER, request)
    fcntl.ioctl(device, _SET_OWNER)
    return device


def _workers() -> list[int]:
    """The kernel's workers for this process, whether they are threads of it or processes."""
    names = (*Path("/proc").glob("[0-9]*/comm"), *Path("/proc/self/task").glob("*/comm"))
    return sorted({int(path.parent.name) for path in names if _WORKER.fullmatch(_text(path))})


def _tgid(tid: int) -> int:
    return int(re.findall(r"^Tgid:\s*([0-9]+)$", _text(Path(f"/proc/{tid}/status")), re.MULTILINE)[0])


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
