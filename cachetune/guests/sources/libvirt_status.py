"""libvirt's own notes of the guests it runs: /run/libvirt/qemu/NAME.xml, live XML and vCPU threads in one file.

    <domstatus state='running' pid='69'> <vcpus><vcpu id='0' pid='71'/></vcpus> <domain id='1'> … </domstatus>

libvirt replaces the file whenever something changes, but a file can outlive its guest (libvirtd was killed, or is not
running), and then its pid may be another process's. So a file is believed only as far as /proc bears it out: the pid
is an emulator, it is called as the file says, and it is not younger than the file. The last is not asked where uuid
and threads fit, because clocks are set while a host runs and both times depend on them. All of that a user of this host
can have a process say, in a pid namespace of his own even its pid and threads; but not that it is libvirt's user's.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from lxml import etree

from cachetune.errors import SourceUnavailableError
from cachetune.guests.proc.processes import Process, canonical_uuid, read_process, tids_at, with_uuid
from cachetune.guests.sources.live_xml import MAX_BYTES, LiveDomain, LiveXmlError, live_domain, number, parse
from cachetune.guests.sources.sighting import Seen, Sighting, seen, share_a_thread

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The kernel's boot time is in whole seconds, and moves by one as clocks drift.
_SECONDS = 2.0


class _Status(msgspec.Struct, frozen=True):
    """A file as it is: ``vcpus`` by libvirt's numbers of processes, ``written`` in seconds since 1970."""

    domain: LiveDomain
    pid: int
    vcpus: dict[int, int]
    written: float


def look(directory: Path, processes: Sequence[Process], proc: Path) -> Seen:
    """Every guest with a status file that is true. What is not readable, not XML or outlived its guest is a note.

    Raises InputError when the directory, or all that is in it, is not ours to read.
    """
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".xml")
    except FileNotFoundError:
        return Seen()
    except OSError as error:
        why = f"cannot list {directory}: {error.strerror}"
        raise SourceUnavailableError("libvirt-status", why, hint="only root may read it") from None
    return seen(_read_each(files, processes, proc))


def _read_each(files: Sequence[Path], processes: Sequence[Process], proc: Path) -> Iterator[Sighting | str]:
    for path in files:
        try:
            status = _read(path)
            yield _sighting(status, processes, proc)
        except PermissionError:
            yield f"{path} is not ours to read (root may)"
        except FileNotFoundError:
            continue  # the guest has ended while we look
        except OSError as error:
            yield f"cannot read {path}: {error.strerror}"
        except LiveXmlError as error:
            yield f"{path} is not believed: {error}"


def _read(path: Path) -> _Status:
    """Raises OSError and LiveXmlError."""
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise LiveXmlError("it is no regular file")
        root = parse(file.read(MAX_BYTES + 1))
    if root.tag != "domstatus":
        raise LiveXmlError("it is no <domstatus>")
    domain = live_domain(root.find("domain"))
    if domain.name != path.name.removesuffix(".xml"):
        raise LiveXmlError(f"it is about a guest called {domain.name!r}")
    pid = number(root.get("pid"))
    if not pid:
        raise LiveXmlError("it does not tell the process")
    return _Status(domain, pid, _vcpus(root), about.st_mtime)


def _vcpus(root: etree._Element) -> dict[int, int]:
    """The threads of the vCPUs; 0 stands for one that libvirt does not know."""
    pairs = ((number(vcpu.get("id")), number(vcpu.get("pid"))) for vcpu in root.iterfind("vcpus/vcpu"))
    return {vcpu: pid for vcpu, pid in pairs if vcpu is not None and pid}


def _sighting(status: _Status, processes: Sequence[Process], proc: Path) -> Sighting:
    """What the file says, in our numbers of threads. Raises LiveXmlError when /proc does not bear it out."""
    uuid = canonical_uuid(status.domain.uuid)
    process = _process(status, uuid, processes, proc)
    tids = tids_at(process, status.pid, proc)
    if tids is None:
        raise LiveXmlError(f"process {status.pid} of its guest is not among the processes that we see")
    if not status.domain.may_run_as(process.user):
        raise LiveXmlError(f"process {process.pid} is of the user {process.user}, not {status.domain.user}")
    ended = tuple(vcpu for vcpu, tid in status.vcpus.items() if tid not in tids)
    proven = process.uuid is not None and process.uuid == uuid and not ended
    if not proven and _started(process, proc) > status.written + _SECONDS:
        raise LiveXmlError(f"process {process.pid} is younger than the file, so the guest is gone")
    single = share_a_thread(status.vcpus)
    return Sighting(
        source="libvirt-status",
        process=process,
        name=status.domain.name,
        uuid=uuid,
        vcpus={} if single else {vcpu: tids[tid] for vcpu, tid in status.vcpus.items() if tid in tids},
        ended=ended,
        libvirt_id=status.domain.id,
        xml=status.domain.xml,
        one_thread=single,
        why_no_vcpus="" if status.vcpus else "libvirt's status file has no threads of vCPUs",
    )


def _process(status: _Status, uuid: str | None, processes: Sequence[Process], proc: Path) -> Process:
    """The process of that pid; or the one of that uuid, where libvirt counts processes in another namespace."""
    known = next((one for one in processes if one.pid == status.pid), None)
    process = known or read_process(status.pid, proc)
    if process and (process.name or process.uuid):
        if process.uuid in (None, uuid) and process.name in ("", status.domain.name):
            return process
    elif known:  # an emulator that does not say who it is
        return known
    if elsewhere := with_uuid(uuid, [one for one in processes if status.domain.may_run_as(one.user)]):
        return elsewhere
    raise LiveXmlError(f"process {status.pid} is not this guest's, so the guest is gone")


def _started(process: Process, proc: Path) -> float:
    """When a process began, in seconds since 1970; 0 where the host does not tell."""
    try:
        text = (proc / "stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return 0.0
    booted = re.search(r"^btime ([0-9]+)$", text, re.MULTILINE | re.ASCII)
    return int(booted[1]) + process.start_time / os.sysconf("SC_CLK_TCK") if booted else 0.0
