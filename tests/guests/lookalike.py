"""Processes that look like QEMU: real ones with named threads, and files of a /proc for other cases."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cachetune.guests.proc.processes import Process, emulators
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.sources.sighting import Search

PROC = Path("/proc")


def search(processes: Sequence[Process] | None = None, **settings: Any) -> Search:
    """A search with these settings, among these processes or the emulators in ``proc``."""
    options = SourceOptions(**settings)
    return Search(options, emulators(options.proc) if processes is None else tuple(processes))


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
_STAT = "{tid} ({comm}) {state} 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 4 0 {start} 0 0\n"


class Lookalike:
    """A process whose threads take these names; ``arguments`` are the end of its command line. Ends with its block.

    ``tids`` is name to thread. ``before`` are the words of a command that starts it, ``program`` what it is called.
    """

    def __init__(
        self, *names: str, arguments: Sequence[str] = (), before: Sequence[str] = (), program: str = ""
    ) -> None:
        command = [*before, program or sys.executable, "-c", _CODE, *names, "--", *arguments]
        executable = sys.executable if program else None
        self.process = subprocess.Popen(
            command, executable=executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid, self.tids = self.process.pid, dict[str, int]()

    def __enter__(self) -> "Lookalike":
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                return self
            tid, _, name = line.rstrip("\n").partition(" ")
            self.tids[name] = int(tid)
        raise AssertionError("the process ended before it was ready")

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def add_process(
    proc: Path,
    pid: int,
    threads: Mapping[int, str],
    *,
    arguments: Sequence[str] = ("qemu-system-x86_64",),
    state: str = "S",
    start: int = 1000,
    inside: Mapping[int, int] | None = None,
    user: int = 0,
) -> None:
    """The files of one process below ``proc``: its threads by name, and their ids ``inside`` its own namespace."""
    uids = f"Uid:\t1\t{user}\t1\t1\n"
    for directory, tid in [(proc / str(pid), pid), *((proc / str(pid) / "task" / str(t), t) for t in threads)]:
        directory.mkdir(parents=True, exist_ok=True)
        comm = threads.get(tid, "qemu-system-x86")
        (directory / "stat").write_text(_STAT.format(tid=tid, comm=comm, state=state, start=start))
        within = f"\t{inside[tid]}" if inside else ""
        (directory / "status").write_text(f"Name:\tqemu\nTgid:\t{pid}\n{uids}NSpid:\t{tid}{within}\n")
    (proc / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in arguments))


def status_xml(name: str, uuid: str, pid: int, vcpus: Mapping[int, int], inside: str = "") -> str:
    """A status file as libvirt writes it, with ``inside`` in its domain."""
    from xml.sax.saxutils import escape

    threads = "".join(f"<vcpu id='{vcpu}' pid='{tid}'/>" for vcpu, tid in vcpus.items())
    return (
        f"<domstatus state='running' reason='booted' pid='{pid}'>\n  <vcpus>{threads}</vcpus>\n"
        f"  <domain type='kvm' id='7'><name>{escape(name)}</name><uuid>{uuid}</uuid>{inside}</domain>\n</domstatus>\n"
    )
