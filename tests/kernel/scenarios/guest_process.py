"""A process that looks like QEMU to those who look for vCPU threads: ``python -m … VCPUS [ARGUMENT …]``.

It has one thread per vCPU, named as QEMU names them, an I/O thread, and its main thread. First it prints who is who;
then, for each line on standard input, every vCPU thread works for a moment, and it prints a line. It ends with its
input. The threads sleep otherwise: each switch to a thread of another group writes a register, which stops the
machine and makes QEMU forget all the code that it has translated.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec


class Threads(msgspec.Struct, frozen=True):
    """Who is who: the process, the tid of each vCPU, and its other tids."""

    pid: int
    vcpus: dict[int, int]
    others: tuple[int, ...]

    @property
    def tids(self) -> set[int]:
        return {*self.vcpus.values(), *self.others}


class GuestProcess:
    """Such a process from outside."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers
        self.threads = msgspec.json.decode(answers.readline(), type=Threads)

    def work(self) -> None:
        """Have every vCPU thread run for a moment."""
        self._orders.write(b"work\n")
        self._orders.flush()
        self._answers.readline()


@contextlib.contextmanager
def running(vcpus: int, *arguments: str) -> Iterator[GuestProcess]:
    """Start one, with arguments of QEMU's that it does not look at; it is ended on exit."""
    command = [sys.executable, "-m", __spec__.name, str(vcpus), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        try:
            yield GuestProcess(process.stdin, process.stdout)
        finally:
            process.stdin.close()


class Named:
    """A thread with a name in /proc that is idle until it is started."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wanted, self._ready = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._loop, daemon=True).start()
        self._ready.acquire()

    def work(self) -> None:
        self._wanted.release()
        self._ready.acquire()

    def _loop(self) -> None:
        self.tid = threading.get_native_id()
        Path(f"/proc/self/task/{self.tid}/comm").write_text(self._name)
        while True:
            self._ready.release()
            self._wanted.acquire()
            until = time.monotonic() + 0.01
            while time.monotonic() < until:
                pass


def main() -> None:
    """Start the threads, print which is which, work on command."""
    vcpus = [Named(f"CPU {vcpu}/KVM") for vcpu in range(int(sys.argv[1]))]
    others = [threading.get_native_id(), Named("IO iothread0").tid]
    who = {"pid": others[0], "vcpus": {n: thread.tid for n, thread in enumerate(vcpus)}, "others": others}
    print(json.dumps(who), flush=True)  # noqa: T201
    for _ in sys.stdin:
        for thread in vcpus:
            thread.work()
        print("worked", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
