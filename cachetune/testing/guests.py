"""Guests for tests: thread ids on a simulated resctrl, or a real process whose threads are named as QEMU names them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cachetune.guests.model import Guest, Thread
from cachetune.guests.proc.threads import find_guest
from cachetune.sim import SimulatedResctrl

_PROGRAM = "qemu-system-x86_64"
# Starts threads with the given names, prints the id of each, and lives until its stdin ends.
_CODE = """
import sys, threading
from pathlib import Path
names = sys.argv[1:sys.argv.index("--")]
named, tids = threading.Barrier(len(names) + 1), {}
def run(name):
    tids[name] = threading.get_native_id()
    Path("/proc/thread-self/comm").write_text(name)
    named.wait()
    threading.Event().wait()
for name in names:
    threading.Thread(target=run, args=[name], daemon=True).start()
named.wait()
for name, tid in tids.items():
    print(tid, name)
print("ready", flush=True)
sys.stdin.read()
"""


def add_guest(resctrl: SimulatedResctrl, *, vcpus: int = 4, pid: int = 4711) -> Guest:
    """Start a guest on a simulated resctrl: one task per vCPU, in the default group.

    The tasks are ``pid`` to ``pid + vcpus - 1``; the first is the process itself.
    """
    threads = tuple(Thread(pid + vcpu, 0, f"CPU {vcpu}/KVM", vcpu) for vcpu in range(vcpus))
    for thread in threads:
        resctrl.add_task(thread.tid)
    return Guest(pid, threads)


class NamedThreads:
    """A real process whose threads have the given names. It runs while the ``with`` block does, and uses no CPU time.

    ``arguments`` end its command line. ``program`` is the name that it runs under, ``before`` a command that starts it,
    such as unshare. ``tids`` maps the names to thread ids.
    """

    def __init__(
        self, *names: str, arguments: Sequence[str] = (), before: Sequence[str] = (), program: str = ""
    ) -> None:
        command = [*before, program or sys.executable, "-c", _CODE, *names, "--", *arguments]
        executable = sys.executable if program else None
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, executable=executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid, self.tids = self.process.pid, dict[str, int]()

    def __enter__(self) -> Self:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self.process.stdout:
            if line == "ready\n":
                return self
            tid, _, name = line.rstrip("\n").partition(" ")
            self.tids[name] = int(tid)
        self.stop()
        raise RuntimeError("the process ended before it was ready")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process and wait for it."""
        self.process.kill()
        self.process.communicate()


class GuestProcess(NamedThreads):
    """A real process that looks like QEMU, for a mounted resctrl: it runs while the ``with`` block does.

    Its vCPU threads are called ``CPU 0/KVM`` and so on, and its command line names the guest, so that cachetune finds
    it in /proc.

    >>> with GuestProcess("web", vcpus=2) as process:
    ...     [thread.vcpu for thread in process.guest.threads]
    [None, 0, 1]
    """

    def __init__(self, name: str = "guest", *, vcpus: int = 4) -> None:
        threads = (f"CPU {vcpu}/KVM" for vcpu in range(vcpus))
        super().__init__(*threads, arguments=("-name", f"guest={name},debug-threads=on"), program=_PROGRAM)
        self.name = name

    @property
    def guest(self) -> Guest:
        """The process's threads as they are now, those of vCPUs with their vCPU."""
        return find_guest(self.pid, Path("/proc"))
