"""Guests for tests: thread ids on a simulated resctrl, or a real process whose threads are named as QEMU names them."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from cachetune.guests.model import Guest, Thread
from cachetune.guests.proc.threads import find_guest
from cachetune.sim import SimulatedResctrl

_PROGRAM = "qemu-system-x86_64"
# Starts the threads that its arguments name, and lives until its stdin ends.
_CODE = """
import sys, threading
from pathlib import Path
names = sys.argv[1].split(",")
named = threading.Barrier(len(names) + 1)
def run(name):
    Path("/proc/thread-self/comm").write_text(name)
    named.wait()
    threading.Event().wait()
for name in names:
    threading.Thread(target=run, args=[name], daemon=True).start()
named.wait()
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


class GuestProcess:
    """A real process that looks like QEMU, for a mounted resctrl: it runs while the ``with`` block does.

    Its vCPU threads are called ``CPU 0/KVM`` and so on, and its command line names the guest, so that cachetune finds
    it in /proc. It does nothing else and uses no CPU time.

    >>> with GuestProcess("web", vcpus=2) as process:
    ...     [thread.vcpu for thread in process.guest.threads]
    [None, 0, 1]
    """

    def __init__(self, name: str = "guest", *, vcpus: int = 4) -> None:
        threads = ",".join(f"CPU {vcpu}/KVM" for vcpu in range(vcpus))
        arguments = ("-name", f"guest={name},debug-threads=on")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [_PROGRAM, "-c", _CODE, threads, *arguments],
            executable=sys.executable,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name, self.pid = name, self._process.pid

    @property
    def guest(self) -> Guest:
        """The process's threads as they are now, those of vCPUs with their vCPU."""
        return find_guest(self.pid, Path("/proc"))

    def __enter__(self) -> "GuestProcess":
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if self._process.stdout.readline() != "ready\n":
            self.stop()
            raise RuntimeError("the guest process ended before it was ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.communicate()
