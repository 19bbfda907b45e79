"""The files of processes that look like QEMU in a /proc, and of their status files."""

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


_STAT = "{tid} ({comm}) {state} 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 4 0 {start} 0 0\n"


_USER, _KERNEL = 0x00400100, 0x00208040  # flags; PF_KTHREAD is 0x00200000


def add_kernel_thread(proc: Path, pid: int, name: str, *, start: int = 1000) -> None:
    """The files of a kernel thread below ``proc``."""
    add_process(proc, pid, {pid: name}, arguments=(), start=start, flags=_KERNEL)


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
    flags: int = _USER,
) -> None:
    """The files of one process below ``proc``: its threads by name, and their ids ``inside`` its own namespace."""
    uids = f"Uid:\t1\t{user}\t1\t1\n"
    for directory, tid in [(proc / str(pid), pid), *((proc / str(pid) / "task" / str(t), t) for t in threads)]:
        directory.mkdir(parents=True, exist_ok=True)
        comm = threads.get(tid, "qemu-system-x86")
        (directory / "stat").write_text(_STAT.format(tid=tid, comm=comm, state=state, start=start, flags=flags))
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
