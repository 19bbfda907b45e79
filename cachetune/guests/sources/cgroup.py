"""libvirt's cgroups: one directory for each vCPU and each iothread, with the thread in it.

    v2, and v1 with newer libvirt:  …/machine-qemu\\x2d1\\x2dweb.scope/libvirt/vcpu0/{cgroup.threads,tasks}
    v1 with older libvirt:          …/machine-qemu\\x2d1\\x2dweb.scope/vcpu0/tasks
    without systemd:                …/qemu-1-web.libvirt-qemu/vcpu0/…

Each emulator's /proc/PID/cgroup says where to look, so no tree is walked. A vCPU's directory can also hold kernel
threads that KVM starts for the vCPU; then only a thread with the name of the vCPU counts.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cachetune.guests.proc.content import content_of
from cachetune.guests.proc.processes import Process
from cachetune.guests.sources.sighting import Search, Seen, Sighting, share_a_thread

LABEL = "its cgroup"

_SCOPE = re.compile(r"machine-(qemu-([0-9]{1,9})-.+)\.scope|(qemu-([0-9]{1,9})-.+)\.libvirt-qemu", re.ASCII)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_VCPU = re.compile(r"vcpu([0-9]{1,5})", re.ASCII)
_IOTHREAD = re.compile(r"iothread[0-9]{1,5}", re.ASCII)  # QEMU's object has the same name
_LONGEST_LIST = 1 << 16


def worth_asking(_search: Search) -> bool:
    """Always: it reads a few small files of each emulator."""
    return True


def look(search: Search) -> Seen:
    """Return every emulator in one of libvirt's machine cgroups."""
    root, proc = search.options.cgroup, search.options.proc
    return Seen(tuple(found for process in search.processes if (found := _sighting(process, root, proc))))


def _sighting(process: Process, root: Path, proc: Path) -> Sighting | None:
    for machine in dict.fromkeys(_machines(process, proc)):
        for mount in _mounts(machine[0], root):
            directory = mount / machine[1].relative_to("/")
            for place in (directory / "libvirt", directory):
                if (threads := _vcpus(place, process)) is not None:
                    return _found(process, place, threads, _libvirt_id(machine[1].name))
    return None


def _found(process: Process, place: Path, threads: dict[int, int], libvirt_id: int | None) -> Sighting:
    single = share_a_thread(threads)
    return Sighting(
        source="cgroup",
        process=process,
        vcpus={} if single else threads,
        one_thread=single,
        libvirt_id=libvirt_id,
        why_no_vcpus="" if threads else "its cgroups do not have one thread per vCPU",
        iothreads=_iothreads(place, process),
    )


def _machines(process: Process, proc: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """Controllers ("" for v2) and the machine's directory, from lines such as ``4:cpu,cpuacct:/machine.slice/…``."""
    try:
        text = content_of(f"{proc}/{process.pid}/cgroup").decode("utf-8", "surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "qemu" not in path:
            continue  # as for every process that libvirt has not started
        place = PurePosixPath(path)
        if not place.is_absolute() or ".." in place.parts or "\0" in rest:  # outside the visible tree, or not a path
            continue
        for directory in (place, *place.parents):
            if _libvirt_id(directory.name) is not None:
                yield controllers, directory
                break


def _mounts(controllers: str, root: Path) -> tuple[Path, ...]:
    """Where a hierarchy is mounted: v2 at the root or, beside v1, in ``unified``; v1 by its controllers' names."""
    if not controllers:
        return (root, root / "unified")
    named = controllers.removeprefix("name=")
    return tuple(root / name for name in dict.fromkeys((named, *named.split(","))))


def _vcpus(directory: Path, process: Process) -> dict[int, int] | None:
    """Map vCPU to thread id, as far as known; None if there are no directories of vCPUs."""
    try:
        found = {int(match[1]): entry for entry in directory.iterdir() if (match := _VCPU.fullmatch(entry.name))}
    except OSError:
        return None
    if not found:
        return None
    threads = ((vcpu, _thread(vcpu, entry, process)) for vcpu, entry in sorted(found.items()))
    return {vcpu: tid for vcpu, tid in threads if tid is not None}


def _thread(vcpu: int, directory: Path, process: Process) -> int | None:
    """The only thread of the process in the directory, or the only one with the name of this vCPU."""
    inside = _listed(directory)
    mine = [thread for thread in process.threads if thread.tid in inside]
    if len(mine) > 1:
        mine = [thread for thread in mine if thread.vcpu == vcpu]
    return mine[0].tid if len(mine) == 1 else None


def _iothreads(directory: Path, process: Process) -> dict[int, str]:
    """The iothreads by thread id: a directory each, beside those of the vCPUs."""
    try:
        names = sorted(entry.name for entry in directory.iterdir() if _IOTHREAD.fullmatch(entry.name))
    except OSError:
        return {}
    inside = ((name, process.tids.intersection(_listed(directory / name))) for name in names)
    return {tid: name for name, tids in inside if len(tids) == 1 for tid in tids}


def _listed(directory: Path) -> set[int]:
    for name in ("cgroup.threads", "tasks"):
        try:
            with (directory / name).open("rb") as file:
                return {int(line) for line in file.read(_LONGEST_LIST).split() if line.isdigit()}
        except OSError:
            continue
    return set()


def _libvirt_id(name: str) -> int | None:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)
    match = _SCOPE.fullmatch(plain)
    return int(match[2] or match[4]) if match else None
