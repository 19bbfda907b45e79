"""A process that looks like QEMU to those who look for vCPU threads: ``python -m … VCPUS`` prints its tids and waits.

It has one thread per vCPU named as QEMU names them, an I/O thread, and its main thread. The vCPU threads work a little
all the time, so that counters of their groups grow. It ends when its standard input does.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Running(msgspec.Struct, frozen=True):
    """A guest process: its pid, the tid of each vCPU, and its other tids."""

    pid: int
    vcpus: dict[int, int]
    others: tuple[int, ...]

    @property
    def tids(self) -> set[int]:
        return {*self.vcpus.values(), *self.others}


@contextlib.contextmanager
def running(vcpus: int) -> Iterator[Running]:
    """Such a process, ended on exit."""
    command = [sys.executable, "-m", __spec__.name, str(vcpus)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        try:
            yield msgspec.json.decode(process.stdout.readline(), type=Running)
        finally:
            process.stdin.close()


def main() -> None:
    """Start the threads, print who is who, wait for the end of standard input."""
    names = [f"CPU {vcpu}/KVM" for vcpu in range(int(sys.argv[1]))]
    ended, started = threading.Event(), threading.Barrier(len(names) + 2)
    threads = [threading.Thread(target=_work, args=(name, started, ended), daemon=True) for name in [*names, "IO x"]]
    for thread in threads:
        thread.start()
    started.wait()
    vcpus = {vcpu: thread.native_id for vcpu, thread in enumerate(threads[:-1])}
    pid = threading.get_native_id()
    print(json.dumps({"pid": pid, "vcpus": vcpus, "others": [pid, threads[-1].native_id]}), flush=True)  # noqa: T201
    sys.stdin.read()
    ended.set()


def _work(name: str, started: threading.Barrier, ended: threading.Event) -> None:
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
    started.wait()
    while not ended.wait(0.02):
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass


if __name__ == "__main__":
    main()
