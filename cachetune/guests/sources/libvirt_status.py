"""libvirt's status files, /run/libvirt/qemu/NAME.xml: live XML and vCPU threads in one file.

    <domstatus state='running' pid='69'> <vcpus><vcpu id='0' pid='71'/></vcpus> <domain id='1'> … </domstatus>

libvirt replaces the file whenever something changes, but a file can outlive its guest (libvirtd was killed, or is not
running), and then its pid may belong to another process. So a file is accepted only if /proc confirms it: the pid is
an emulator with the file's name, and it is not younger than the file. Its age does not matter if uuid and threads
match, because both times depend on a clock that can be set. A user of this host can make a process match all of
that, in a pid namespace even pid and threads; but the process cannot run as the user that libvirt chose.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from lxml import etree

from cachetune.errors import SourceUnavailableError
from cachetune.guests.proc.processes import Process, read_process, tids_at, with_uuid
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.guests.sources.live_xml import MAX_BYTES, LiveDomain, LiveXmlError, live_domain, number, parse
from cachetune.guests.sources.sighting import Search, Seen, Sighting, named_iothreads, seen, share_a_thread

LABEL = "libvirt's status file"

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The kernel's boot time is in whole seconds and moves by one as clocks drift.
_SECONDS = 2.0


class _Status(msgspec.Struct, frozen=True):
    """A file's content: ``vcpus`` has thread ids as libvirt knows them, ``written`` is in seconds since 1970."""

    domain: LiveDomain
    pid: int
    vcpus: dict[int, int]
    written: float


def worth_asking(_search: Search) -> bool:
    """Always: without libvirt the directory does not exist."""
    return True


def look(search: Search) -> Seen:
    """Return every guest with a valid status file. A file that is unreadable, not XML or stale becomes a note.

    Raises SourceUnavailableError if the directory cannot be listed.
    """
    directory = search.options.libvirt_run
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".xml")
    except FileNotFoundError:
        return Seen()
    except OSError as error:
        why = f"cannot list {directory}: {error.strerror}"
        raise SourceUnavailableError("libvirt-status", why, hint="only root may read it") from None
    return seen(_read_each(files, search.processes, search.options.proc))


def _read_each(files: Sequence[Path], processes: Sequence[Process], proc: Path) -> Iterator[Sighting | str]:
    for path in files:
        try:
            status = _read(path)
            yield _sighting(status, processes, proc)
        except PermissionError:
            yield f"cannot read {path}: only root may"
        except FileNotFoundError:
            continue  # the guest has ended since
        except OSError as error:
            yield f"cannot read {path}: {error.strerror}"
        except LiveXmlError as error:
            yield f"rejected {path}: {error}"


def _read(path: Path) -> _Status:
    """Raises OSError and LiveXmlError."""
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise LiveXmlError("not a regular file")
        root = parse(file.read(MAX_BYTES + 1))
    if root.tag != "domstatus":
        raise LiveXmlError("its root is not <domstatus>")
    domain = live_domain(root.find("domain"))
    if domain.name != path.name.removesuffix(".xml"):
        raise LiveXmlError(f"it describes guest {domain.name!r}")
    pid = number(root.get("pid"))
    if not pid:
        raise LiveXmlError("it names no process")
    return _Status(domain, pid, _vcpus(root), about.st_mtime)


def _vcpus(root: etree._Element) -> dict[int, int]:
    """The threads of the vCPUs, without 0, which means that libvirt does not know the thread."""
    pairs = ((number(vcpu.get("id")), number(vcpu.get("pid"))) for vcpu in root.iterfind("vcpus/vcpu"))
    return {vcpu: pid for vcpu, pid in pairs if vcpu is not None and pid}


def _sighting(status: _Status, processes: Sequence[Process], proc: Path) -> Sighting:
    """The file's content with thread ids as we know them. Raises LiveXmlError if /proc does not confirm it."""
    uuid = canonical_uuid(status.domain.uuid)
    process = _process(status, uuid, processes, proc)
    tids = tids_at(process, status.pid, proc)
    if tids is None:
        raise LiveXmlError(f"its process {status.pid} is not visible from here")
    if not status.domain.may_run_as(process.user):
        raise LiveXmlError(f"process {process.pid} runs as user {process.user}, not {status.domain.user}")
    ended = tuple(vcpu for vcpu, tid in status.vcpus.items() if tid not in tids)
    proven = process.uuid is not None and process.uuid == uuid and not ended
    if not proven and _started(process, proc) > status.written + _SECONDS:
        raise LiveXmlError(f"process {process.pid} is younger than the file, so the guest has ended")
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
        why_no_vcpus="" if status.vcpus else "libvirt's status file lists no vCPU threads",
        iothreads=named_iothreads(process),  # the file does not list them, but libvirt has QEMU name its threads
    )


def _process(status: _Status, uuid: str | None, processes: Sequence[Process], proc: Path) -> Process:
    """The process with that pid, or with that uuid if libvirt uses another pid namespace."""
    known = next((one for one in processes if one.pid == status.pid), None)
    process = known or read_process(status.pid, proc)
    if process and (process.name or process.uuid):
        if process.uuid in (None, uuid) and process.name in ("", status.domain.name):
            return process
    elif known:  # an emulator with neither name nor uuid
        return known
    if elsewhere := with_uuid(uuid, [one for one in processes if status.domain.may_run_as(one.user)]):
        return elsewhere
    raise LiveXmlError(f"process {status.pid} is not this guest's, so the guest has ended")


def _started(process: Process, proc: Path) -> float:
    """When a process started, in seconds since 1970; 0 if the host does not say."""
    try:
        text = (proc / "stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return 0.0
    booted = re.search(r"^btime ([0-9]+)$", text, re.MULTILINE | re.ASCII)
    return int(booted[1]) + process.start_time / os.sysconf("SC_CLK_TCK") if booted else 0.0
